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

// total returns the sum of all losses.
func (x *losses) total() float64 {
	sum := x.rest
	for _, v := range x.by {
		sum += v
	}
	return sum
}

// add adds v seconds to what was lost to b, or to the unexplained rest if b has no cause.
// Negative seconds do not count.
func (x *losses) add(b blame, v float64) {
	switch {
	case v <= 0:
	case b.cause == "":
		x.rest += v
	default:
		x.by[b] += v
	}
}

// losses returns the time that was lost since the look before: the seconds of each kind
// of wait beyond what is usual, divided among what the threads waited for. Without a look
// to compare with it is empty.
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
	a.addCollecting(l, x)
	l.addComputing(x)
	l.addHeld(x)
	l.addMemory(x)
	return x
}

// addCollecting adds to the cause gc the time for which needless work of the garbage
// collector waited for a processor. As that wait is usual, it is not among the losses
// yet.
func (a *app) addCollecting(l *look, x *losses) {
	b := blame{cause: model.CauseGC}
	work := l.spent["cpu"] + l.spent["gc"]
	if x.by[b] <= 0 || work <= 0 {
		return
	}
	part := min(1, x.by[b]/work) // of the work, before what it waited for is added
	for _, on := range [...]string{"cpu_queue", "throttled"} {
		x.add(b, min(l.spent[on], a.usual.expected(l, on))*part)
	}
}

// addHeld moves the time lost to a pool to the cause that other threads wait for outside
// of the database, if the pool's connections are asleep: those threads keep them. It
// moves nothing unless enough threads wait there to hold these connections.
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

// outside returns the largest of the losses to other servers and to Redis, and the
// seconds of all of them. held has no cause if there are none.
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

// divide adds excess, the seconds of one kind of wait beyond what is usual, to x: in
// equal parts to what each thread that was seen in this wait waits for. Without such a
// thread all of it goes to the plain cause.
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

// lossesOfLoops adds to x the time that event loops lost: in which they were blocked,
// less what is usual and the time in which they were kept from running, and that time by
// its own causes.
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

// partsOf returns what holds up each of the threads, without those of background tasks, that
// were seen in one kind of wait, and how many of them have been in it for at least a second.
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

// addComputing adds to the cause cpu the time of workers that have computed for at least
// 5 s in one request. It adds nothing if the others lack a processor by more than that.
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

// isComputing reports whether a busy or stuck worker has computed for at least 5 s in one
// request, so that it is lost for others; if its threads are not known, whether it computes
// now and has had a request for 5 s. False for one with several threads.
func isComputing(w *model.Worker) bool {
	if w.State != "busy" && w.State != "stuck" || w.Seconds < stuckCPU {
		return false
	}
	if len(w.Threads) == 1 {
		return w.Threads[0].On == "cpu" && w.Threads[0].Seconds >= stuckCPU
	}
	return len(w.Threads) == 0 && w.Wait != nil && w.Wait.On == "cpu"
}

// computing returns the evidence of requests that compute: how many workers have one, the age
// of the longest in seconds and its view, and the queue if it is known.
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

// addMemory moves the time lost to waits for the disk and the processor to the cause
// memory, if tasks of the host wait for memory and the app or the host has hardly any
// left.
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

// maxLosses is how many parts of the lost time are listed if no cause is reported.
const maxLosses = 4

// evidence returns the number of threads, their utilization and the largest parts of the
// lost time by cause, at most maxLosses, each as the number of threads that lost all of
// their time to it, for a look whose cause is not known; nil if there was no look before.
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

// byCause returns the cause that explains most of the lost time, with its seconds; of its
// peers and chains the one that explains most of these. best has no cause if nothing is
// explained.
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
