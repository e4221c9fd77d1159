package cgroup

import "time"

// unlimitedFor is how long a control group without a CPU limit is taken to have none, and
// doubtedFor the same while a process waits to be run: it may have been given one.
const (
	unlimitedFor = 30 * time.Second
	doubtedFor   = 5 * time.Second
)

// Throttle is for how long a process is kept from running by the CPU limit of its control
// group. The zero value is ready.
type Throttle struct {
	read    time.Time // zero: not yet
	limited bool
	seconds float64 // throttled since the group was made, as last read
}

// Since returns for how long the group of a process has been throttled since the last call,
// in seconds (throttled_usec or throttled_time of cpu.stat); 0 without a limit, at the first
// call that finds one, and if it cannot be read. A group without a limit or that could not be
// read is not read again for unlimitedFor, or for doubtedFor if waits: it often waits to be run.
func (t *Throttle) Since(groups *FS, pid int, waits bool, now time.Time) float64 {
	pause := unlimitedFor
	if waits {
		pause = doubtedFor
	}
	if !t.limited && !t.read.IsZero() && now.Sub(t.read) < pause {
		return 0
	}
	g, err := groups.Of(pid)
	var s Stats
	if err == nil {
		s, err = groups.Read(g)
	}
	if err != nil && s.ThrottledSeconds == nil || s.CPULimit == nil || s.ThrottledSeconds == nil {
		*t = Throttle{read: now}
		return 0
	}
	before := *t
	*t = Throttle{read: now, limited: true, seconds: *s.ThrottledSeconds}
	if !before.limited {
		return 0
	}
	return max(0, t.seconds-before.seconds)
}
