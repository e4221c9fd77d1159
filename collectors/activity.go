package collectors

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// activityLifetime is how long a finished read is shared with collectors that
// have not used it: the collectors of one scrape do not start at the same moment.
const activityLifetime = time.Second

// Activity reads the threads, transactions and lock waits of the MySQL servers.
// The collectors of one scrape share one read of each server, because these lists
// are most of what a scrape costs a server. A collector gets each read once, so
// the next scrape starts a new one.
type Activity struct {
	targets func() []MySQLTarget

	mu      sync.Mutex
	servers map[string]*activityReads // by the name of the server
}

// activity is the result of one read of one server. It is not changed after the
// read.
type activity struct {
	began           time.Time
	ping            time.Duration
	pingErr         error
	threads         []mysql.Thread
	threadsErr      error
	transactions    []mysql.Transaction
	transactionsErr error
	waits           []mysql.LockWait // read only if a transaction waits
	waitsErr        error
	leftOut         mysql.LeftOut // rows over the limits, which are missing here
}

// activityReads is the latest read of one server.
type activityReads struct {
	server MySQLServer
	latest *activityRead
}

// activityRead is one read of one server, under way or finished.
type activityRead struct {
	done    chan struct{}
	ended   time.Time // set before done is closed, as is result
	result  *activity
	readers map[string]bool // the collectors that got this read
}

var errReadPanicked = errors.New("reading it panicked")

// NewActivity returns an Activity of these servers. It reads nothing yet.
func NewActivity(targets func() []MySQLTarget) *Activity {
	return &Activity{targets: targets, servers: make(map[string]*activityReads)}
}

// currentTargets returns the configured servers. It drops all finished reads if
// there are fewer servers than before.
func (a *Activity) currentTargets() []MySQLTarget {
	targets := a.targets()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.servers) > len(targets) {
		clear(a.servers)
	}
	return targets
}

// read returns a read of a server that this collector has not used yet: the one
// under way, one that has just ended, or a new one. The error is a [mysql.Error]
// with reason timeout if ctx ends first.
func (a *Activity) read(ctx context.Context, t MySQLTarget, collector string) (*activity, error) {
	r, first := a.join(t, collector)
	if first {
		// The first reader gets the panic, the others get an error.
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
		return nil, &mysql.Error{Reason: reason.Timeout, Text: "the previous read has not finished yet"}
	}
}

// join returns the read of a server to wait for. first is true if this caller has
// to do the read.
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

// readActivity reads one server. The ping comes first because it has the shortest
// timeout: a server that hangs costs no more than that.
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

// transactionsByID returns the transactions by their ids. An id that two of them have is
// of neither: MariaDB reports 0 for each transaction that has changed nothing.
func (a *activity) transactionsByID() map[string]*mysql.Transaction {
	out := make(map[string]*mysql.Transaction, len(a.transactions))
	for i := range a.transactions {
		t := &a.transactions[i]
		if _, twice := out[t.ID]; twice {
			t = nil
		}
		out[a.transactions[i].ID] = t
	}
	return out
}

// MySQLServer is the part of a [mysql.Server] that the collectors use.
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
	MetadataLocks(ctx context.Context) ([]locks.Lock, error)
	ClientPIDs(ctx context.Context) (map[uint64]int, error)
	LeftOut() mysql.LeftOut
}

// MySQLTarget is one server of the configuration.
type MySQLTarget struct {
	Name   string
	Server MySQLServer
	Users  map[string]string // the users of the apps, with the app of each; empty: not known
}
