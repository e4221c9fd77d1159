// Package ticks lets tasks that run regularly run at the same moments, so that a process
// without anything else to do wakes up once for all of them.
package ticks

import (
	"hash/fnv"
	"os"
	"strconv"
	"time"
)

// Timer fires at the ticks of a period, which all timers of the process with that period
// have in common; those of a period that is a multiple of another coincide with ticks of
// it. Other processes, also those of other hosts, have other ticks.
type Timer struct {
	*time.Timer

	period, phase time.Duration
}

// New returns a Timer that fires at the next tick, after little more than the period at most.
// The caller stops it.
func New(period time.Duration) *Timer {
	t := &Timer{period: period, phase: phase()}
	t.Timer = time.NewTimer(wait(period, t.phase))
	return t
}

// Again makes the timer fire at the next tick. The caller has received from C.
func (t *Timer) Again() { t.Reset(wait(t.period, t.phase)) }

// Until returns the time until the next tick of a period; one that is nearer than a
// twentieth of the period is skipped.
func Until(period time.Duration) time.Duration { return wait(period, phase()) }

// wait returns the time until the next tick, or until the one after it if that is nearer
// than a twentieth of the period: the clock may have been set back since the last one.
func wait(period, phase time.Duration) time.Duration {
	d := period - time.Duration(time.Now().UnixNano()+int64(phase))%period
	if d < period/20 {
		d += period
	}
	return d
}

// phase returns the offset, 0 to 4.3 s, of the ticks of this process, by host name and pid,
// so that they differ from those of others.
func phase() time.Duration {
	host, _ := os.Hostname() // without one, the pid alone says which process it is
	h := fnv.New32a()
	_, _ = h.Write([]byte(host + " " + strconv.Itoa(os.Getpid()))) // never fails
	return time.Duration(h.Sum32())
}
