package waits

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// TestJudge plays looks at one worker: what is its state, and for how long.
func TestJudge(t *testing.T) {
	const hour = time.Hour
	type step struct {
		after time.Duration
		l     look
		want  discovery.State
		in    time.Duration
	}
	beatOf := func(d time.Duration) beat { return beat{age: d, ok: true} }
	wait := thread{waits: true, call: procfs.Syscall{NR: unix.SYS_PSELECT6}}
	doing := func(nr int) thread { return thread{call: procfs.Syscall{NR: nr}} }
	held := func(age time.Duration) hands { return hands{known: true, n: 1, age: age} }
	none := hands{known: true}
	for name, steps := range map[string][]step{
		"sync worker in a long request": {
			{0, look{main: wait, age: hour, sync: true, beat: beatOf(14 * time.Second)}, discovery.Idle, 0},
			{5 * time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, sync: true, beat: beatOf(4 * time.Second)}, discovery.Busy, 4 * time.Second},
			{12 * time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, sync: true, beat: beatOf(11 * time.Second)}, discovery.Stuck, 11 * time.Second},
			{13 * time.Second, look{main: wait, age: hour, sync: true, beat: beatOf(0)}, discovery.Idle, 0},
			{20 * time.Second, look{main: wait, age: hour, sync: true, beat: beatOf(0)}, discovery.Idle, 7 * time.Second},
		},
		"a heartbeat older than the request": {
			{0, look{main: wait, age: hour, sync: true, beat: beatOf(24 * time.Second)}, discovery.Idle, 0},
			{time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, sync: true, beat: beatOf(25 * time.Second)}, discovery.Busy, time.Second},
		},
		"a heartbeat that is no age of a request": {
			{0, look{main: wait, age: hour, beat: beatOf(24 * time.Second)}, discovery.Idle, 0},
			{time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, beat: beatOf(25 * time.Second), hands: held(0)}, discovery.Busy, 0},
			{12 * time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, beat: beatOf(36 * time.Second), hands: held(11 * time.Second)}, discovery.Stuck, 11 * time.Second},
		},
		"busy at every look, but with other requests": {
			{0, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, hands: held(0)}, discovery.Busy, 0},
			{30 * time.Second, look{main: doing(unix.SYS_RECVFROM), working: 1, age: hour, hands: held(time.Second)}, discovery.Busy, time.Second},
		},
		"a pool's threads in a lock with requests in hand": {
			{0, look{main: wait, working: 2, age: hour, hands: hands{known: true, n: 5, age: 11 * time.Second}}, discovery.Stuck, 11 * time.Second},
		},
		"a thread that moves, and no request": {
			{0, look{main: wait, working: 1, age: hour, hands: none}, discovery.Idle, 0},
		},
		"a thread at work, and connections that cannot be seen": {
			{0, look{main: wait, others: []thread{doing(unix.SYS_RECVFROM)}, working: 1, age: hour}, discovery.Busy, 0},
			{hour, look{main: wait, others: []thread{doing(unix.SYS_RECVFROM)}, working: 1, age: hour}, discovery.Busy, 0},
		},
		"an event loop with an open request and a thread at work": {
			{0, look{server: cmdline.Uvicorn, main: wait, working: 1, age: hour, hands: hands{known: true, pending: true}}, discovery.Busy, 0},
		},
		"gunicorn that has not notified yet": {
			{0, look{main: doing(unix.SYS_READ), working: 1, age: time.Minute, beat: beat{never: true}}, discovery.Booting, time.Minute},
			{time.Second, look{main: wait, age: time.Minute, sync: true, beat: beatOf(0)}, discovery.Idle, 0},
		},
		"young and in a request already": {{0, look{main: doing(unix.SYS_READ), working: 1, age: time.Second, hands: held(0)}, discovery.Busy, 0}},
		"young and never idle yet": {
			{0, look{main: doing(unix.SYS_READ), working: 1, age: time.Second, hands: none}, discovery.Booting, time.Second},
			{20 * time.Second, look{main: doing(unix.SYS_READ), working: 1, age: 21 * time.Second, hands: none}, discovery.Busy, 0},
		},
		"uWSGI's threads that wait for their turn": {{0, look{server: cmdline.UWSGI, main: doing(unix.SYS_FUTEX), working: 4, age: hour, hands: none}, discovery.Idle, 0}},
		"a server that was never seen idle":        {{0, look{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), working: 1, age: hour, hands: held(hour)}, discovery.Busy, hour}},
		"a server that was": {
			{0, look{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), others: []thread{doing(unix.SYS_FUTEX)}, working: 2, age: hour, hands: none}, discovery.Idle, 0},
			{time.Second, look{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), working: 1, age: hour, hands: held(hour)}, discovery.Stuck, hour},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			var s stateTracker
			for i, st := range steps {
				st.l.ok, st.l.stuckIn = true, 10*time.Second
				got, took := s.judge(&st.l, now.Add(st.after))
				if got != st.want || took != st.in {
					t.Errorf("step %d: %q for %s, want %q for %s", i, got, took, st.want, st.in)
				}
			}
		})
	}
	var s stateTracker
	if got, took := s.judge(&look{}, time.Unix(1000, 0)); got != discovery.StateUnknown || took != 0 {
		t.Errorf("a worker that may not be looked at is %q for %s", got, took)
	}
}
