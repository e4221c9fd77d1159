package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// unlimitedFor is how long a control group without a CPU limit is taken to have
// none.
const unlimitedFor = 30 * time.Second

// throttle is the CPU limit of a worker's control group.
type throttle struct {
	next    time.Time // when it is read again
	known   bool
	seconds float64 // throttled since the group was made, as last read
}

// settleQueued credits the time that a worker's threads were ready to run without
// a processor: to Throttled as far as its control group was throttled since the
// last call, each thread at most for that long, else to CPUQueue. A throttled
// thread looks like a queued one.
func (w *worker) settleQueued(groups *cgroup.FS, now time.Time) {
	throttled := 0.0
	if !now.Before(w.throttle.next) {
		throttled = w.throttle.read(groups, w.key.pid, now)
	}
	part := min(w.queued, throttled*float64(max(w.counted, 1)))
	w.totals.Seconds[ledger.Throttled] += part
	w.totals.Seconds[ledger.CPUQueue] += w.queued - part
	w.queued = 0
}

// read returns for how long the group has been throttled since the last read, in
// seconds (throttled_usec or throttled_time of cpu.stat).
func (t *throttle) read(groups *cgroup.FS, pid int, now time.Time) float64 {
	g, err := groups.Of(pid)
	var s cgroup.Stats
	if err == nil {
		s, err = groups.Read(g)
	}
	if err != nil && s.ThrottledSeconds == nil || s.CPULimit == nil || s.ThrottledSeconds == nil {
		*t = throttle{next: now.Add(unlimitedFor)}
		return 0
	}
	before := *t
	*t = throttle{next: now, known: true, seconds: *s.ThrottledSeconds}
	if !before.known {
		return 0
	}
	return max(0, t.seconds-before.seconds)
}
