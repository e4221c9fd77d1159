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
const activityLifetime = time.Second

// Activity looks at what the MySQL servers do. The collectors of one scrape
// share one look at each server, for the list of threads and that of
// transactions are what a scrape costs a server. A collector gets each look once,
// so the next scrape has one of its own.
type Activity struct {
	targets func() []MySQLTarget

	mu      sync.Mutex
	servers map[string]*activityReads // by name
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
	leftOut         mysql.LeftOut // rows that are missing here
}

// serverLooks is the latest look at one server.
type activityReads struct {
	server MySQLServer
	latest *activityRead
}

type activityRead struct {
	done    chan struct{}
	ended   time.Time // set before done is closed; so is look
	result  *activity
	readers map[string]bool // by collector
}

var errReadPanicked = errors.New("the look at it panicked")

// NewActivity returns an Activity of these servers; it asks them nothing yet.
func NewActivity(targets func() []MySQLTarget) *Activity {
	return &Activity{targets: targets, servers: make(map[string]*activityReads)}
}

// list returns the servers, and forgets those that are no longer there.
func (a *Activity) currentTargets() []MySQLTarget {
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
func (a *Activity) read(ctx context.Context, t MySQLTarget, collector string) (*activity, error) {
	r, first := a.join(t, collector)
	if first {
		// A panic goes on to the one who asked; the others get an error.
		defer close(r.done)
		r.result = &activity{began: time.Now(), pingErr: errReadPanicked}
		r.result = readActivity(ctx, t.Server)
		a.mu.Lock()
		r.ended = time.Now()
		a.mu.Unlock()
		return r.result, nil
	}
	select {
	case <-r.done:
		return r.result, nil
	case <-ctx.Done():
		return nil, &mysql.Error{Reason: reason.Timeout, Text: "another read of it has not ended yet"}
	}
}

func (a *Activity) join(t MySQLTarget, collector string) (r *activityRead, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.servers[t.Name]
	if s == nil || s.server != t.Server {
		s = &activityReads{server: t.Server}
		a.servers[t.Name] = s
	}
	if r := s.latest; r != nil && !r.readers[collector] && (r.ended.IsZero() || time.Since(r.ended) < activityLifetime) {
		r.readers[collector] = true
		return r, false
	}
	s.latest = &activityRead{done: make(chan struct{}), readers: map[string]bool{collector: true}}
	return s.latest, true
}

// lookAt asks a server. The ping is first: it has the shortest limit, so a
// server that hangs costs no more.
func readActivity(ctx context.Context, s MySQLServer) *activity {
	a := &activity{began: time.Now()}
	before := s.LeftOut()
	defer func() {
		after := s.LeftOut()
		a.leftOut = mysql.LeftOut{Threads: after.Threads - before.Threads, Transactions: after.Transactions - before.Transactions, LockWaits: after.LockWaits - before.LockWaits}
	}()
	if a.ping, a.pingErr = s.Ping(ctx); a.pingErr != nil {
		return a
	}
	if a.threads, a.threadsErr = s.Threads(ctx); a.threadsErr != nil {
		a.transactionsErr = a.threadsErr
		return a
	}
	if a.transactions, a.transactionsErr = s.Transactions(ctx); a.transactionsErr != nil {
		return a
	}
	for i := range a.transactions {
		if a.transactions[i].Waits {
			a.waits, a.waitsErr = s.LockWaits(ctx)
			break
		}
	}
	return a
}

// byID returns the transactions by their ids.
func (a *activity) transactionsByID() map[string]*mysql.Transaction {
	out := make(map[string]*mysql.Transaction, len(a.transactions))
	for i := range a.transactions {
		out[a.transactions[i].ID] = &a.transactions[i]
	}
	return out
}
