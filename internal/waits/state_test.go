package waits

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// TestJudge checks the state of one worker after each of some looks, and how long it lasts.
func TestJudge(t *testing.T) {
	const hour = time.Hour
	type step struct {
		after time.Duration
		l     sample
		want  discovery.State
		in    time.Duration
	}
	beatOf := func(d time.Duration) procid.Heartbeat { return procid.Heartbeat{Age: d, Known: true} }
	wait := thread{accepts: true, call: procfs.Syscall{NR: unix.SYS_PSELECT6}}
	doing := func(nr int) thread { return thread{call: procfs.Syscall{NR: nr}} }
	held := func(age time.Duration) inflight { return inflight{known: true, n: 1, age: age} }
	none := inflight{known: true}
	for name, steps := range map[string][]step{
		"sync worker in a long request": {
			{0, sample{main: wait, age: hour, sync: true, heartbeat: beatOf(14 * time.Second)}, discovery.Idle, 0},
			{5 * time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, sync: true, heartbeat: beatOf(4 * time.Second)}, discovery.Busy, 4 * time.Second},
			{12 * time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, sync: true, heartbeat: beatOf(11 * time.Second)}, discovery.Stuck, 11 * time.Second},
			{13 * time.Second, sample{main: wait, age: hour, sync: true, heartbeat: beatOf(0)}, discovery.Idle, 0},
			{20 * time.Second, sample{main: wait, age: hour, sync: true, heartbeat: beatOf(0)}, discovery.Idle, 7 * time.Second},
		},
		"a heartbeat older than the request": {
			{0, sample{main: wait, age: hour, sync: true, heartbeat: beatOf(24 * time.Second)}, discovery.Idle, 0},
			{time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, sync: true, heartbeat: beatOf(25 * time.Second)}, discovery.Busy, time.Second},
		},
		"a heartbeat that is no age of a request": {
			{0, sample{main: wait, age: hour, heartbeat: beatOf(24 * time.Second)}, discovery.Idle, 0},
			{time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, heartbeat: beatOf(25 * time.Second), inflight: held(0)}, discovery.Busy, 0},
			{12 * time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, heartbeat: beatOf(36 * time.Second), inflight: held(11 * time.Second)}, discovery.Stuck, 11 * time.Second},
		},
		"busy at every look, but with other requests": {
			{0, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, inflight: held(0)}, discovery.Busy, 0},
			{30 * time.Second, sample{main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, inflight: held(time.Second)}, discovery.Busy, time.Second},
		},
		"a pool's threads in a lock with requests in hand": {
			{0, sample{main: wait, busyThreads: 2, age: hour, inflight: inflight{known: true, n: 5, age: 11 * time.Second}}, discovery.Stuck, 11 * time.Second},
		},
		"a thread that moves, and no request": {
			{0, sample{main: wait, busyThreads: 1, age: hour, inflight: none}, discovery.Idle, 0},
		},
		"a thread at work, and connections that cannot be seen": {
			{0, sample{main: wait, others: []thread{doing(unix.SYS_RECVFROM)}, busyThreads: 1, age: hour}, discovery.Busy, 0},
			{hour, sample{main: wait, others: []thread{doing(unix.SYS_RECVFROM)}, busyThreads: 1, age: hour}, discovery.Busy, 0},
		},
		"an event loop with an open request and a thread at work": {
			{0, sample{server: cmdline.Uvicorn, main: wait, busyThreads: 1, age: hour, inflight: inflight{known: true, pending: true}}, discovery.Busy, 0},
		},
		"gunicorn that has not notified yet": {
			{0, sample{main: doing(unix.SYS_READ), busyThreads: 1, age: time.Minute, heartbeat: procid.Heartbeat{Never: true}}, discovery.Booting, time.Minute},
			{time.Second, sample{main: wait, age: time.Minute, sync: true, heartbeat: beatOf(0)}, discovery.Idle, 0},
		},
		"young and in a request already": {{0, sample{main: doing(unix.SYS_READ), busyThreads: 1, age: time.Second, inflight: held(0)}, discovery.Busy, 0}},
		"young and never idle yet": {
			{0, sample{main: doing(unix.SYS_READ), busyThreads: 1, age: time.Second, inflight: none}, discovery.Booting, time.Second},
			{20 * time.Second, sample{main: doing(unix.SYS_READ), busyThreads: 1, age: 21 * time.Second, inflight: none}, discovery.Busy, 0},
		},
		"uWSGI's threads that wait for their turn": {{0, sample{server: cmdline.UWSGI, main: doing(unix.SYS_FUTEX), busyThreads: 4, age: hour, inflight: none}, discovery.Idle, 0}},
		"a server that was never seen idle":        {{0, sample{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, inflight: held(hour)}, discovery.Busy, hour}},
		"a server that was": {
			{0, sample{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), others: []thread{doing(unix.SYS_FUTEX)}, busyThreads: 2, age: hour, inflight: none}, discovery.Idle, 0},
			{time.Second, sample{server: cmdline.Other, main: doing(unix.SYS_RECVFROM), busyThreads: 1, age: hour, inflight: held(hour)}, discovery.Stuck, hour},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			var s tracker
			for i, st := range steps {
				st.l.readable, st.l.stuckAfter = true, 10*time.Second
				got, took := s.update(&st.l, now.Add(st.after))
				if got != st.want || took != st.in {
					t.Errorf("step %d: %q for %s, want %q for %s", i, got, took, st.want, st.in)
				}
			}
		})
	}
	var s tracker
	if got, took := s.update(&sample{}, time.Unix(1000, 0)); got != discovery.StateUnknown || took != 0 {
		t.Errorf("a worker that may not be looked at is %q for %s", got, took)
	}
}
