package sampling

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const (
	// reserveShare is the divisor of the part of one core that is the reserve. It is part
	// of what sampling may use.
	reserveShare = 1000
	// maxReserve is how much of it can be saved.
	maxReserve = 2 * time.Millisecond
	// keepPeriod is how often the stack of a long request is read at most in samples
	// without stacks, and how old such a request is.
	keepPeriod = time.Second
)

// reserve is CPU time for stacks in samples that have none for all that are due: the
// worker may be killed in its request, and what it did shall be known then. Which
// samples have stacks does not depend on it. The time of views is divided in these
// alone (see package viewtime), so it does not depend on the reserve either.
type reserve struct {
	left time.Duration
	used time.Duration // in the sample under way
	long []dueStack    // due stacks of long requests; reused
}

// fill adds what the time since the sample before gives, and takes what the sample used.
func (r *reserve) fill(passed time.Duration) {
	r.left = min(r.left+passed/reserveShare-r.used, maxReserve)
}

// notePauses notes since when a thread has had requests without a pause, as far as samples
// show: that is how old its request is at most.
func (t *thread) notePauses(on ledger.On, now time.Time) {
	switch {
	case !t.counted, on == ledger.Idle, on == ledger.Loop:
		t.busy = time.Time{}
	case t.busy.IsZero():
		t.busy = now
	}
}

// lastKept returns when the stack of a thread was last believed or tried, or when its
// request began if that was not yet.
func (t *thread) lastKept() time.Time {
	last := t.busy
	if t.stack.known && t.stack.at.After(last) {
		last = t.stack.at
	}
	if t.kept.After(last) {
		last = t.kept
	}
	return last
}

// wantsKept reports whether a thread has a long request whose stack was neither believed
// nor tried for a second.
func (t *thread) wantsKept(now time.Time) bool {
	return t.counted && !t.busy.IsZero() && now.Sub(t.lastKept()) >= keepPeriod
}

// keepLong reads, in a sample without stacks, those that are due of requests of at least
// a second, each once a second: of those first that have waited longest for it.
func (s *Sampler) keepLong(now time.Time) {
	r := &s.reserve
	r.long = r.long[:0]
	for _, d := range s.due {
		if d.stack && d.w.python.process != nil && d.t.wantsKept(now) {
			r.long = append(r.long, d)
		}
	}
	slices.SortFunc(r.long, func(a, b dueStack) int { return a.t.lastKept().Compare(b.t.lastKept()) })
	began := procfs.ThreadTime()
	for _, d := range r.long {
		if r.used >= r.left {
			break
		}
		if s.refresh(&d, now); d.stack {
			d.tasks, d.t.kept = false, now
			s.lookAt(d, now)
		}
		r.used = procfs.ThreadTime() - began
	}
	clear(r.long)
}

// skipOthers counts the stacks that were not read in a sample without stacks.
func (s *Sampler) skipOthers(now time.Time) {
	for _, d := range s.due {
		if d.stack = d.stack && !d.t.kept.Equal(now); d.stack || d.tasks {
			s.skip(d)
		}
	}
}
