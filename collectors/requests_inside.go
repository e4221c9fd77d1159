package collectors

import (
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

var (
	httpQueueTime = histogram("http_queue_time_seconds",
		"Time that requests waited before the app began with them, from the header of the proxy in front of it, as the app reports it.", "app")
	poolWait = histogram("pool_wait_seconds",
		"Time that the app waited for a connection of its pool, as it reports it. A wait of up to 1 ms may not be reported.", "app", "pool")
	taskRuns = counter("task_runs_total",
		"Runs of background tasks inside the app, as it reports them, by outcome: ok or failed.", "app", "task", "outcome")
	taskRestarts = counter("task_restarts_total",
		"Restarts of background tasks inside the app after a failure or by restart_task, as its workers have them in their memory files, since the exporter began.", "app", "task")
)

// The limits of what an app reports about its inside.
const (
	maxPools = 16 // pools of an app
	maxTasks = 32 // tasks of an app
)

// insideCounts is what an app has reported about its inside, other than requests.
type insideCounts struct {
	queueTimes *durationBuckets // nil: none was reported
	pools      map[string]*durationBuckets
	tasks      map[string]*taskCount
}

// taskCount is the number of runs of a task by outcome.
type taskCount struct {
	ok, failed    weightedCount
	restarts      uint64
	tellsRestarts bool // a memory file has the task
}

// isFromAppSide reports whether events of a kind come from the app itself, not from its server.
func isFromAppSide(k ingest.Kind) bool {
	return k == ingest.Request || k == ingest.QueueTime || k == ingest.PoolWait || k == ingest.TaskRun
}

// countInside counts an event of a queue time, a wait for a pool or a task. folded: a
// limit makes it count as "other".
func (a *account) countInside(e *ingest.Event, l *limits) (folded bool) {
	switch e.Kind { //nolint:exhaustive // the others are counted by observe
	case ingest.QueueTime:
		if a.inside.queueTimes == nil {
			a.inside.queueTimes = &durationBuckets{}
		}
		a.inside.queueTimes.observe(e.Seconds, e.Weight)
	case ingest.PoolWait:
		h := a.inside.pools[string(e.Name)]
		if h == nil {
			h, folded = a.pool(string(e.Name), l)
		}
		h.observe(e.Seconds, e.Weight)
	case ingest.TaskRun:
		n := a.inside.tasks[string(e.Name)]
		if n == nil {
			n, folded = a.task(string(e.Name), l)
		}
		if e.Failed {
			n.failed.add(e.Weight)
		} else {
			n.ok.add(e.Weight)
		}
	}
	return folded
}

// pool returns the durations of waits for a pool, which it makes if the limits allow it.
// folded: they do not, and the durations are those of "other".
func (a *account) pool(name string, l *limits) (h *durationBuckets, folded bool) {
	if a.inside.pools == nil {
		a.inside.pools = make(map[string]*durationBuckets)
	}
	return named(a, a.inside.pools, name, maxPools, l)
}

// task returns the counts of a background task, which it makes if the limits allow it.
// folded: they do not, and the counts are those of "other".
func (a *account) task(name string, l *limits) (n *taskCount, folded bool) {
	if a.inside.tasks == nil {
		a.inside.tasks = make(map[string]*taskCount)
	}
	return named(a, a.inside.tasks, name, maxTasks, l)
}

// named returns the value of a name in all, which it makes if the limits allow it: as many
// names as most, the account's limit of pairs, and 256 bytes. folded: they do not, and it
// is the value of "other".
func named[T any](a *account, all map[string]*T, name string, most int, l *limits) (v *T, folded bool) {
	if v = all[name]; v != nil {
		return v, false
	}
	names := len(all)
	if all[other] != nil {
		names--
	}
	switch {
	case name == other:
	case len(name) > maxRouteBytes, names >= most, !l.allowsPair(a):
		name, folded = other, true
	default:
		a.pairs++
		l.pairs[a.class]++
	}
	if all[name] == nil {
		all[name] = new(T)
	}
	return all[name], folded
}

// mergeInside adds all counts of o to those of a.
func (a *account) mergeInside(o *insideCounts, l *limits) {
	if o.queueTimes != nil {
		if a.inside.queueTimes == nil {
			a.inside.queueTimes = &durationBuckets{}
		}
		a.inside.queueTimes.merge(o.queueTimes)
	}
	for name, from := range o.pools {
		to, folded := a.pool(name, l)
		if folded {
			l.poolWaits += from.count.n
		}
		to.merge(from)
	}
	for name, from := range o.tasks {
		to, folded := a.task(name, l)
		if folded {
			l.taskRuns += from.ok.n + from.failed.n
		}
		to.ok.merge(from.ok)
		to.failed.merge(from.failed)
		to.restarts, to.tellsRestarts = to.restarts+from.restarts, to.tellsRestarts || from.tellsRestarts
	}
}

// countFolded counts all events of c as left out, because they go to an account that
// several apps share.
func (c *insideCounts) countFolded(l *limits) {
	if c.queueTimes != nil {
		l.queueTimes += c.queueTimes.count.n
	}
	for _, h := range c.pools {
		l.poolWaits += h.count.n
	}
	for _, n := range c.tasks {
		l.taskRuns += n.ok.n + n.failed.n
	}
}

// clone returns a copy of c that shares nothing with it.
func (c *insideCounts) clone() insideCounts {
	var out insideCounts
	if c.queueTimes != nil {
		out.queueTimes = c.queueTimes.clone()
	}
	if len(c.pools) > 0 {
		out.pools = make(map[string]*durationBuckets, len(c.pools))
		for name, h := range c.pools {
			out.pools[name] = h.clone()
		}
	}
	if len(c.tasks) > 0 {
		out.tasks = make(map[string]*taskCount, len(c.tasks))
		for name, n := range c.tasks {
			copied := *n
			out.tasks[name] = &copied
		}
	}
	return out
}

// publish adds the series of an app's counts to s.
func (c *insideCounts) publish(s *Sample, app string) {
	if c.queueTimes != nil {
		s.Metrics = append(s.Metrics, newDurationMetric(httpQueueTime, c.queueTimes, app))
	}
	for _, name := range slices.Sorted(maps.Keys(c.pools)) {
		s.Metrics = append(s.Metrics, newDurationMetric(poolWait, c.pools[name], app, name))
	}
	for _, name := range slices.Sorted(maps.Keys(c.tasks)) {
		s.add(taskRuns, float64(c.tasks[name].ok.n), app, name, "ok")
		s.add(taskRuns, float64(c.tasks[name].failed.n), app, name, "failed")
		if c.tasks[name].tellsRestarts {
			s.add(taskRestarts, float64(c.tasks[name].restarts), app, name)
		}
	}
}
