package cause

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// leastShare is the part of the lost time that a cause must explain.
	leastShare = 0.5
	// leastLoss is the part of the time with a request that must be lost, and leastThreads
	// how many threads lost all of their time, at least.
	leastLoss    = 0.25
	leastThreads = 0.2
	// leastQueued is the part of the lost time from which an app lacks a processor, and
	// starvedFrom the part of the time that tasks of the host waited for one from which it
	// has none left.
	leastQueued = 0.1
	starvedFrom = 0.6
	// saturated is the utilization from which an app has no thread left.
	saturated = 0.9
	// usefulLooks is for how many looks all workers must be busy with useful work.
	usefulLooks = 3
)

// verdict is the cause that one look shows.
type verdict struct {
	blame

	share    float64
	evidence []model.Evidence
	looks    int // in how many looks in a row it must be found at least
}

// judge returns the cause that one look shows. A verdict without a cause: none explains
// most of the lost time, or the harm.
func (a *app) judge(l *look, x *losses, harm model.Harm) verdict {
	v := l.ofLosses(x)
	if harm.Tasks != nil && harm.Queue == nil && harm.Latency == nil && harm.Stuck == nil && harm.Errors == nil {
		v = verdict{} // whatever requests wait for, it harms none
	}
	if u := a.unreachable(l, x, harm, &v); u.cause != "" {
		return u
	}
	if v.cause == "" {
		v = a.saturated(l, x.total(), harm)
	}
	if v.cause == "" && harm.Tasks != nil {
		v = l.overdue(harm)
	}
	return v
}

// ofLosses returns the cause that explains most of the lost time. A verdict without a
// cause: the largest one explains too little, hardly any time was lost, or it is one of a
// start and the workers have just started.
func (l *look) ofLosses(x *losses) verdict {
	best, seconds := x.byCause()
	total := x.total()
	switch {
	case best.cause == "", l.span == 0, l.fresh && isOfStarting(best.cause):
		return verdict{}
	case seconds < l.leastShare(x, &best)*total, total < leastLoss*l.inHand, seconds < leastThreads*l.span:
		return verdict{}
	}
	return verdict{blame: best, share: min(1, seconds/total), evidence: l.evidence(best, seconds)}
}

// leastShare returns the part of the lost time, from 0 to 1, that a cause must explain.
// It is larger for a cause that is known only by how long threads wait, if the host has
// no processor left and the app waits for one: all waits are longer then.
func (l *look) leastShare(x *losses, b *blame) float64 {
	if b.chain != nil || !isOfDuration(b.cause) || !l.starved() {
		return leastShare
	}
	if x.by[blame{cause: model.CauseCPU}] < leastQueued*x.total() {
		return leastShare
	}
	return strongShare
}

// isOfDuration reports whether a cause is known only by how long threads wait.
func isOfDuration(c model.Cause) bool {
	return slices.Contains([]model.Cause{model.CauseUpstream, model.CauseDBSlow, model.CauseRedis, model.CauseGIL, model.CauseLock, model.CauseDisk}, c)
}

// starved reports whether tasks of the host waited for a processor for at least 60 % of
// the last 10 s; false too if that is not known.
func (l *look) starved() bool {
	return slices.ContainsFunc(l.state.Pressures, func(p model.Pressure) bool {
		return p.Resource == "cpu" && p.Kind == "some" && p.Latest >= starvedFrom
	})
}

// isOfStarting reports whether workers that have just started show this cause even if
// nothing is wrong.
func isOfStarting(c model.Cause) bool {
	return slices.Contains([]model.Cause{model.CauseCPU, model.CauseDisk, model.CauseGIL, model.CauseGC, model.CauseLock}, c)
}

// isOfStores reports whether a store that does not answer may be what is behind a cause.
func isOfStores(c model.Cause) bool {
	return slices.Contains([]model.Cause{model.CausePool, model.CauseLock, model.CauseDBSlow, model.CauseDBLock, model.CauseDBDown, model.CauseRedis}, c)
}

// unreachable returns the cause of harm by a store that does not answer, or by a MySQL that
// has no connection left: the first that the app is held up by, MySQL before Redis. found
// is what the lost time shows. A verdict without a cause: there is no harm or no such
// store.
func (a *app) unreachable(l *look, x *losses, harm model.Harm, found *verdict) verdict {
	if !harm.Any() {
		return verdict{}
	}
	for i := range l.state.MySQL {
		m := &l.state.MySQL[i]
		name := "mysql:" + m.Name
		if m.Up && !isFull(m) || !a.blames(name, l, x, harm, found) {
			continue
		}
		b := blame{cause: model.CauseDBDown, peer: name}
		if isFull(m) {
			b = l.ofFull(name, nil)
		}
		b.chain = l.chainAt(name, b.cause)
		return verdict{blame: b, share: 1, evidence: []model.Evidence{{Code: "store_up", Of: name}}}
	}
	for i := range l.state.Redis {
		r := &l.state.Redis[i]
		name := "redis:" + r.Name
		if !r.Up && a.blames(name, l, x, harm, found) {
			return verdict{blame: blame{cause: model.CauseRedis, peer: name, chain: l.chainAt(name, model.CauseRedis)}, share: 1, evidence: []model.Evidence{{Code: "store_up", Of: name}}}
		}
	}
	return verdict{}
}

