package sampling

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/calls"
)

// What a thread does is its last sample as long as it has not run since, and is read
// otherwise: of threads that are not sampled, of other processes and of those that run.
func TestCallsNow(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, "import time\nprint(1, flush=True)\ntime.sleep(600)")
	spins, spinsSince, _ := startPython(t, "print(1, flush=True)\nwhile True: pass")
	s := newSampler()
	t.Cleanup(s.closeAll)
	reader := calls.Reader{FS: procfs.New("/proc"), Sampler: s}
	asleep := func(c procfs.Syscall) bool { return c.NR == unix.SYS_CLOCK_NANOSLEEP }
	until(t, "it sleeps", func() bool {
		x, err := reader.Now(pid, start, pid)
		return err == nil && asleep(x.Call) && x.Times.Slices > 0
	})
	s.Register(Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true})
	s.Register(Registration{PID: spins, Start: spinsSince, App: "shop", Slot: 1, Server: cmdline.Gunicorn, Sync: true})
	s.sample()
	main := s.workers[workerKey{pid, start}].main()
	real := calls.Thread{Call: main.call, Times: main.times}
	if !asleep(main.call) {
		t.Fatalf("sampled in %+v", main.call)
	}
	main.call.NR = unix.SYS_FSYNC // distinguishes the sample from the read
	if x, err := reader.Now(pid, start, pid); err != nil || x.Call != main.call || x.Times != main.times {
		t.Errorf("%+v, %v, want the last sample", x, err)
	}
	for name, read := range map[string]func() (calls.Thread, error){
		"without a sampler": func() (calls.Thread, error) { return calls.Reader{FS: reader.FS}.Now(pid, start, pid) },
		"another process":   func() (calls.Thread, error) { return reader.Now(pid, start+1, pid) },
		"it has run since":  func() (calls.Thread, error) { main.times.Slices++; return reader.Now(pid, start, pid) },
		"no totals":         func() (calls.Thread, error) { main.times.Slices = 0; return reader.Now(pid, start, pid) },
		"it may not be read": func() (calls.Thread, error) {
			main.times, main.denied = real.Times, true
			return reader.Now(pid, start, pid)
		},
		"it is not sampled at all": func() (calls.Thread, error) {
			s.workers[workerKey{pid, start}].gone = true
			return reader.Now(pid, start, pid)
		},
	} {
		if x, err := read(); err != nil || x != real {
			t.Errorf("%s: %+v, %v, want what it does", name, x, err)
		}
	}
	running := s.workers[workerKey{spins, spinsSince}].main()
	until(t, "it was found running", func() bool { s.sample(); return running.call.Running })
	if _, ok := s.LastCall(spins, spinsSince, spins); ok {
		t.Error("the last sample of a thread that runs")
	}
	if _, err := reader.Now(1<<22+1, 1, 1<<22+1); !procfs.Gone(err) {
		t.Errorf("a process that has ended: %v", err)
	}
}
