package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql/guard"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// link is one connection and what is known of its server.
type link struct {
	db      *sql.DB
	conn    *sql.Conn
	guard   *guard.Conn // of the connection; nil before it is made
	index   int         // of the address
	id      uint64
	version Version
	made    time.Time
	worked  bool   // something was read by it
	process *Error // why other users' threads are not seen; nil: they are
	values  map[string]string
	valued  time.Time // when values was read
	sums    map[string]float64
	summed  time.Time // when sums was read

	panicked bool // the driver did, and conn cannot be closed
}

// close closes the connection and its pool; nil is allowed. After a panic of the driver it
// closes the network connection first.
func (l *link) close() {
	if l == nil {
		return
	}
	if l.panicked { // database/sql holds a lock of conn for good
		_ = l.guard.Close()
		_ = l.conn.Raw(func(c any) error {
			if c, ok := c.(driver.Conn); ok {
				_ = c.Close()
			}
			return nil
		})
		_ = l.db.Close()
		return
	}
	_ = l.conn.Close()
	_ = l.db.Close()
}

// try calls f, which uses the connection, and returns its error; if the guard has ended
// the connection, that error is replaced by why. A panic of the driver is an error: in
// TLS the guard does not see what comes.
func (l *link) try(f func() error) (err error) {
	l.guard.Begin()
	defer func() {
		if p := recover(); p != nil {
			l.panicked = true
			err = &Error{Reason: reason.Failed, Broken: true, Text: textBroken, lost: true}
		}
		if broken := l.guard.Fault(); err != nil && broken != nil {
			err = broken
		}
	}()
	return f()
}

// connect logs in and sets l.conn. If the guard ended the connection, the error says why.
// A panic of the driver is returned as guard.ErrProtocol.
func (l *link) connect(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil { // of the driver, see [link.try]
			if l.guard != nil {
				_ = l.guard.Close()
			}
			err = guard.ErrProtocol
		}
		if broken := l.guard.Fault(); err != nil && broken != nil {
			err = broken
		}
	}()
	l.conn, err = l.db.Conn(ctx)
	return err
}

// each calls f for every row of a query, and returns the first error, also that of f,
// after which it stops. An error of f that is not [Error] means an answer of another
// form, after which the connection is not trusted.
func (l *link) each(ctx context.Context, query string, f func(*sql.Rows) error) error {
	return l.try(func() error {
		rows, err := l.conn.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			if err := f(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// exec runs a statement that has no rows.
func (l *link) exec(ctx context.Context, statement string) error {
	return l.try(func() error {
		_, err := l.conn.ExecContext(ctx, statement)
		return err
	})
}
