package collectors

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// activityLifetime is how long a finished read is shared with collectors that
// have not used it: the collectors of one scrape do not start at the same moment.
const activityLifetime = time.Second

// Lists of a server with many connections are most of what a scrape costs it: they are
// read again when they are as old as their read took, listsPause times, or listsMaxAge. So
// two Prometheus servers, or a browser beside one, do not each pay for them. Lists in which
// somebody waits for a lock are read each time: there a second matters.
const (
	listsMinThreads = 200
	listsPause      = 500
	listsMaxAge     = 2 * time.Second
)

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
	from            servedBy      // which server has answered
	began           time.Time     // of the read of the lists
	took            time.Duration // by the lists
	age             time.Duration // of the lists; 0 at the end of the read that read them
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

// servedBy is which of the addresses of a server has answered. Zero: none, or several.
type servedBy struct {
	known   bool
	index   int
	version mysql.Version
}

// servingOf returns which address of a server answered last; the zero value if that is not
// known.
func servingOf(s MySQLServer) servedBy {
	index, v, ok := s.Serving()
	if !ok {
		return servedBy{}
	}
	return servedBy{true, index, v}
}

// activityReads is the latest read of one server.
type activityReads struct {
	server MySQLServer
	latest *activityRead
	lists  *activity // of the last read that has ended
}

// activityRead is one read of one server, under way or finished.
type activityRead struct {
	done    chan struct{}
	ended   time.Time // set before done is closed, as is result
	result  *activity
	readers map[string]bool // the collectors that got this read
}

var errReadPanicked = errors.New("reading it panicked")

// NewActivity returns an Activity of the MySQL servers in targets, which it calls for
// each read. It reads nothing yet.
func NewActivity(targets func() []MySQLTarget) *Activity {
	return &Activity{targets: targets, servers: make(map[string]*activityReads)}
}

// currentTargets returns the configured servers, in the order of the configuration. If
// there are fewer than servers of which reads are kept, it forgets all reads.
func (a *Activity) currentTargets() []MySQLTarget {
	targets := a.targets()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.servers) > len(targets) {
		clear(a.servers)
	}
	return targets
}

// read returns a read of a server that this collector has not used yet: the one that is
// under way, one that has just ended, or a new one. What the server refused is in the
// result. The error is not nil only if ctx ends while another collector's read is under
// way: a [mysql.Error] with reason timeout.
func (a *Activity) read(ctx context.Context, t MySQLTarget, collector string) (*activity, error) {
	r, lists, first := a.join(t, collector)
	if first {
		// The first reader gets the panic, the others get an error.
		defer close(r.done)
		r.result = &activity{began: time.Now(), pingErr: errReadPanicked}
		r.result = readActivity(ctx, t.Server, lists)
		a.mu.Lock()
		r.ended = time.Now()
		if s := a.servers[t.Name]; s != nil && s.latest == r {
			s.lists = r.result
		}
		a.mu.Unlock()
		return r.result, nil
	}
	select {
	case <-r.done:
		joined := *r.result
		if !r.ended.IsZero() {
			joined.age += time.Since(r.ended)
		}
		return &joined, nil
	case <-ctx.Done():
		return nil, &mysql.Error{Reason: reason.Timeout, Text: "the previous read has not finished yet"}
	}
}

// join returns the read of a server to wait for. first is true if this caller has to do
// the read; then lists are those of the read before, nil if there is none.
func (a *Activity) join(t MySQLTarget, collector string) (r *activityRead, lists *activity, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.servers[t.Name]
	if s == nil || s.server != t.Server {
		s = &activityReads{server: t.Server}
		a.servers[t.Name] = s
	}
	if r := s.latest; r != nil && !r.readers[collector] && (r.ended.IsZero() || time.Since(r.ended) < activityLifetime) {
		r.readers[collector] = true
		return r, nil, false
	}
	s.latest = &activityRead{done: make(chan struct{}), readers: map[string]bool{collector: true}}
	return s.latest, s.lists, true
}

// readActivity reads one server and returns the result, never nil, with the errors in it.
// The ping comes first because it has the shortest timeout: a server that hangs costs no
// more than that, and without a ping nothing else is read. The lists are those of the read
// before if [activity.serves] says so.
func readActivity(ctx context.Context, s MySQLServer, before *activity) *activity {
	a := &activity{began: time.Now()}
	if a.ping, a.pingErr = s.Ping(ctx); a.pingErr != nil {
		return a
	}
	if a.from = servingOf(s); before.serves(a.from, time.Now()) {
		shared := *before
		shared.age = time.Since(before.began)
		shared.ping, shared.leftOut = a.ping, mysql.LeftOut{} // counted when they were read
		return &shared
	}
	a.readLists(ctx, s)
	if servingOf(s) != a.from {
		a.from = servedBy{} // they may be of two servers
	}
	return a
}

// serves reports whether the lists of an earlier read are to be used again for the server
// from: they are that server's, complete, have at least 200 threads, no thread or
// transaction in them waits for a lock, and they are younger than two seconds and than 500
// times what they took. False for nil.
func (a *activity) serves(from servedBy, now time.Time) bool {
	if a == nil || !from.known || a.from != from || a.pingErr != nil || a.threadsErr != nil || a.transactionsErr != nil || a.leftOut != (mysql.LeftOut{}) || len(a.threads) < listsMinThreads {
		return false
	}
	for i := range a.threads {
		if waitsForLock(a.threads[i].State) {
			return false
		}
	}
	for i := range a.transactions {
		if a.transactions[i].Waits {
			return false
		}
	}
	age := now.Sub(a.began)
	return age >= 0 && age < min(listsMaxAge, listsPause*a.took)
}

// waitsForLock reports whether the state of a thread says that it waits for a lock:
// "Waiting for … lock", such as that of table metadata.
func waitsForLock(state string) bool {
	return strings.HasPrefix(state, "Waiting for ") && strings.HasSuffix(state, " lock")
}

// readLists reads the threads, the transactions and, if one waits, the lock waits. It sets
// the error of the first list that cannot be read, and reads no further.
func (a *activity) readLists(ctx context.Context, s MySQLServer) {
	a.began = time.Now()
	before := s.LeftOut()
	defer func() {
		a.took = time.Since(a.began)
		after := s.LeftOut()
		a.leftOut = mysql.LeftOut{Threads: after.Threads - before.Threads, Transactions: after.Transactions - before.Transactions, LockWaits: after.LockWaits - before.LockWaits}
	}()
	if a.threads, a.threadsErr = s.Threads(ctx); a.threadsErr != nil {
		a.transactionsErr = a.threadsErr
		return
	}
	if a.transactions, a.transactionsErr = s.Transactions(ctx); a.transactionsErr != nil {
		return
	}
	for i := range a.transactions {
		if a.transactions[i].Waits {
			a.waits, a.waitsErr = s.LockWaits(ctx)
			break
		}
	}
}

// transactionsByID returns pointers to the transactions by their ids; nil for an id that
// several have: MariaDB reports 0 for each transaction that has changed nothing.
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
