// Package redis reads the state of one Redis server, or of the servers of one cluster: over
// one connection that is kept, with a deadline for every operation and a limit for every
// reply. Only this package and those below it import the driver.
package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/retry"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const (
	// Patience is how long one read may take at most, for all callers: a Redis
	// that takes longer is, to an app, not there.
	Patience = 1500 * time.Millisecond
	// After a fault nothing is tried for a while that doubles from firstWait.
	// It stays short enough that a server which is back is seen in 5 s.
	firstWait = 500 * time.Millisecond
	maxWait   = 3200 * time.Millisecond
	// maxRefused is the longest wait after a refusal, which only a change on
	// either side can end, and which a server may log.
	maxRefused = 30 * time.Second
)

// Options are the settings of [Open].
type Options struct {
	URL          config.RedisURL
	PasswordFile string           // absolute path, read at each connect; wins over URL.Password; "": none
	Now          func() time.Time // nil: time.Now
}

// Server is one Redis server. Its methods may be called concurrently.
type Server struct {
	o    Options
	turn chan struct{} // one read at a time, so that one connection is enough

	mu     sync.Mutex // guards what follows, and is never held while reading
	link   *Link      // nil: not connected
	closed bool
	fault  *Error // of the last try; nil: it worked
	faults int    // tries in a row that failed
	until  time.Time
	secret secret.Version // of the password file at the last fault
}

// Open returns a server, which connects at its first read.
func Open(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, turn: make(chan struct{}, 1)}
}

// DB returns the number of the database that the URL selects.
func (s *Server) DB() int { return s.o.URL.DB }

// IsCluster reports whether the URL names a cluster.
func (s *Server) IsCluster() bool { return s.o.URL.Kind == config.RedisCluster }

// Peer returns where the server is, as the last connection to it reports: "host:port", or
// the path of a UNIX socket; "" if there is no connection, and for a cluster.
func (s *Server) Peer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil || s.IsCluster() {
		return ""
	}
	if peer := s.link.peer.Load(); peer != nil {
		return *peer
	}
	return ""
}

// Now returns the time by the server's clock, see [Options].
func (s *Server) Now() time.Time { return s.o.Now() }

// Close closes the connection for good; reads that are in progress fail soon.
func (s *Server) Close() error {
	s.mu.Lock()
	l := s.link
	s.link, s.closed = nil, true
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.client.Close()
}

