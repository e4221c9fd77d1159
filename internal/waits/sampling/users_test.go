package sampling

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// costly is a worker of 50 request threads whose stacks are deep and whose code is never
// the same twice.
const costly = `import threading, time
def run():
  i = 0
  while True:
    i += 1
    def f(f, n):
      if n: f(f, n - 1)
      else: time.sleep(.1)
    f.__code__ = f.__code__.replace(co_name="f%d" % i, co_filename="/srv/%d.py" % i)
    f(f, 150)
for _ in range(50): threading.Thread(target=run, daemon=True).start()
print(1, flush=True)
time.sleep(600)`

// seen counts the samples of a worker, and those with a stack of its thread.
type seen struct{ samples, stacks int }

// watchWorker runs a sampler for a while and returns what it has seen of a worker, and
// the part of a core that it has used.
func watchWorker(t *testing.T, list []Registration, of Registration) (x seen, share float64) {
	t.Helper()
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 10, Stacks: true}})
	for _, r := range list {
		s.Register(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	time.Sleep(3 * time.Second) // until the cost is known
	began, before := time.Now(), s.Totals().CPU
	var sampled, looked time.Time
	for time.Since(began) < 12*time.Second {
		for _, r := range list {
			s.Register(r)
		}
		s.mu.Lock()
		if w := s.workers[workerKey{of.PID, of.Start}]; w != nil {
			if !w.sampled.Equal(sampled) {
				sampled = w.sampled
				x.samples++
			}
			if at := w.main().stack.at; !at.Equal(looked) {
				looked = at
				x.stacks++
			}
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 10_000_000}, nil) // the workers run on in real time
	}
	share = (s.Totals().CPU - before).Seconds() / time.Since(began).Seconds()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return x, share
}

// The workers of one user that are costly to sample do not lower the rate of another's,
// nor that of its stacks.
func TestUsersShareTheSampler(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, "import time\ndef view():\n  while True: time.sleep(.02)\nprint(1, flush=True)\nview()")
	plain := Registration{PID: pid, Start: start, Owner: 1000, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	of := func(owner procfs.Account, list []Registration) []Registration {
		out := []Registration{plain}
		for _, r := range list {
			r.Owner = owner
			out = append(out, r)
		}
		return out
	}
	var list []Registration
	for i := range 5 {
		pid, start, _ := startPython(t, costly)
		list = append(list, Registration{PID: pid, Start: start, App: "evil", Slot: i, Server: cmdline.Gunicorn, Class: "gthread", Threads: 50, Known: true, InFlight: 50})
	}
	// The clock stands still while a sampler runs: what counts is its CPU time, not how long a
	// busy machine lets it wait.
	var one, two seen
	var used, usedByTwo float64
	synctest.Test(t, func(t *testing.T) { one, used = watchWorker(t, of(1000, list), plain) })
	synctest.Test(t, func(t *testing.T) { two, usedByTwo = watchWorker(t, of(2000, list), plain) })
	t.Logf("with one user %+v, %.4f of a core; with two %+v, %.4f of a core", one, used, two, usedByTwo)
	if two.samples < 2*one.samples || two.stacks < 3*one.stacks {
		t.Errorf("with one user %+v, with two %+v", one, two)
	}
	if usedByTwo > 0.02 {
		t.Errorf("%.4f of a core", usedByTwo)
	}
}
