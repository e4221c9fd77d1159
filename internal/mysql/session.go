package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// sessionLimit bounds the connect of a [Session].
const sessionLimit = 3 * time.Second

// Session is one connection for one action, with the login that looks at the
// server. It is not the one that scrapes share: an action takes seconds, which
// a scrape must not wait for, and what it knows of a connection's number holds
// only as long as the server's process lives. A session ends with the process,
// while the shared connection is replaced without a word.
//
// A server has one session at a time, so that the three connections that
// docs/mysql.md allows are enough. Its methods are not for use side by side.
//
// A server that takes no more connections is where an action is needed most.
// There the session has the connection of scrapes until it is closed.
type Session struct {
	l      *link
	server string
	user   string
	lender *Server // whose shared connection it is; nil: it has its own
	closed bool
	end    func()
}

// Session returns a session on the address that serves now. The caller closes it. Only
// one is open at a time: it waits for the one before until ctx ends. Its error is an
// [Error], also if the right PROCESS is missing.
func (s *Server) Session(ctx context.Context) (*Session, error) {
	select {
	case s.sessionLock <- struct{}{}:
	case <-ctx.Done():
		return nil, &Error{Reason: reason.Timeout, Text: "another action on it has not finished yet"}
	}
	free := func() { <-s.sessionLock }
	v, err := s.session(ctx)
	if err != nil {
		free()
		return nil, classify(err)
	}
	v.end = free
	return v, nil
}

// session opens a connection of its own, to the DSN that the server's connection has,
// else to the first one, or borrows the server's connection if the server accepts no
// more. An [*Error] says why there is none; a missing right PROCESS is one.
func (s *Server) session(ctx context.Context) (*Session, error) {
	s.mu.Lock()
	closed, index := s.closed, 0
	if s.link != nil {
		index = s.link.index
	}
	s.mu.Unlock()
	if closed {
		return nil, &Error{Reason: reason.Failed, Text: "it is no longer in the configuration"}
	}
	ctx, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	v := &Session{}
	var err error
	if v.l, err = s.dial(ctx, index); err != nil {
		if classify(err).Reason != reason.Busy {
			return nil, err
		}
		if v.l = s.lendConnection(ctx); v.l == nil {
			return nil, err
		}
		v.lender = s
	}
	if err := v.identify(ctx); err != nil {
		v.Close()
		return nil, err
	}
	if v.l.process != nil {
		defer v.Close()
		return nil, v.l.process
	}
	return v, nil
}