// Ping returns the time of one round trip on a connection that stands, of a cluster the
// longest over its masters. Its error is an [Error]. If the server refuses PING alone, or
// has refused it before on this link, it returns both: the time, and why.
func (s *Server) Ping(ctx context.Context) (time.Duration, error) {
	var took time.Duration
	var refused *Error
	err := s.Do(ctx, func(ctx context.Context, l *Link) error {
		before := l.dials.Load()
		err := ping(ctx, l, &took)
		if err == nil && l.dials.Load() != before {
			err = ping(ctx, l, &took) // the first one paid for the connect
		}
		refused = l.noPing.Load()
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case refused != nil:
		return took, refused
	}
	return took, nil
}

// ping pings each node, and sets the longest response time. It returns one of the errors.
func ping(ctx context.Context, l *Link, longest *time.Duration) error {
	var mu sync.Mutex
	*longest = 0
	return l.Each(ctx, func(ctx context.Context, c *redis.Client) error {
		began := time.Now()
		err := l.PingError(c.Ping(ctx).Err())
		mu.Lock()
		defer mu.Unlock()
		*longest = max(*longest, time.Since(began))
		return err
	})
}

// Info returns what the exporter needs of INFO, added up for a cluster. Its error is an
// [Error]. If only the database of the URL was not selected before, it returns both.
func (s *Server) Info(ctx context.Context) (Info, error) {
	var infos []Info
	var refused *Error
	err := s.Do(ctx, func(ctx context.Context, l *Link) error {
		var mu sync.Mutex
		infos = infos[:0]
		refused = l.noKeys.Load()
		return l.Each(ctx, func(ctx context.Context, c *redis.Client) error {
			reply, err := askInfo(ctx, l, c)
			mu.Lock()
			defer mu.Unlock()
			infos = append(infos, ParseInfo(reply))
			return err
		})
	})
	if err != nil {
		return Info{}, err
	}
	if refused != nil {
		return sum(infos), refused
	}
	return sum(infos), nil
}

// Version returns the version of the server, of a cluster that of one master, by HELLO,
// which needs no right; "" if it is not reported, e.g. before Redis 6, or cannot be read.
func (s *Server) Version(ctx context.Context) string {
	var mu sync.Mutex // of version: a cluster's masters are asked at the same time
	version := ""
	_ = s.Do(ctx, func(ctx context.Context, l *Link) error {
		return l.Each(ctx, func(ctx context.Context, c *redis.Client) error {
			fields, err := c.Do(ctx, "hello").Slice()
			for i := 0; err == nil && i+1 < len(fields); i += 2 {
				if text, ok := fields[i+1].(string); ok && fields[i] == "version" {
					mu.Lock()
					version = plainText(text)
					mu.Unlock()
				}
			}
			return err
		})
	})
	return version
}

// askInfo returns the reply of INFO with the sections that are needed, or with all from a
// server before 7.0, which takes one section at most.
func askInfo(ctx context.Context, l *Link, c *redis.Client) (string, error) {
	if !l.plain.Load() {
		reply, err := c.Info(ctx, "server", "clients", "memory", "stats", "replication", "keyspace").Result()
		if err == nil || !strings.Contains(err.Error(), "syntax error") {
			return reply, err
		}
		l.plain.Store(true)
	}
	return c.Info(ctx).Result()
}

// Do calls f with a link that may be new. If one that had worked breaks, not by a timeout,
// f is called once more with a new one. Its error is an [Error]. An error of f, on a link
// that had worked, that is neither an error reply nor of the connection is inside of it,
// and f is not called again.
func (s *Server) Do(ctx context.Context, f func(context.Context, *Link) error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return classify(ctx.Err(), "", false)
	}
	for again := false; ; again = true {
		l, fault := s.ready()
		if fault != nil {
			return fault
		}
		err := f(ctx, l)
		if err == nil {
			s.succeeded(l)
			return nil
		}
		if l.worked.Load() && !IsReply(err) && !ofConnection(err) {
			return unusable(err) // the connection is well
		}
		fault = classify(err, l.lastReply(), s.o.URL.TLS)
		if !s.failed(l, fault, err) || again || ctx.Err() != nil {
			return fault
		}
	}
}

// WithKeys calls f as [Server.Do] does. If a new link cannot be used, or the database not
// be selected, it returns that error without a call. Rights to keys are not checked.
func (s *Server) WithKeys(ctx context.Context, f func(context.Context, *Link) error) error {
	return s.Do(ctx, func(ctx context.Context, l *Link) error {
		// A refused login must be reported as a login, not as refused commands.
		if err := s.verify(ctx, l); err != nil {
			return err
		}
		if err := l.KeysError(); err != nil {
			return err
		}
		return f(ctx, l)
	})
}

// InBackground calls f, at most once, with a link that may be new; not if ctx has ended, no
// link can be used, or the database not be selected. f may return at any time, but must
// first read the replies to what it has sent: a link that is left within a reply cannot be
// used again. [ErrStale] of f is returned as it is; any other error is an [Error].
func (s *Server) InBackground(ctx context.Context, f func(context.Context, *Link) error) error {
	if err := ctx.Err(); err != nil {
		return &Error{Reason: reason.Timeout, Detail: "was not queried in time: the scrape was cancelled"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Patience)
	defer cancel()
	l, fault := s.ready()
	if fault != nil {
		return fault
	}
	err := s.verify(ctx, l)
	if err == nil {
		err = l.KeysError()
	}
	if err == nil {
		err = f(ctx, l)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrStale):
		return err
	}
	fault = classify(err, l.lastReply(), s.o.URL.TLS)
	s.failed(l, fault, err)
	return fault
}

