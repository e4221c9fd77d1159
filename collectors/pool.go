package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

var (
	poolConnectionsFamily   = gauge("pool_connections", "Connections of the pool by state: in_use runs a statement, idle sleeps outside a transaction, in_transaction sleeps in a transaction, leaked has slept in a transaction for longer than leak_after. Of a pool that the app reports, leaked is checked out for longer than leak_after, in_use is checked out otherwise, idle is not. Each connection has one state.", "app", "pool", "state")
	poolCapacityFamily      = gauge("pool_capacity", "Maximum number of connections of the pool: size plus max_overflow, times the number of the app's worker processes. Absent if no size is configured or reported, or the pool is unlimited.", "app", "pool")
	poolUtilizationFamily   = gauge("pool_utilization_ratio", "Share (0 to 1) of the pool's capacity that is not idle.", "app", "pool")
	poolInfoFamily          = gauge("pool_info", "Always 1. source is inside for a pool that the app's workers report in their memory files, and outside for one that is counted from the server and the kernel.", "app", "pool", "source")
	poolWaitingFamily       = gauge("pool_waiting_threads", "Threads of the app that wait for a connection of the pool. Only if the app reports the pool.", "app", "pool")
	poolOldestFamily        = gauge("pool_oldest_checkout_seconds", "Time since the oldest connection that is checked out was; 0 if none is. Only if the app reports the pool.", "app", "pool")
	workerConnectionsFamily = gauge("worker_connections", "Established connections of the worker to a configured server (mysql:NAME, redis:NAME) or to another known kind of server. Sampled in the background, see worker_connections_sample_age_seconds.", "app", "worker", "component")
	connectionsAgeFamily    = gauge("worker_connections_sample_age_seconds", "Age of the sample that assigns connections to workers.")
)

const (
	// defaultLeakAfter is leak_after of pools that are not configured.
	defaultLeakAfter = time.Minute
	// maxListed is the maximum number of leaks of one pool, and of lock waits of one
	// server, in the state.
	maxListed = 20
	// maxWorkerSeries is the maximum number of series of resp_worker_connections.
	maxWorkerSeries = 4000
)

// PoolOptions are what a Pool needs.
type PoolOptions struct {
	Apps        Apps
	Activity    *Activity
	Connections Connections
	Configured  func() []config.App // their pools
	Leaks       *LeakLog
	Inside      Inside                     // nil: no app reports its pools
	InnerPID    func(pid int) (int, error) // the pid by which a process knows itself; nil: no client's claim of one is believed
}

// Pool is the collector "pool": the connections of the apps by pool and state, and by
// worker.
type Pool struct {
	o   PoolOptions
	now func() time.Time

	mu      sync.Mutex
	servers map[string]*poolServer // by name
	dropped int                    // series over maxWorkerSeries, since the start

	droppedConnections, droppedWaits int // over the bounds of the state, since the start
	droppedPools                     int // that apps report, over maxPools, since the start
}

// NewPool returns the collector "pool".
func NewPool(o PoolOptions) *Pool {
	return &Pool{o: o, now: time.Now, servers: make(map[string]*poolServer)}
}

// Name implements [Collector].
func (*Pool) Name() string { return "pool" }

// Descs implements [Collector].
func (*Pool) Descs() []*prometheus.Desc {
	return descs(poolConnectionsFamily, poolCapacityFamily, poolUtilizationFamily, poolInfoFamily, poolWaitingFamily, poolOldestFamily, workerConnectionsFamily, connectionsAgeFamily, seriesDropped)
}

