package collectors

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// activityFresh is how long after its end a look at a server still serves a
// collector that has not had it: those of one scrape do not ask at the very same
// moment.
const activityFresh = time.Second

// Activity looks at what the MySQL servers do. The collectors of one scrape
// share one look at each server, for the list of threads and that of
// transactions are what a scrape costs a server. A collector gets each look once,
// so the next scrape has one of its own.
type Activity struct {
	targets func() []MySQLTarget

	mu      sync.Mutex
	servers map[string]*serverLooks // by name
}

// activity is one look at one server. Nothing in it changes any more.
type activity struct {
	began           time.Time
	ping            time.Duration
	pingErr         error
	threads         []mysql.Thread
	threadsErr      error
	transactions    []mysql.Transaction
	transactionsErr error
	waits           []mysql.LockWait // asked for only if a transaction waits
	waitsErr        error
	left            mysql.LeftOut // rows that are missing here
}

// serverLooks is the latest look at one server.
type serverLooks struct {
	server MySQLServer
	last   *activityFlight
}

type activityFlight struct {
	done  chan struct{}
	ended time.Time // set before done is closed; so is look
	look  *activity
	had   map[string]bool // by collector
}

var errLookPanicked = errors.New("reading it panicked")

// NewActivity returns an Activity of these servers; it asks them nothing yet.
func NewActivity(targets func() []MySQLTarget) *Activity {
	return &Activity{targets: targets, servers: make(map[string]*serverLooks)}
}

// list returns the servers, and forgets those that are no longer there.
func (a *Activity) list() []MySQLTarget {
	targets := a.targets()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.servers) > len(targets) {
		clear(a.servers)
	}
	return targets
}

// of returns a look at a server that this collector has not had yet: the one under
// way, one that has just ended, or a new one.
func (a *Activity) of(ctx context.Context, t MySQLTarget, collector string) (*activity, error) {
	f, mine := a.join(t, collector)
	if mine {
		// A panic goes on to the one who asked; the others get an error.
		defer close(f.done)
		f.look = &activity{began: time.Now(), pingErr: errLookPanicked}
		f.look = lookAt(ctx, t.Server)
		a.mu.Lock()
		f.ended = time.Now()
		a.mu.Unlock()
		return f.look, nil
	}
	select {
	case <-f.done:
		return f.look, nil
	case <-ctx.Done():
		return nil, &mysql.Error{Reason: reason.Timeout, Text: "the previous read has not finished yet"}
	}
}

func (a *Activity) join(t MySQLTarget, collector string) (f *activityFlight, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.servers[t.Name]
	if s == nil || s.server != t.Server {
		s = &serverLooks{server: t.Server}
		a.servers[t.Name] = s
	}
	if f := s.last; f != nil && !f.had[collector] && (f.ended.IsZero() || time.Since(f.ended) < activityFresh) {
		f.had[collector] = true
		return f, false
	}
	s.last = &activityFlight{done: make(chan struct{}), had: map[string]bool{collector: true}}
	return s.last, true
}

// lookAt asks a server. The ping is first: it has the shortest limit, so a
// server that hangs costs no more.
func lookAt(ctx context.Context, s MySQLServer) *activity {
	l := &activity{began: time.Now()}
	before := s.LeftOut()
	defer func() {
		after := s.LeftOut()
		l.left = mysql.LeftOut{Threads: after.Threads - before.Threads, Transactions: after.Transactions - before.Transactions, LockWaits: after.LockWaits - before.LockWaits}
	}()
	if l.ping, l.pingErr = s.Ping(ctx); l.pingErr != nil {
		return l
	}
	if l.threads, l.threadsErr = s.Threads(ctx); l.threadsErr != nil {
		l.transactionsErr = l.threadsErr
		return l
	}
	if l.transactions, l.transactionsErr = s.Transactions(ctx); l.transactionsErr != nil {
		return l
	}
	for i := range l.transactions {
		if l.transactions[i].Waits {
			l.waits, l.waitsErr = s.LockWaits(ctx)
			break
		}
	}
	return l
}

// byID returns the transactions by their ids.
func (l *activity) byID() map[string]*mysql.Transaction {
	out := make(map[string]*mysql.Transaction, len(l.transactions))
	for i := range l.transactions {
		out[l.transactions[i].ID] = &l.transactions[i]
	}
	return out
}

// MySQLServer is what this collector needs of a server.
type MySQLServer interface {
	Ping(ctx context.Context) (time.Duration, error)
	Serving() (index int, v mysql.Version, ok bool)
	Status(ctx context.Context) (map[string]float64, error)
	Variables(ctx context.Context) (map[string]string, error)
	Threads(ctx context.Context) ([]mysql.Thread, error)
	Transactions(ctx context.Context) ([]mysql.Transaction, error)
	LockWaits(ctx context.Context) ([]mysql.LockWait, error)
	StatementTime(ctx context.Context) (time.Duration, error)
	LastStatements(ctx context.Context, ids []uint64) (map[uint64]string, error)
	LeftOut() mysql.LeftOut
}

// MySQLTarget is one server of the configuration.
type MySQLTarget struct {
	Name   string
	Server MySQLServer
	Users  map[string]string // the users of the apps, with the app of each; empty: not known
}
