package mysql

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// The bounds of what one read keeps.
const (
	maxThreads      = 20_000
	maxTransactions = 20_000
	maxLockWaits    = 1000        // one more is read, to know whether there are more
	variablesAge    = time.Minute // they can be set while the server runs
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

// appendBounded appends x to list and returns it; if list has bound items already, it
// counts x in left instead.
func appendBounded[T any](list []T, x T, bound int, left *atomic.Uint64) []T {
	if len(list) >= bound {
		left.Add(1)
		return list
	}
	return append(list, x)
}

// Ping sends a ping and returns its round-trip time, on a connection that stands.
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

// Variables returns max_connections, performance_schema and read_only of the server's
// global variables, at most a minute old. One that the server does not know is missing.
// The map is shared, and not to be changed.
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

// Threads returns the process list without the text of statements, at most 20,000 rows;
// [Server.LeftOut] counts the others. It needs the right PROCESS; if that is missing, the
// error says so.
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

// threads appends the rows of SHOW PROCESSLIST to out, up to a bound, and counts the
// others in left. That costs the server half of what the table
// information_schema.processlist does.
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

// scan returns the thread in the current row; its time is 0 if the server reports none or
// a negative one. The reason unsupported: the row has less than seven columns.
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

// statement returns the beginning of the statement in the row that was scanned, valid
// until the next row; nil if the row has none.
func (l *threadList) statement() []byte {
	if len(l.cells) < 8 {
		return nil
	}
	return l.cells[7]
}

// text returns the text of column i, clipped; equal texts are stored once.
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

// clip returns text of a server as it may be shown: valid UTF-8, on one line, with a
// space for what cannot be printed, cut to 256 bytes.
func clip(s string) string {
	if len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= unicode.MaxASCII }) {
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

// Transactions returns the open transactions (information_schema.innodb_trx), at most
// 20,000; [Server.LeftOut] counts the others. It needs the right PROCESS.
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

// seconds returns a length of time that the server reports, at most 10^9 s; 0 for a
// negative one, which a step of its clock may have made.
func seconds(v float64) time.Duration {
	if !(v > 0) { // nor is it a number, perhaps
		return 0
	}
	return time.Duration(min(v, 1e9) * float64(time.Second))
}

// StatementTime returns the time that all statements took since the server started
// counting, by performance_schema's totals by kind of statement; 0 and no error if
// performance_schema is off. An error also without SELECT on it.
func (s *Server) StatementTime(ctx context.Context) (time.Duration, error) {
	const query = "SELECT COALESCE(SUM(SUM_TIMER_WAIT), 0) / 1000 FROM performance_schema.events_statements_summary_global_by_event_name"
	var nanoseconds float64
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		return l.each(ctx, query, func(rows *sql.Rows) error { return rows.Scan(&nanoseconds) })
	})
	return time.Duration(nanoseconds), err
}
