package waits

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// TestSpeaker checks which thread represents a worker, of a main thread and others whose
// calls began so many seconds ago.
func TestSpeaker(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	in := func(nr, seconds int) thread {
		return thread{tid: seconds, call: procfs.Syscall{NR: nr}, since: now.Add(-time.Duration(seconds) * time.Second)}
	}
	accepts, runs, rests := thread{accepts: true}, thread{call: procfs.Syscall{Running: true, NR: -1}, since: now}, in(unix.SYS_RECVFROM, 900)
	rests.parked = true
	lock, reads := func(s int) thread { return in(unix.SYS_FUTEX, s) }, func(s int) thread { return in(unix.SYS_RECVFROM, s) }
	for name, c := range map[string]struct {
		server  cmdline.Server
		threads int
		hands   int
		main    thread
		others  []thread
		want    int // its number; -1: none
	}{
		"the main thread":                       {cmdline.Script, 0, 1, reads(3), []thread{reads(9)}, 3},
		"the main thread in a lock":             {cmdline.Script, 0, 1, lock(3), nil, 3},
		"a pool, and its thread at rest":        {cmdline.Waitress, 4, 1, accepts, []thread{lock(9), reads(3), rests}, 3},
		"a pool with a request in a lock":       {cmdline.Waitress, 4, 2, accepts, []thread{lock(9), reads(3)}, 9},
		"a pool that is all in a lock":          {cmdline.Waitress, 4, 3, accepts, []thread{lock(8), lock(9), lock(7)}, 9},
		"a pool of which the longest counts":    {cmdline.Waitress, 4, 2, accepts, []thread{reads(3), reads(5), lock(9)}, 5},
		"uWSGI's main thread waits its turn":    {cmdline.UWSGI, 2, 1, lock(9), []thread{reads(3)}, 3},
		"uWSGI's main thread is one of a pool":  {cmdline.UWSGI, 2, 2, reads(1), []thread{reads(3)}, 3},
		"uWSGI without threads":                 {cmdline.UWSGI, 0, 1, reads(1), []thread{reads(3)}, 1},
		"two of which one is in a lock":         {cmdline.Waitress, 4, 2, accepts, []thread{lock(3), in(unix.SYS_READ, 3)}, 3},
		"one that computes, others in its lock": {cmdline.Waitress, 4, 3, accepts, []thread{lock(0), runs, lock(0)}, 0},
		"nobody works":                          {cmdline.Waitress, 4, 1, accepts, []thread{rests}, -1},
	} {
		l := sample{server: c.server, main: c.main, others: c.others, inflight: inflight{n: c.hands}}
		k := l.representative(c.threads)
		switch {
		case k == nil != (c.want < 0):
			t.Errorf("%s: %+v", name, k)
		case k != nil && k.tid != c.want:
			t.Errorf("%s: the one since %d s, want %d s", name, k.tid, c.want)
		case k != nil && isLock(k.call.NR) && slices.ContainsFunc(c.others, func(o thread) bool { return o.since.Equal(k.since) && !isLock(o.call.NR) }):
			t.Errorf("%s: a thread in a lock, want the other one", name)
		}
	}
}

// A thread computes if it has run, or been ready to, for half of the time.
func TestThreadShare(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var k threadHistory
	for _, c := range []struct{ after, busy, want float64 }{
		{0, 5, 0}, {0.5, 5.5, 0}, {1, 6, 1}, {1.5, 6, 1 / 1.5}, {2, 6, 0}, {12, 6, 0}, {22, 11, 0.5},
	} {
		at, busy := now.Add(time.Duration(c.after*1e9)), time.Duration(c.busy*1e9)
		if got := k.share(at, busy); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("after %g s: %g, want %g", c.after, got, c.want)
		}
	}
}

// BenchmarkWaitOf reads what this process waits for in a call on a socket: the
// hot path of a worker that has been busy for a second.
func BenchmarkWaitOf(b *testing.B) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- unix.Gettid()
		_, _ = unix.Read(pair[0], make([]byte, 1)) // until the end of the benchmark
	}()
	r := procfs.New("/proc")
	w := newInspector(discovery.Parts{Table: table.New(r)})
	p, k := &table.Process{PID: os.Getpid()}, thread{tid: <-tid}
	b.Cleanup(func() { _ = unix.Close(pair[1]); _ = unix.Close(pair[0]) })
	for k.call.NR != unix.SYS_READ || int(k.call.Args[0]) != pair[0] {
		text, err := r.Read(p.PID, fmt.Sprintf("task/%d/syscall", k.tid))
		if err != nil {
			b.Fatal(err)
		}
		k.call, _ = procfs.ParseSyscall(text)
	}
	l, x := &sample{main: k}, &discovery.Worker{State: discovery.Busy, For: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		w.table.Budget.Begin(true) // a look
		if w.waitOf(&discovery.InspectedApp{}, p, &tracker{}, l, x, time.Now()); len(w.unresolved) != 1 {
			b.Fatal(w.unresolved)
		}
		w.clearUnresolved()
	}
}