// OnOneConnection calls f as [Server.WithKeys] does, and again if the client has replaced
// the connection meanwhile: what f saw is of one server. An [Error] with the reason
// failed: it was replaced each time.
func (s *Server) OnOneConnection(ctx context.Context, f func(context.Context, *Link) error) error {
	return s.Do(ctx, func(ctx context.Context, l *Link) error {
		for range 2 {
			if err := s.verify(ctx, l); err != nil {
				return err
			}
			if err := l.KeysError(); err != nil {
				return err
			}
			before := l.dials.Load()
			if err := f(ctx, l); err != nil {
				return err
			}
			if l.dials.Load() == before {
				return nil
			}
		}
		return ErrStale
	})
}

// OpenLink returns a new link, for work that must neither wait for the reads of the
// server nor delay them. It is not connected yet; the caller closes it. After Close of
// the server it is an error.
func (s *Server) OpenLink() (*Link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Reason: reason.Failed, Detail: "is no longer in the configuration"}
	}
	return newLink(s.o.URL, s.o.PasswordFile), nil
}

// Classify returns the [Error] for an error that came on l.
func (s *Server) Classify(err error, l *Link) *Error {
	return classify(err, l.lastReply(), s.o.URL.TLS)
}

// verify sends PING on a link that has never worked, and returns its error. A command of
// f of InBackground may be refused, which must not look as if the server were
// unreachable.
func (s *Server) verify(ctx context.Context, l *Link) error {
	if l.worked.Load() {
		return nil
	}
	var took time.Duration
	err := ping(ctx, l, &took)
	if err == nil {
		s.succeeded(l)
	}
	return err
}

// ready returns the link to use, which may be new, or the error that says why there is
// none now: closed, or too early to try again.
func (s *Server) ready() (*Link, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, &Error{Reason: reason.Failed, Detail: "is no longer in the configuration"}
	case s.link != nil:
		return s.link, nil
	case s.fault != nil && s.o.Now().Before(s.until) && !s.renewed():
		return nil, s.fault
	}
	s.link = newLink(s.o.URL, s.o.PasswordFile)
	return s.link, nil
}

// renewed reports whether the password file has changed since the last attempt, so that
// the next one need not wait.
func (s *Server) renewed() bool {
	return s.o.PasswordFile != "" && s.secret != secret.VersionOf(s.o.PasswordFile)
}

// succeeded records that a read has succeeded, which ends the pause after faults.
func (s *Server) succeeded(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.worked.Store(true)
	if s.link == l {
		s.fault, s.faults = nil, 0
	}
}

// failed records a fault of l, and closes l, unless l had worked and err is a reply or an
// [Error]. It reports whether to try again at once, with a new link: l had worked and is
// closed now, not by a timeout, and s is not closed.
func (s *Server) failed(l *Link, fault *Error, err error) (again bool) {
	var answered redis.Error
	var ours *Error
	worked := l.worked.Load()
	if worked && (errors.As(err, &answered) || errors.As(err, &ours)) {
		return false // the connection is well; only this was refused
	}
	s.mu.Lock()
	again = worked && fault.Reason != reason.Timeout && !s.closed
	if s.link == l { // else another reader found it broken first
		s.link = nil
		if !again {
			s.wait(fault)
		}
	}
	s.mu.Unlock()
	_ = l.client.Close()
	return again
}

// wait records a fault, and sets when the next try may be: later after each fault in a
// row.
func (s *Server) wait(fault *Error) {
	b := retry.Backoff{First: firstWait, Max: maxWait}
	if fault.Reason == reason.Permission {
		b.Max = maxRefused
	}
	s.faults++
	s.fault = fault
	s.until = s.o.Now().Add(b.Jittered(s.faults))
	s.secret = secret.VersionOf(s.o.PasswordFile)
}
