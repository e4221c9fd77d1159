package mysql

import (
	"context"
	"database/sql"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// The bounds of what one read keeps.
const (
	maxThreads      = 20_000
	maxTransactions = 20_000
	maxLockWaits    = 1000        // one more is read, to know whether there are more
	variablesAge    = time.Minute // they can be set while the server runs
	sumsAge         = 10 * time.Second
)

// Thread is one connection to the server, of its process list.
type Thread struct {
	ID      uint64 // CONNECTION_ID()
	User    string // who logged in; never to be published in a metric
	Host    string // "host:port", or "localhost" over a UNIX socket
	DB      string // its current database; "" for none
	Command string // "Sleep", "Query", "Execute", "Daemon", …
	Time    time.Duration
	State   string // what it does; "" for nothing
	Own     bool   // the connection of this exporter

	Statement statement.Keyword // of the statement that it runs
	Summary   statement.Summary // of that statement
}

// Transaction is one open transaction of InnoDB.
type Transaction struct {
	ID           string
	Thread       uint64 // 0: it belongs to no connection any more
	Age          time.Duration
	Waits        bool          // for a lock
	Waiting      time.Duration // for that long
	RowsLocked   uint64
	RowsModified uint64
}

// LockWait is one transaction that waits for a lock of another one. A waiter
// may have several blockers.
type LockWait struct {
	Waiting, Blocking string // ids of transactions
	Table             string // "shop.orders", whose row it is; "": not known
}

// LeftOut counts the rows beyond the bounds of what one read keeps.
type LeftOut struct {
	Threads, Transactions uint64
	LockWaits             uint64 // reads that left out some: how many is not asked
}

type leftOut struct{ threads, transactions, lockWaits atomic.Uint64 }

// LeftOut returns the rows that reads of this server left out since it was opened.
func (s *Server) LeftOut() LeftOut {
	return LeftOut{s.left.threads.Load(), s.left.transactions.Load(), s.left.lockWaits.Load()}
}

// appendBounded appends x to list up to bound items, and counts the rest in
// left.
func appendBounded[T any](list []T, x T, bound int, left *atomic.Uint64) []T {
	if len(list) >= bound {
		left.Add(1)
		return list
	}
	return append(list, x)
}

// Ping sends a ping and returns its round-trip time.
func (s *Server) Ping(ctx context.Context) (time.Duration, error) {
	var took time.Duration
	err := s.use(ctx, pingLimit, func(ctx context.Context, l *link) error {
		began := time.Now()
		err := l.try(func() error { return l.conn.PingContext(ctx) })
		took = time.Since(began)
		return err
	})
	return took, err
}

// Status reads Threads_connected, Threads_running, Queries and Slow_queries of
// SHOW STATUS. A name that the server does not know is not in the answer.
//
// A question about global status makes the server add up the counters of all
// its connections, which costs it more than a millisecond per thousand. MariaDB
// tells the connections and the queries of the whole server also when asked
// about the session. So there Slow_queries is at most ten seconds old, and
// Threads_running is left out where [Server.Threads] can be counted instead.
func (s *Server) Status(ctx context.Context) (map[string]float64, error) {
	var out map[string]float64
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) (err error) {
		if !l.version.MariaDB || l.process != nil {
			out, err = l.status(ctx, "GLOBAL", "Threads_connected", "Threads_running", "Queries", "Slow_queries")
			return err
		}
		if l.sums == nil || time.Since(l.summed) > sumsAge {
			if l.sums, err = l.status(ctx, "GLOBAL", "Slow_queries"); err != nil {
				return err
			}
			l.summed = time.Now()
		}
		if out, err = l.status(ctx, "SESSION", "Threads_connected", "Queries"); err == nil {
			maps.Copy(out, l.sums)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *link) status(ctx context.Context, scope string, names ...string) (map[string]float64, error) {
	out := make(map[string]float64, len(names)+1)
	query := "SHOW " + scope + " STATUS WHERE Variable_name IN ('" + strings.Join(names, "', '") + "')"
	return out, l.each(ctx, query, func(rows *sql.Rows) error {
		var name string
		var value float64
		err := rows.Scan(&name, &value)
		out[name] = value
		return err
	})
}

// Variables gives these global variables, at most a minute old. A name that
// the server does not know is not in the answer.
func (s *Server) Variables(ctx context.Context) (map[string]string, error) {
	var out map[string]string
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		if l.values == nil || time.Since(l.valued) > variablesAge {
			values := make(map[string]string)
			err := l.each(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'performance_schema', 'read_only')", func(rows *sql.Rows) error {
				var name, value string
				err := rows.Scan(&name, &value)
				values[name] = value
				return err
			})
			if err != nil {
				return err
			}
			l.values, l.valued = values, time.Now()
		}
		out = l.values
		return nil
	})
	return out, err
}