// Collect implements [Collector]. If an app runs, and there is no sample of connections
// yet, it returns an empty sample without an error. The error has a lack for each server
// whose pools, and each app whose connections are not known, and for a server with more
// rows than are read.
func (c *Pool) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.o.Apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	targets := c.o.Activity.currentTargets()
	activities, details := make([]*activity, len(targets)), make([]lockDetails, len(targets))
	lacks := make([]error, len(targets))
	eachServer(ctx, len(targets), func(ctx context.Context, i int) {
		if activities[i], lacks[i] = c.o.Activity.read(ctx, targets[i], c.Name()); lacks[i] == nil {
			details[i] = readLockDetails(ctx, targets[i].Server, activities[i])
		}
	}, func(i int, err error) { lacks[i] = err })

	c.mu.Lock()
	defer c.mu.Unlock()
	var s Sample
	v := newSampledConnections(snap, c.o.Connections.Connections())
	if !v.known() {
		return s, nil // there is no sample of connections yet
	}
	inside := c.inside(v)
	servers := make(map[string]*poolServer, len(targets))
	for i, t := range targets {
		servers[t.Name] = c.servers[t.Name]
		if servers[t.Name] == nil {
			servers[t.Name] = &poolServer{seen: make(map[uint64]*seenConnection)}
		}
		if lacks[i] = poolsLack(t.Name, activities[i], lacks[i]); lacks[i] == nil {
			c.server(&s, servers[t.Name], poolRead{MySQLTarget: t, activity: activities[i], view: v, details: details[i], inside: inside})
			if activities[i].leftOut != (mysql.LeftOut{}) {
				lacks[i] = incompleteLack(t.Name)
			}
		}
	}
	c.servers = servers
	inside.publish(&s, v)
	lacks = append(lacks, c.workers(&s, v))
	return s, errors.Join(lacks...)
}

// poolsLack returns the lack of a server whose pools are not known, by the error of its
// read, or of its ping, threads or transactions, as [mysqlLack] does; nil if they are
// known.
func poolsLack(server string, l *activity, err error) error {
	if err == nil {
		for _, e := range []error{l.pingErr, l.threadsErr, l.transactionsErr} {
			if e != nil {
				err = e
				break
			}
		}
	}
	if err == nil {
		return nil
	}
	_, _, lack := mysqlLack(server, err)
	return lack
}

// connected is a component to which a process of an app is connected.
type connected struct {
	app, component string
	pid            int
}

// countConnections returns how many sampled connections each process has to each
// component, and the components of each app, sorted and each once.
func (v *sampledConnections) countConnections() (counts map[connected]int, components map[string][]string) {
	counts, components = make(map[connected]int), make(map[string][]string)
	for i := range v.list {
		x := &v.list[i]
		at := connected{x.App, x.component, x.PID}
		if counts[at]++; counts[at] == 1 && !slices.Contains(components[x.App], x.component) {
			components[x.App] = append(components[x.App], x.component)
		}
	}
	for _, c := range components {
		slices.Sort(c)
	}
	return counts, components
}

// workers adds the metrics of how many connections each worker has to each component, at
// most 4,000 series. It is 0 for a worker without one if another process of the app has
// one. lack: the connections of an app that runs could not be read, and are not added; nil
// if all could.
func (c *Pool) workers(s *Sample, v *sampledConnections) (lack error) {
	counts, components := v.countConnections()
	left := maxWorkerSeries
	for i := range v.snap.Apps {
		a := &v.snap.Apps[i]
		if err := v.errs[a.Name]; err != nil && a.Up {
			lack = errors.Join(lack, connectionsLack(a.Name, err))
			continue
		}
		for _, component := range components[a.Name] {
			n := min(len(a.Workers), left)
			c.dropped += len(a.Workers) - n
			left -= n
			for j := range a.Workers[:n] {
				w := &a.Workers[j]
				x := model.WorkerConnections{App: a.Name, Slot: strconv.Itoa(w.Slot), Component: component, Count: float64(counts[connected{a.Name, component, w.PID}])}
				s.add(workerConnectionsFamily, x.Count, x.App, x.Slot, x.Component)
				s.State.Connections = append(s.State.Connections, x)
			}
		}
	}
	if !v.taken.IsZero() {
		s.add(connectionsAgeFamily, max(0, c.now().Sub(v.taken).Seconds()))
	}
	s.add(seriesDropped, float64(c.dropped+v.dropped), workerConnectionsFamily.name)
	s.add(seriesDropped, float64(v.descriptors), "connection_descriptor")
	s.add(seriesDropped, float64(c.droppedConnections), "mysql_store_connection")
	s.add(seriesDropped, float64(c.droppedWaits), "mysql_store_wait")
	s.add(seriesDropped, float64(c.droppedPools), "reported_pool")
	return lack
}

// connectionsLack returns the lack of an app whose connections cannot be read: an
// [Unavailable] if that was refused, else err with the app's name.
func connectionsLack(app string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return lackOfApp(app, Permission, "the connections of "+app+" need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", RemedyProcesses)
	}
	return fmt.Errorf("the connections of %s: %w", app, err)
}
