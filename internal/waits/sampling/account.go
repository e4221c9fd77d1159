package sampling

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// accountAll adds the time since the last sample to what each thread spent it on.
func (s *Sampler) accountAll(w *worker, now time.Time) {
	var dt time.Duration
	if !w.sampled.IsZero() {
		dt = now.Sub(w.sampled)
	}
	w.sampled = now
	collector := 0
	s.reading = w
	if slices.ContainsFunc(w.threads, func(t *thread) bool { return t.counted && t.call.Running }) {
		collector = w.python.collecting()
	}
	waits := false
	for _, t := range w.threads {
		s.account(w, t, dt, collector == t.tid, now)
		on := w.onOf(t)
		if on != t.on && (on == ledger.Loop || t.on == ledger.Loop) { // the same call
			t.since = now
		}
		t.on = on
		w.settle(t, on)
		t.gil.Add(on, t.stack.started, dt, now)
		waits = waits || t.counted && on == ledger.GIL
	}
	if w.user.Looks {
		w.requests.Looks++
	}
	s.watchGIL(w, waits, dt, now)
	if missing := max(w.capacity, 1) - w.counted; missing > 0 {
		w.totals.Seconds[ledger.Idle] += float64(missing) * dt.Seconds()
	}
	if w.threading == eventLoop {
		w.accountTasks(now)
		w.watchLoop(dt, now)
	}
}

// account adds the time dt since the last sample to what one thread spent it on.
// collects: it runs the garbage collector.
func (s *Sampler) account(w *worker, t *thread, dt time.Duration, collects bool, now time.Time) {
	on := w.onOf(t)
	t.turn.Note(t.counted && on != ledger.Idle && on != ledger.Loop, now)
	if !t.counted {
		t.ledger, t.view, t.inViews = ledger.Ledger{}, nil, viewtime.Account{}
		return
	}
	if on == ledger.Idle || on == ledger.Loop {
		t.view, t.stack.known = nil, t.stack.known && t.stack.idlePool
		t.inViews.Drop()
	}
	x := t.ledger.Sample(dt, t.times.Run, t.times.Delay, !t.call.Running)
	runs := ledger.CPU
	if collects {
		runs = ledger.GC
	}
	w.totals.Seconds[runs] += x.Run
	w.queued += x.Delay
	if n := t.waitedFor(on); n != nil {
		n.Credit(x.Wait, &w.totals.Seconds)
	} else {
		w.totals.Seconds[on] += x.Wait
	}
	if w.user.Looks {
		t.accountView(on, runs, now)
		w.countRequest(t, on, now)
	}
}

// settleQueued adds the time that a worker's threads were runnable without a CPU: to
// Throttled as far as its control group was throttled since the last call, at most for
// that time per thread, the rest to CPUQueue. A throttled thread looks like a queued one.
func (w *worker) settleQueued(groups *cgroup.FS, now time.Time) {
	throttled := w.throttle.Since(groups, w.key.pid, w.queued >= tickPeriod.Seconds()/10, now)
	part := min(w.queued, throttled*float64(max(w.counted, 1)))
	w.totals.Seconds[ledger.Throttled] += part
	w.totals.Seconds[ledger.CPUQueue] += w.queued - part
	w.queued = 0
}