// lendConnection returns the shared connection, for exclusive use until it is returned;
// nil if there is none, or if ctx ends before the read that uses it. Reads open another
// connection meanwhile, and fail if the MySQL server has no place for one more.
func (s *Server) lendConnection(ctx context.Context) *link {
	select {
	case s.connLock <- struct{}{}:
		defer func() { <-s.connLock }()
	case <-ctx.Done():
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.link
	s.link = nil
	return l
}

// returnConnection puts the connection back into use, even a broken one, which the next
// read detects. It closes it if there is another one by now.
func (s *Server) returnConnection(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.link != nil || s.ready != nil {
		l.close()
		return
	}
	s.link, s.lastError, s.failures = l, nil, 0
}

// identify sets which process of which server this is, and the login's user. Uptime and
// UNIX_TIMESTAMP() of one statement have the same time, so their difference is the start
// time to the second, even if the clock was set since. The reason unsupported: the server
// does not report its uptime.
func (v *Session) identify(ctx context.Context) error {
	table, own := "performance_schema.global_status", "@@server_uuid"
	if v.l.version.MariaDB {
		table, own = "information_schema.global_status", "@@pid_file" // it has no UUID in all versions
	}
	query := `SELECT CONCAT(UNIX_TIMESTAMP() - CAST(VARIABLE_VALUE AS SIGNED), '-', LEFT(SHA1(CONCAT_WS(':', @@hostname, @@port, @@server_id, @@datadir, @@socket, ` + own + `)), 16)), USER()
		FROM ` + table + ` WHERE VARIABLE_NAME = 'Uptime'`
	err := v.l.each(ctx, query, func(rows *sql.Rows) error { return rows.Scan(&v.server, &v.user) })
	if err != nil {
		return err
	}
	if v.server == "" {
		return &Error{Reason: reason.Unsupported, Text: "it does not report its uptime", lost: true}
	}
	if i := strings.LastIndexByte(v.user, '@'); i >= 0 {
		v.user = v.user[:i]
	}
	return nil
}

// Server returns an identifier of the server's process, which is the same for every
// address of the server, and another one after each start. It contains no name, user or
// address.
func (v *Session) Server() string { return v.server }

// User returns the login's own user, not to be published.
func (v *Session) User() string { return v.user }

// Version returns the server's version.
func (v *Session) Version() Version { return v.l.version }

// Close closes the connection of the session, or returns it if it is the shared one. The
// session cannot be used afterwards.
func (v *Session) Close() {
	switch {
	case v.closed || v.l == nil:
	case v.lender != nil:
		v.lender.returnConnection(v.l)
	default:
		v.l.close()
	}
	v.closed = true
	if v.end != nil {
		v.end()
		v.end = nil
	}
}

// read calls f for each row of a query, within the limit of a statement.
func (v *Session) read(ctx context.Context, query string, f func(*sql.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if err := v.l.each(ctx, query, f); err != nil {
		return classify(err)
	}
	return nil
}

// Connection is one connection to the server, as an action must know it.
type Connection struct {
	ID      uint64 // CONNECTION_ID()
	User    string // who logged in; never to be published
	Host    string // "host:port", or "localhost" over a UNIX socket
	Command string // "Sleep", "Query", "Killed", …
	State   string
	Time    time.Duration // in this state; MySQL reports whole seconds
	Query   uint64        // the number of its last statement, of MariaDB only
	Own     bool          // this session

	InTransaction bool   // of InnoDB; the next fields are set only then
	Transaction   string // its id; "0" while it has changed nothing
	TrxState      string // "RUNNING", "LOCK WAIT", "ROLLING BACK" or "COMMITTING"
	Rows          uint64 // that it has changed and not committed
}

// Connections returns all connections with their transactions, without the text of
// statements. More than 20,000 of either are an error, for of a part of them nothing
// follows. It needs the right PROCESS.
func (v *Session) Connections(ctx context.Context) ([]Connection, error) {
	return v.connections(ctx, "", "")
}

// Connection returns one connection as it is now; ok is false if it is gone.
func (v *Session) Connection(ctx context.Context, id uint64) (c Connection, ok bool, err error) {
	list, err := v.connections(ctx, fmt.Sprintf(" WHERE ID = %d", id), fmt.Sprintf(" WHERE trx_mysql_thread_id = %d", id))
	if err != nil || len(list) == 0 {
		return Connection{}, false, err
	}
	return list[0], list[0].ID == id, nil
}

// connections returns the connections with their transactions, in no order; the
// conditions select rows of the two tables, of which more than 20,000 are an error.
// Transactions are read first: the answer may be a tenth of a second old, and a thread
// that is then asleep for a second or more has done nothing since, so the two agree.
func (v *Session) connections(ctx context.Context, ofThreads, ofTransactions string) ([]Connection, error) {
	transactions := make(map[uint64]Connection)
	query := "SELECT trx_mysql_thread_id, trx_id, trx_state, trx_rows_modified FROM information_schema.innodb_trx" + ofTransactions
	err := v.read(ctx, query, func(rows *sql.Rows) error {
		c := Connection{InTransaction: true}
		if err := rows.Scan(&c.ID, &c.Transaction, &c.TrxState, &c.Rows); err != nil {
			return err
		}
		c.Transaction, c.TrxState = clip(c.Transaction), clip(c.TrxState)
		if len(transactions) == maxTransactions {
			return &Error{Reason: reason.Failed, Text: "it has more than 20,000 open transactions"}
		}
		transactions[c.ID] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	columns := "TIME * 1000, 0"
	if v.l.version.MariaDB {
		columns = "TIME_MS, QUERY_ID"
	}
	query = "SELECT ID, USER, HOST, COMMAND, COALESCE(STATE, ''), " + columns + " FROM information_schema.processlist" + ofThreads
	var out []Connection
	err = v.read(ctx, query, func(rows *sql.Rows) error {
		var c Connection
		var user, host, command sql.NullString
		var ms sql.NullFloat64
		if err := rows.Scan(&c.ID, &user, &host, &command, &c.State, &ms, &c.Query); err != nil {
			return err
		}
		if len(out) == maxThreads {
			return &Error{Reason: reason.Failed, Text: "it has more than 20,000 connections"}
		}
		c.User, c.Host, c.Command, c.State = clip(user.String), clip(host.String), clip(command.String), clip(c.State)
		c.Time, c.Own = milliseconds(ms.Float64), c.ID == v.l.id
		if t, ok := transactions[c.ID]; ok {
			c.InTransaction, c.Transaction, c.TrxState, c.Rows = true, t.Transaction, t.TrxState, t.Rows
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// milliseconds returns a duration that a server reports in milliseconds; 0 for a negative
// one, or one of more than ten years.
func milliseconds(ms float64) time.Duration {
	const most = 10 * 365 * 24 * time.Hour
	if !(ms > 0) || ms > float64(most/time.Millisecond) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}
