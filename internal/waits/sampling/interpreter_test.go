package sampling

import (
	"os/exec"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
)

// sampleUntil samples one Python process, whose main thread has a request, until ok
// returns true of its thread and of its seconds.
func sampleUntil(t *testing.T, script string, ok func(model.Thread, ledger.Seconds) bool) {
	t.Helper()
	pid, start, _ := startPython(t, "print(1, flush=True)\n"+script)
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	t.Cleanup(s.closeAll)
	r := Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	until(t, script, func() bool {
		threads := s.Register(r)
		s.mu.Lock()
		save(s, share.MaxSavings)
		s.mu.Unlock()
		s.sample()
		apps := s.Totals().Apps
		return len(threads) == 1 && ok(threads[0], apps[0].Slots[0].Seconds)
	})
}

// The line of a thread that waits is known.
func TestStackOfAWait(t *testing.T) {
	t.Parallel()
	sampleUntil(t, "import time\ndef charge():\n  time.sleep(600)\ncharge()", func(x model.Thread, _ ledger.Seconds) bool {
		return x.On == "sleep" && x.Stack != nil && x.Stack.Inner.Function == "charge" && x.Stack.Inner.Line == 4
	})
}

// A thread that waits for the GIL is distinguished from one that waits for a lock of the
// app.
func TestGIL(t *testing.T) {
	t.Parallel()
	spin := "import threading\ndef spin():\n  while True: pass\nfor i in range(3): threading.Thread(target=spin, daemon=True).start()\nspin()"
	sampleUntil(t, spin, func(x model.Thread, seconds ledger.Seconds) bool {
		return x.On == "gil" && x.Futex != 0 && !x.GIL && seconds[ledger.GIL] > 0
	})
}

// The time of the garbage collector is distinguished from other CPU time.
func TestCollector(t *testing.T) {
	t.Parallel()
	sampleUntil(t, "import gc\nkeep = [[] for _ in range(500000)]\nwhile True: gc.collect()", func(_ model.Thread, seconds ledger.Seconds) bool {
		return seconds[ledger.GC] > 0.1
	})
}

// An interpreter that is none is said once.
func TestNoInterpreter(t *testing.T) {
	t.Parallel()
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	t.Cleanup(s.closeAll)
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := cmd.Process.Pid
	b, err := procfs.New("/proc").Read(pid, "stat")
	if err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "unsupported", func() bool {
		s.Register(Registration{PID: pid, Start: st.Start, App: "shop", Server: cmdline.Gunicorn, Sync: true})
		save(s, share.MaxSavings)
		s.sample()
		all := s.Totals()
		return all.Unsupported["shop"] != nil && all.Stacks["unsupported"] == 1
	})
}
