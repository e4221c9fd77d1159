package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql/guard"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/retry"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const (
	firstBackoff = time.Second
	maxBackoff   = time.Minute
	// maxNobodyBackoff is for an address where no server listens: a try costs
	// no server anything, and one that comes back is seen soon.
	maxNobodyBackoff = 4 * time.Second
	// primaryInterval is how often the primary is tried while a fallback serves,
	// and how long a connection with too few rights is kept: a GRANT holds for
	// new connections only.
	primaryInterval = time.Minute

	dialLimit = 5 * time.Second // until the address takes the connection
	// greetingLimit is how long a connect may wait for a server that took the
	// connection and sends nothing. It is long on purpose: a hung server has one
	// connection of ours in its queue, not a new one a second (a hundred broken
	// ones and it blocks the host), and is seen the moment it wakes.
	greetingLimit = 5 * time.Minute
	// eachLimit is in its place where a fallback waits for its chance.
	eachLimit = 3 * time.Second
)

// attempt is a connection attempt in progress. It may outlast the reader that
// started it.
type attempt struct {
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{}
}

// connectedLocked returns the connection, or waits up to 1.5 s after an attempt began for
// one to be opened. The error is an [Error] that says why there is none. The caller has
// connLock.
func (s *Server) connectedLocked(ctx context.Context) (*link, error) {
	l, t, err := s.connectionOrAttempt(ctx)
	if l != nil || err != nil {
		return l, err
	}
	wait := time.NewTimer(time.Until(t.began.Add(connectPatience)))
	defer wait.Stop()
	late := &Error{Reason: reason.Timeout, Text: "it does not answer; a connection attempt is in progress"}
	select {
	case <-t.done:
	default:
		select {
		case <-t.done:
		case <-wait.C:
			return nil, late
		case <-ctx.Done():
			return nil, late
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adoptReady(); s.link != nil {
		return s.link, nil
	}
	return nil, s.failure()
}

// failure returns the error for which there is no connection: that of the last attempt
// or, if none failed, that the server is no longer in the configuration.
func (s *Server) failure() error {
	if s.lastError == nil {
		return &Error{Reason: reason.Failed, Text: "it is no longer in the configuration"}
	}
	return s.lastError
}

// connectionOrAttempt returns the connection. Without one it returns the attempt in
// progress, which it starts if the backoff has passed or the password file has changed;
// else the last error. A closed server is an error.
func (s *Server) connectionOrAttempt(ctx context.Context) (*link, *attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, &Error{Reason: reason.Failed, Text: "it is no longer in the configuration"}
	}
	s.adoptReady()
	now := time.Now()
	if l := s.link; l != nil {
		s.reconnectIfDue(ctx, l, now)
		return l, nil, nil
	}
	if s.connecting == nil {
		if now.Before(s.retryAt) && !s.passwordChanged() {
			return nil, nil, s.failure()
		}
		s.startConnect(ctx, 1+len(s.o.Fallbacks))
	}
	return nil, s.connecting, nil
}

// adoptReady replaces the connection by the one that an attempt has opened; nothing if
// none has.
func (s *Server) adoptReady() {
	if s.ready == nil {
		return
	}
	before := s.link
	s.link, s.ready = s.ready, nil
	if before != nil {
		before.close()
	}
	if before == nil && s.link.index > 0 || before != nil && before.index != s.link.index {
		s.o.Logger.Info("Switched to another address of the server", "mysql", s.o.Name, "fallback", s.link.index)
	}
}

// reconnectIfDue starts an attempt beside the connection in use: to the primary
// while a fallback serves, and with the same login while a right is missing.
func (s *Server) reconnectIfDue(ctx context.Context, l *link, now time.Time) {
	due := l.index > 0 || l.process != nil
	if !due || s.connecting != nil || now.Before(s.primaryAt) || now.Before(l.made.Add(s.refreshAfter)) {
		return
	}
	s.primaryAt = now.Add(s.refreshAfter)
	s.startConnect(ctx, 1)
}

// startConnect starts an attempt to connect to the first n addresses.
func (s *Server) startConnect(ctx context.Context, n int) {
	limit := greetingLimit
	if n > 1 || s.link != nil {
		limit = time.Duration(n) * eachLimit
	}
	// A scrape that ends must not end the connect with it, see greetingLimit.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	t := &attempt{began: time.Now(), cancel: cancel, done: make(chan struct{})}
	s.connecting = t
	s.password = secret.VersionOf(s.o.PasswordFile)
	s.wg.Go(func() {
		defer cancel()
		l, err := s.dialAny(ctx, n)
		s.finishConnect(t, l, err)
	})
}

// finishConnect stores the result of an attempt, and sets when the next one may begin after
// an error. It closes the connection if the server was closed meanwhile.
func (s *Server) finishConnect(t *attempt, l *link, err *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(t.done)
	s.connecting = nil
	switch {
	case s.closed:
		l.close()
	case err == nil:
		s.ready = l
	case s.link == nil:
		s.failures++
		s.lastError, s.retryAt = err, t.began.Add(backoff(s.failures, err))
	}
}

// backoff returns how long to wait after n consecutive failures, the last of which is e:
// about 1 s, doubled with each up to a minute, or up to 4 s for an address where nothing
// listens. The first failure of a working connection is followed by an attempt at once,
// except after a timeout or a protocol error.
func backoff(n int, e *Error) time.Duration {
	if n <= 0 && e.Reason != reason.Timeout && !e.Broken {
		return 0
	}
	b := retry.Backoff{First: firstBackoff, Max: maxBackoff}
	if e.Reason == reason.NotFound {
		b.Max = maxNobodyBackoff
	}
	return b.Jittered(max(n, 1))
}

// dialAny returns a connection to the first of n addresses that can be used. The next is
// tried if one does not exist, does not answer in time or accepts no more connections:
// not if it refuses the login. The error is that of the first address.
func (s *Server) dialAny(ctx context.Context, n int) (*link, *Error) {
	var first *Error
	for i := range n {
		c, cancel := ctx, context.CancelFunc(func() {})
		if n > 1 {
			c, cancel = context.WithTimeout(ctx, eachLimit)
		}
		l, err := s.dial(c, i)
		cancel()
		if err == nil {
			return l, nil
		}
		e := classify(err)
		if first == nil {
			first = e
		}
		if e.Reason != reason.NotFound && e.Reason != reason.Timeout && e.Reason != reason.Busy {
			break
		}
	}
	return nil, first
}

// dial returns a connection to the address of an index, with its session set up.
func (s *Server) dial(ctx context.Context, index int) (*link, error) {
	cfg, err := s.driverConfig(index)
	if err != nil {
		return nil, err
	}
	l := &link{index: index, made: time.Now()}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{KeepAlive: time.Minute}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.guard = guard.New(c)
		return l.guard, nil
	}
	connector, err := mysqldriver.NewConnector(cfg)
	if err != nil {
		return nil, &Error{Reason: reason.Failed, Text: "the driver cannot parse the DSN, see docs/mysql.md"}
	}
	l.db = sql.OpenDB(connector)
	l.db.SetMaxOpenConns(1)
	if err := l.connect(ctx); err != nil {
		_ = l.db.Close()
		return nil, err
	}
	if err := l.prepare(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// driverConfig returns the driver's configuration of the DSN, or of a fallback: index 0 is
// the DSN. The error is an [*Error] and has no password.
func (s *Server) driverConfig(index int) (*mysqldriver.Config, error) {
	dsn := s.o.DSN
	if index > 0 {
		dsn = s.o.Fallbacks[index-1]
	}
	cfg, err := config.ParseDSN(dsn)
	if err != nil {
		return nil, &Error{Reason: reason.Failed, Text: "the driver cannot parse the DSN, see docs/mysql.md"}
	}
	if s.o.PasswordFile != "" {
		password, err := secret.Read(s.o.PasswordFile)
		if err != nil {
			return nil, passwordError(err)
		}
		cfg.Passwd = password
	}
	// What a server could use against us, or us against a server, stays off.
	cfg.AllowAllFiles, cfg.MultiStatements = false, false
	if err := cfg.Apply(mysqldriver.EnableCompression(false)); err != nil {
		return nil, &Error{Reason: reason.Failed, Text: "the driver cannot parse the DSN, see docs/mysql.md"}
	}
	cfg.Logger = &mysqldriver.NopLogger{} // it would write addresses to stderr
	cfg.ConnectionAttributes = "program_name:resp-exporter"
	if cfg.Timeout <= 0 || cfg.Timeout > dialLimit {
		cfg.Timeout = dialLimit
	}
	cfg.WriteTimeout = dialLimit
	return cfg, nil
}

// prepare limits the cost of the session for the server, and sets the server's version
// and the exporter's rights. A missing right is no error. The reason unsupported: the
// server is neither MySQL nor MariaDB.
func (l *link) prepare(ctx context.Context) error {
	var version string
	err := l.each(ctx, "SELECT VERSION(), CONNECTION_ID()", func(rows *sql.Rows) error { return rows.Scan(&version, &l.id) })
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	if l.version, err = ParseVersion(version); err != nil {
		return &Error{Reason: reason.Unsupported, Text: "the server is neither MySQL nor MariaDB"}
	}
	if err := l.exec(ctx, sessionSetup(l.version)); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	if err := l.setIdleTimeout(ctx); err != nil {
		return err
	}
	// Without this right the list of threads is not refused but short, and a
	// query that the server can answer without looking is not refused either.
	err = l.each(ctx, "SELECT 1 FROM information_schema.innodb_trx LIMIT 1", func(*sql.Rows) error { return nil })
	if err == nil {
		return nil
	}
	if e := classify(err); e.Reason == reason.Permission && !e.lost {
		l.process = e
		return nil
	}
	return fmt.Errorf("rights: %w", err)
}

// sessionSetup returns the statement that sets up a session: a second at most for locks,
// the time zone of the host, in which InnoDB reports the start of transactions whatever
// that of the session is, and, if the version can, a limit of time for each statement, in
// MySQL for each SELECT.
func sessionSetup(v Version) string {
	s := "SET SESSION autocommit=1, lock_wait_timeout=1, time_zone='SYSTEM'"
	switch {
	case !v.has(Version{Major: 10, Minor: 1, Patch: 1}, Version{Major: 5, Minor: 7, Patch: 8}):
		return s
	case v.MariaDB:
		return s + fmt.Sprintf(", max_statement_time=%d", int(statementLimit.Seconds()))
	default:
		return s + fmt.Sprintf(", max_execution_time=%d", statementLimit.Milliseconds())
	}
}
