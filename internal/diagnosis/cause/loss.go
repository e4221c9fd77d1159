package cause

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// longWait is how many seconds a wait must have lasted to be no usual one, where it
	// is not known what is usual.
	longWait = 1
	// tight is the share of memory in use from which a shortage of it explains waits for
	// the disk, and stalled the part of the time that tasks of the host waited for memory.
	tight   = 0.85
	stalled = 0.1
	// keeps is the part of the connections of a pool that are asleep, of which other
	// threads must have been waiting for something else.
	keeps = 0.4
)

// losses is the time that the threads of an app lost since the look before.
type losses struct {
	by   map[blame]float64 // seconds, of what is explained
	rest float64           // seconds that nothing explains
}

func (x *losses) total() float64 {
	sum := x.rest
	for _, v := range x.by {
		sum += v
	}
	return sum
}

// add adds lost seconds.
func (x *losses) add(b blame, v float64) {
	switch {
	case v <= 0:
	case b.cause == "":
		x.rest += v
	default:
		x.by[b] += v
	}
}

// losses returns the time that was lost since the look before: what was spent on each
// kind of wait beyond what is usual, divided by what the threads were seen waiting for.
func (a *app) losses(l *look) *losses {
	x := &losses{by: make(map[blame]float64)}
	if l.span == 0 || l.all <= 0 {
		return x
	}
	if l.loop {
		a.lossesOfLoops(l, x)
		return x
	}
	for _, on := range slices.Sorted(maps.Keys(l.spent)) {
		switch on {
		case "idle", "cpu", "unknown":
			continue
		}
		a.divide(l, on, max(0, l.spent[on]-a.usual.expected(l, on)), x)
	}
	l.addComputing(x)
	l.addHeld(x)
	l.addMemory(x)
	return x
}

// addHeld gives the waits for a pool whose connections are asleep to what the other threads
// wait for outside of the database, if enough of them do to have these connections: they
// keep them meanwhile.
func (l *look) addHeld(x *losses) {
	asleep := 0.0
	for i := range l.state.StoreConnections {
		if c := &l.state.StoreConnections[i]; c.App == l.workers.App && c.Command == "Sleep" && strings.HasPrefix(c.Server, "mysql:") {
			asleep++
		}
	}
	held, waits := x.outside()
	if held.cause == "" || waits < keeps*asleep*l.span {
		return
	}
	for b, v := range x.by {
		if b.cause == model.CausePool {
			delete(x.by, b)
			x.by[held] += v
		}
	}
}

// outside returns what most of the time was lost to that waits for another server or
// Redis take, and that of all these waits.
func (x *losses) outside() (held blame, waits float64) {
	most := 0.0
	for b, v := range x.by {
		if b.cause != model.CauseUpstream && b.cause != model.CauseRedis {
			continue
		}
		if waits += v; v > most || v == most && b.peer < held.peer {
			held, most = b, v
		}
	}
	return held, waits
}

// divide adds the time beyond what is usual of one kind of wait, in proportion to what
// the threads that were seen in it wait for.
func (a *app) divide(l *look, on string, excess float64, x *losses) {
	parts, long := l.partsOf(on)
	unknown := !a.usual.known() && (on == "mysql" || on == "redis" || on == "upstream" || on == "lock")
	switch {
	case len(parts) == 0 && (unknown || on == "redis" && l.polls("")): // it is not known whether they are usual
		return
	case len(parts) == 0:
		x.add(blame{cause: plainCause(on)}, excess)
		return
	case unknown:
		excess *= float64(long) / float64(len(parts))
	}
	for _, p := range parts {
		if !p.designed {
			x.add(p.blame, excess/float64(len(parts)))
		}
	}
}

// lossesOfLoops returns the time that event loops lost: that in which they were blocked,
// as far as they were not kept from running.
func (a *app) lossesOfLoops(l *look, x *losses) {
	kept := 0.0
	for _, on := range [...]string{"cpu_queue", "throttled", "gc"} {
		v := max(0, l.spent[on]-a.usual.expected(l, on))
		x.add(blame{cause: plainCause(on)}, v)
		kept += v
	}
	usual := 0.0
	if a.usual.known() {
		usual = a.usual.blocked * l.all
	}
	x.add(blame{cause: model.CauseLoopBlocked}, l.blocked-usual-kept)
	l.addMemory(x)
}

// partsOf returns what the threads are held up by that were seen in one kind of wait, and
// how many of them have been for long.
func (l *look) partsOf(on string) (parts []thought, long int) {
	for _, t := range l.threads {
		if t.On == on && !t.Task {
			parts = append(parts, l.ofThread(t))
			if t.Seconds >= longWait {
				long++
			}
		}
	}
	return parts, long
}