// blames reports whether a store that does not answer the exporter holds up the app, which
// must use it: requests fail, or the cause found is a wait for it or for what needs it, or none
// is found and it is an event loop, or at least leastThreads wait so. Maybe only we get no answer.
func (a *app) blames(store string, l *look, x *losses, harm model.Harm, found *verdict) bool {
	if _, uses := a.servers[store]; !uses {
		return false
	}
	switch {
	case harm.Errors != nil:
		return true
	case found.cause == "" && l.loop:
		return true
	case found.cause != "" && !isOfStores(found.cause):
		return false
	case found.cause != "":
		return found.peer == store || !isStore(found.peer)
	}
	seconds := 0.0
	for b, v := range x.by {
		if isOfStores(b.cause) && (b.peer == store || !isStore(b.peer)) {
			seconds += v
		}
	}
	return seconds >= leastThreads*l.span && l.span > 0
}

// isFull reports whether a server has no connection left for an app: it refuses the exporter
// too, or at most the one is left that is reserved for administrators. False too if its
// connections, their holders or their limit are not known.
func isFull(m *model.MySQLServer) bool {
	return m.Full || len(m.Holders) > 0 && m.Connections != nil && m.MaxConnections != nil && *m.Connections >= *m.MaxConnections-1
}

// saturated returns the cause workers if connections wait because all threads are busy with
// their usual work; cpu, cpu_throttled or gil if most of that is waiting for a processor or
// the interpreter's lock: more threads do not help then. A verdict without a cause: neither, a
// worker is stuck, the workers have just started, or the app has an event loop.
func (a *app) saturated(l *look, lost float64, harm model.Harm) verdict {
	if harm.Queue == nil || harm.Stuck != nil || l.fresh || l.loop || l.span == 0 || l.utilization() < saturated {
		return verdict{}
	}
	useful := 1 - lost/max(l.inHand, 1e-9)
	if useful < leastShare || a.spreads(l) {
		return verdict{}
	}
	for _, on := range [...]string{"cpu_queue", "throttled", "gil"} {
		if b := (blame{cause: plainCause(on)}); l.spent[on] > leastShare*l.inHand {
			return verdict{blame: b, share: min(1, l.spent[on]/l.inHand), looks: usefulLooks, evidence: l.evidence(b, l.spent[on])}
		}
	}
	return verdict{
		blame: blame{cause: model.CauseWorkers}, share: min(1, useful), looks: usefulLooks,
		evidence: []model.Evidence{{Code: "utilization", Value: l.utilization()}, {Code: "queue", Value: *harm.Queue}, {Code: "threads", Value: l.capacity()}},
	}
}

// spreads reports whether most of the time goes into something that may be useless,
// beyond what is usual: sleeping, waiting for a child process, or what is not known.
func (a *app) spreads(l *look) bool {
	rest := 0.0
	for _, on := range [...]string{"sleep", "child", "other", "unknown"} {
		rest += max(0, l.spent[on]-a.usual.expected(l, on))
	}
	return rest > leastShare*l.inHand
}

// overdue returns the cause tasks, with the queue whose oldest task is overdue by
// harm.Tasks and its numbers; without them if no queue of the state is that one.
func (l *look) overdue(harm model.Harm) verdict {
	v := verdict{blame: blame{cause: model.CauseTasks}, share: 1}
	for i := range l.state.Queues {
		q := &l.state.Queues[i]
		if q.App != l.workers.App || q.Oldest == nil || q.Oldest != harm.Tasks {
			continue
		}
		v.peer = q.Name
		v.evidence = append(v.evidence, model.Evidence{Code: "task_age", Of: q.Name, Value: *q.Oldest}, model.Evidence{Code: "tasks", Of: q.Name, Value: q.Length})
		if q.Workers != nil {
			v.evidence = append(v.evidence, model.Evidence{Code: "task_workers", Of: q.Name, Value: *q.Workers})
		}
	}
	return v
}

// evidence returns the numbers by which the cause b was found. seconds is the time that
// was lost to it.
func (l *look) evidence(b blame, seconds float64) []model.Evidence {
	out := []model.Evidence{{Code: "lost_threads", Of: b.peer, Value: seconds / l.span}, {Code: "threads", Value: l.capacity()}}
	if b.own {
		return append(out, l.computing()...)
	}
	waiting, longest := 0.0, 0.0
	for _, t := range l.threads {
		if !t.Task && l.ofThread(t).cause == b.cause {
			waiting++
			longest = max(longest, t.Seconds)
		}
	}
	if waiting > 0 {
		out = append(out, model.Evidence{Code: "waiting_threads", Of: b.peer, Value: waiting}, model.Evidence{Code: "longest_wait", Of: b.peer, Value: longest})
	}
	if l.queue != nil {
		out = append(out, model.Evidence{Code: "queue", Value: *l.queue})
	}
	if b.cause == model.CausePool || strings.HasPrefix(string(b.cause), "db_") {
		out = append(out, l.poolEvidence()...)
	}
	return out
}

// poolEvidence returns how many connections of the app's fullest pool are in use, in a
// transaction, leaked and idle; nil if no pool is known.
func (l *look) poolEvidence() []model.Evidence {
	var p *model.Pool
	for i := range l.state.Pools {
		if x := &l.state.Pools[i]; x.App == l.workers.App && (p == nil || valueOf(x.Utilization) > valueOf(p.Utilization)) {
			p = x
		}
	}
	if p == nil {
		return nil
	}
	return []model.Evidence{
		{Code: "pool_in_use", Of: p.Name, Value: p.InUse}, {Code: "pool_in_transaction", Of: p.Name, Value: p.InTransaction},
		{Code: "pool_leaked", Of: p.Name, Value: p.Leaked}, {Code: "pool_idle", Of: p.Name, Value: p.Idle},
	}
}