// Threads reads the process list, at most 20,000 rows, the rest of which
// [Server.LeftOut] counts, and without the text of statements. It needs the right PROCESS; the error says so where it is missing.
func (s *Server) Threads(ctx context.Context) ([]Thread, error) {
	var out []Thread
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		if l.process != nil {
			return l.process
		}
		out = nil
		return l.threads(ctx, &out, &s.left.threads)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// threads reads SHOW PROCESSLIST, which costs the server half of what the
// table information_schema.processlist does.
func (l *link) threads(ctx context.Context, out *[]Thread, left *atomic.Uint64) error {
	list := threadList{texts: make(map[string]string)}
	return l.each(ctx, "SHOW PROCESSLIST", func(rows *sql.Rows) error {
		t, err := list.scan(rows)
		if err != nil {
			return err
		}
		t.Own = t.ID == l.id
		*out = appendBounded(*out, t, maxThreads, left)
		return nil
	})
}

// threadList reads rows of the process list. It takes the cells raw: there are
// seven for each of a thousand connections, and few of them differ.
type threadList struct {
	cells []sql.RawBytes
	into  []any
	texts map[string]string
}

func (l *threadList) scan(rows *sql.Rows) (Thread, error) {
	if l.into == nil {
		columns, err := rows.Columns()
		if err != nil {
			return Thread{}, err
		}
		if len(columns) < 7 {
			return Thread{}, &Error{Reason: reason.Unsupported, Text: "its list of threads has an unexpected format", lost: true}
		}
		l.cells = make([]sql.RawBytes, len(columns)) // after the seventh comes the text of the statement, of which no value is kept
		for i := range l.cells {
			l.into = append(l.into, &l.cells[i])
		}
	}
	if err := rows.Scan(l.into...); err != nil {
		return Thread{}, err
	}
	id, err := strconv.ParseUint(string(l.cells[0]), 10, 64)
	if err != nil {
		return Thread{}, err
	}
	seconds, err := strconv.ParseInt(string(l.cells[5]), 10, 32)
	if err != nil || seconds < 0 {
		seconds = 0 // NULL, or a step of the clock
	}
	t := Thread{
		ID: id, User: l.text(1), Host: clip(string(l.cells[2])), DB: l.text(3), Command: l.text(4),
		Time: time.Duration(seconds) * time.Second, State: l.text(6),
	}
	if text := l.statement(); len(text) > 0 {
		t.Statement, t.Summary = statement.KeywordOf(text), statement.Of(text, t.DB)
	}
	return t, nil
}

// statement returns the beginning of the statement in the row that was scanned.
func (l *threadList) statement() []byte {
	if len(l.cells) < 8 {
		return nil
	}
	return l.cells[7]
}

func (l *threadList) text(i int) string {
	s, ok := l.texts[string(l.cells[i])]
	if !ok {
		s = string(l.cells[i])
		l.texts[s] = clip(s)
		s = l.texts[s]
	}
	return s
}

// maxText bounds a name or a state that a server sends, in bytes.
const maxText = 256

// clip returns text of a server as it may be shown: valid, in one line, bounded.
func clip(s string) string {
	if len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf }) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s[:min(len(s), maxText)], ""))
	return strings.Clone(s)
}

// Transactions reads information_schema.innodb_trx, at most 20,000 rows. It
// needs the right PROCESS.
func (s *Server) Transactions(ctx context.Context) ([]Transaction, error) {
	// Seconds since 1970 do not jump with summer time. They are subtracted here:
	// what the server computes for each of some hundred rows, it pays for.
	const query = `SELECT trx_id, trx_mysql_thread_id, UNIX_TIMESTAMP(), UNIX_TIMESTAMP(trx_started), UNIX_TIMESTAMP(trx_wait_started), trx_state,
		trx_rows_locked, trx_rows_modified FROM information_schema.innodb_trx`
	var out []Transaction
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		if l.process != nil {
			return l.process
		}
		out = nil
		return l.each(ctx, query, func(rows *sql.Rows) error {
			var t Transaction
			var now, started float64
			var waiting sql.NullFloat64
			var state string
			if err := rows.Scan(&t.ID, &t.Thread, &now, &started, &waiting, &state, &t.RowsLocked, &t.RowsModified); err != nil {
				return err
			}
			t.ID = clip(t.ID)
			t.Age, t.Waits = seconds(now-started), state == "LOCK WAIT"
			if waiting.Valid {
				t.Waiting = seconds(now - waiting.Float64)
			}
			out = appendBounded(out, t, maxTransactions, &s.left.transactions)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// seconds returns a length of time of the server's, at most some years; a step of
// its clock may have made it negative.
func seconds(v float64) time.Duration {
	if !(v > 0) { // nor is it a number, perhaps
		return 0
	}
	return time.Duration(min(v, 1e9) * float64(time.Second))
}

// StatementTime returns the time that all statements took since the server
// started counting, from performance_schema's totals by kind of statement. It
// needs performance_schema switched on and SELECT on it.
func (s *Server) StatementTime(ctx context.Context) (time.Duration, error) {
	const query = "SELECT COALESCE(SUM(SUM_TIMER_WAIT), 0) / 1000 FROM performance_schema.events_statements_summary_global_by_event_name"
	var nanoseconds float64
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		return l.each(ctx, query, func(rows *sql.Rows) error { return rows.Scan(&nanoseconds) })
	})
	return time.Duration(nanoseconds), err
}