// addComputing adds the time of workers that have computed for so long in one request
// that it is no usual one.
func (l *look) addComputing(x *losses) {
	n := 0.0
	for i := range l.workers.Workers {
		if isComputing(&l.workers.Workers[i]) {
			n++
		}
	}
	if n == 0 {
		return
	}
	ran, queued := l.spent["cpu"], l.spent["cpu_queue"]
	lack := blame{cause: model.CauseCPU}
	lost := min(n*l.span, ran+queued)
	if x.by[lack] > lost {
		return // the others lack a processor, too
	}
	delete(x.by, lack) // a part of it
	x.add(blame{cause: model.CauseCPU, own: ran >= ownPart*(ran+queued)}, lost)
}

// isComputing reports whether a worker has computed for so long in one request that it is
// lost for others.
func isComputing(w *model.Worker) bool {
	if w.State != "busy" && w.State != "stuck" || w.Seconds < stuckCPU {
		return false
	}
	if len(w.Threads) == 1 {
		return w.Threads[0].On == "cpu" && w.Threads[0].Seconds >= stuckCPU
	}
	return len(w.Threads) == 0 && w.Wait != nil && w.Wait.On == "cpu"
}

// computing returns the evidence of requests that compute: how many workers do, for how
// long the first has, and in which view.
func (l *look) computing() []model.Evidence {
	n, longest, view := 0.0, 0.0, ""
	for i := range l.workers.Workers {
		w := &l.workers.Workers[i]
		if !isComputing(w) {
			continue
		}
		if n++; w.Seconds > longest {
			longest, view = w.Seconds, ""
			if len(w.Threads) > 0 && w.Threads[0].Stack != nil {
				view = w.Threads[0].Stack.View
			}
		}
	}
	out := []model.Evidence{{Code: "computing_workers", Of: view, Value: n}, {Code: "longest_request", Of: view, Value: longest}}
	if l.queue != nil {
		out = append(out, model.Evidence{Code: "queue", Value: *l.queue})
	}
	return out
}

const (
	// stuckCPU is for how many seconds a worker must have computed in one request to be
	// lost for others.
	stuckCPU = 5
	// ownPart is the part of the time with something to compute that had a processor, from
	// which requests compute for long: below it they lack one.
	ownPart = 0.3
)

// addMemory makes waits for the disk and for the processor those for memory, where tasks
// of the host wait for memory and the app or the host has hardly any left.
func (l *look) addMemory(x *losses) {
	short := slices.ContainsFunc(l.state.Pressures, func(p model.Pressure) bool {
		return p.Resource == "memory" && p.Kind == "some" && p.Latest >= stalled
	})
	if !short {
		return
	}
	usage := valueOf(l.state.Host.Memory)
	for i := range l.state.Memory {
		if m := &l.state.Memory[i]; m.App == l.workers.App {
			usage = max(usage, valueOf(m.Usage))
		}
	}
	if usage < tight {
		return
	}
	moved := 0.0
	for b, v := range x.by {
		if b.cause == model.CauseDisk || b.cause == model.CauseCPU && !b.own {
			moved += v
			delete(x.by, b)
		}
	}
	x.add(blame{cause: model.CauseMemory}, moved)
}

// maxLosses is how many parts of the lost time are listed where no cause is told.
const maxLosses = 4

// evidence returns the largest parts of the lost time, by cause, for a look without a
// cause: how many threads' time each takes.
func (x *losses) evidence(l *look) []model.Evidence {
	if l.span == 0 {
		return nil
	}
	sums := map[model.Cause]float64{"": x.rest}
	for b, v := range x.by {
		sums[b.cause] += v
	}
	names := slices.SortedFunc(maps.Keys(sums), func(a, b model.Cause) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b))
	})
	out := []model.Evidence{{Code: "threads", Value: l.capacity()}, {Code: "utilization", Value: l.utilization()}}
	for _, c := range names[:min(len(names), maxLosses)] {
		if sums[c] > 0 {
			out = append(out, model.Evidence{Code: "lost_to", Of: string(c), Value: sums[c] / l.span})
		}
	}
	return out
}

// byCause returns the cause that explains most of the lost time, with its seconds and
// the peer and the chain that explain most of these.
func (x *losses) byCause() (best blame, seconds float64) {
	sums := make(map[model.Cause]float64)
	for b, v := range x.by {
		sums[b.cause] += v
	}
	for _, c := range slices.Sorted(maps.Keys(sums)) {
		if sums[c] > seconds {
			best, seconds = blame{cause: c}, sums[c]
		}
	}
	most := 0.0
	for b, v := range x.by {
		better := v > most || v == most && strings.Compare(b.peer, best.peer) < 0
		if b.cause == best.cause && better {
			best, most = b, v
		}
	}
	return best, seconds
}
