// Package mysql holds one connection to each MySQL or MariaDB server and reads
// what a diagnosis needs as plain data. It never reads a table of a user, and
// its errors repeat neither users nor addresses.
package mysql

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const (
	// statementLimit bounds each statement, here and in the server. The one in
	// the server is needed because a statement continues after its client disconnects.
	statementLimit = 5 * time.Second
	// pingLimit bounds the first question of a look, so that a hung server
	// costs a scrape no more.
	pingLimit = 1500 * time.Millisecond
	// connectPatience is how long a reader waits for a connect that is under way.
	connectPatience = 1500 * time.Millisecond
)

// Options are the settings of [Open].
type Options struct {
	Name         string          // for logs
	DSN          config.Secret   // as the driver writes them
	Fallbacks    []config.Secret // tried in this order while DSN cannot be reached
	PasswordFile string          // read at each connect; "": the password of the DSN
	Logger       *slog.Logger    // nil: no log
}

// Server is one server, with at most one connection in use and one being
// opened. Its methods may be called concurrently; reads wait for each other.
type Server struct {
	o            Options
	left         leftOut
	connLock     chan struct{}  // holds the connection
	sessionLock  chan struct{}  // holds the session of an action
	wg           sync.WaitGroup // of connects under way
	refreshAfter time.Duration  // primaryInterval

	mu         sync.Mutex
	link       *link // nil: not connected
	ready      *link // made and not used yet
	connecting *attempt
	lastError  *Error // of the last try; nil: none failed
	failures   int    // in a row
	retryAt    time.Time
	primaryAt  time.Time      // when the primary is tried again while a fallback serves
	password   secret.Version // of the password file when it was last read
	closed     bool
}

// Open returns a server. It connects at the first read.
func Open(o Options) *Server {
	o.Logger = logs.Or(o.Logger)
	return &Server{o: o, connLock: make(chan struct{}, 1), sessionLock: make(chan struct{}, 1), refreshAfter: primaryInterval}
}

// Close ends the connection and every connect under way, and waits for them. Later reads
// fail.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	if s.connecting != nil {
		s.connecting.cancel()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.connLock <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.close()
	s.ready.close()
	s.link, s.ready = nil, nil
	<-s.connLock
}

// Serving reports which address serves, 0 for the primary and n for the n-th
// fallback, and the server's version; ok is false while there is no connection.
func (s *Server) Serving() (index int, v Version, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return 0, Version{}, false
	}
	return s.link.index, s.link.version, true
}

// use calls f with the connection, exclusively, for at most limit; its error is an
// [Error]. A failure that breaks the connection closes it. If the server had closed it
// while it was idle, use connects again and calls f a second time: f must start over with
// its results.
func (s *Server) use(ctx context.Context, limit time.Duration, f func(context.Context, *link) error) error {
	select {
	case s.connLock <- struct{}{}:
		defer func() { <-s.connLock }()
	case <-ctx.Done():
		return &Error{Reason: reason.Timeout, Text: "the previous read has not finished yet"}
	}
	for again := true; ; again = false {
		l, err := s.connectedLocked(ctx)
		if err != nil {
			return err
		}
		e := s.once(ctx, limit, l, f)
		if e == nil {
			return nil
		}
		if !again || !e.cut || !l.worked || ctx.Err() != nil {
			return e
		}
	}
}

// once calls f with a connection, and closes it after a failure that breaks it. It
// returns the [Error] for that of f; nil for none.
func (s *Server) once(ctx context.Context, limit time.Duration, l *link, f func(context.Context, *link) error) *Error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := f(ctx, l); err != nil {
		e := classify(err)
		if e.lost {
			s.drop(e)
		}
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.lastError, l.worked = 0, nil, true
	return nil
}

// drop closes the connection in use. The first failure after a success is
// followed by an attempt at once, because the connection may only have been
// idle for too long.
func (s *Server) drop(e *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.close()
	s.link = nil
	s.lastError, s.retryAt = e, time.Now().Add(backoff(s.failures, e))
	s.failures++
}
