package workerends

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// beating starts a process that holds an unlinked heartbeat file with the last heartbeat so
// long ago, and returns it as a worker of an idle app. It is waited for when it ends.
func beating(t *testing.T, ago time.Duration) (*exec.Cmd, *discovery.Snapshot) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "wgunicorn-x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "600")
	cmd.ExtraFiles = []*os.File{f} // descriptor 3
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-gone })
	id, err := procid.Identify("/proc", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	start, err := id.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		t.Fatal(err)
	}
	last := unix.NsecToTimespec(mono.Nano() - int64(ago))
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/fd/3", id.PID), []unix.Timespec{last, last}, 0); err != nil {
		t.Fatal(err)
	}
	w := discovery.Worker{Process: discovery.Process{PID: id.PID}, Start: start, State: discovery.Idle, HasBeat: true, HeartbeatFD: 3}
	return cmd, &discovery.Snapshot{Time: time.Now(), Apps: []discovery.App{{Name: "shop", Server: cmdline.Gunicorn, PID: os.Getpid(), Up: true, Workers: []discovery.Worker{w}}}}
}

// A worker that was idle at the last look, which was long ago, is judged by its heartbeat
// file at its end.
func TestIdleAtLastLook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit time.Duration
		cut   bool
		r     Reason
	}{
		"its master's timeout": {2 * time.Second, true, Timeout},
		"killed by hand":       {gunicornTimeout, false, Signal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, snap := beating(t, 3*time.Second)
			w := New(Options{ProcRoot: "/proc", Groups: &cgroup.FS{ProcRoot: "/proc", SysRoot: "/sys"}})
			ctx, cancel := context.WithCancel(t.Context())
			defer func() { cancel(); w.wg.Wait() }()
			w.lookAt(ctx, snap)
			x := w.workers[cmd.Process.Pid]
			if x == nil || x.handle == nil || x.file == nil || w.beats != 1 {
				t.Fatalf("it is watched as %+v, with %d heartbeat files", x, w.beats)
			}
			x.limit, x.beat = c.limit, beat{x.beat.at.Add(-10 * time.Second), 0}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			e := <-w.ended
			w.awake.note(e.at) // it ran then, however long this test did not
			w.workerEnded(e)
			w.settle(time.Now().Add(2 * settleTime))
			for _, n := range w.Of("shop") {
				want := Count{Reason: n.Reason}
				if n.Reason == c.r {
					want.Ends = 1
					if c.cut {
						want.InRequest = 1
					}
				}
				if n != want {
					t.Errorf("%+v, want %+v", n, want)
				}
			}
			if w.beats != 0 || w.handles != 0 {
				t.Errorf("%d heartbeat files and %d pidfds are open", w.beats, w.handles)
			}
		})
	}
}

// After a time in which the exporter did not run, ends may have been before.
func TestAwake(t *testing.T) {
	t.Parallel()
	var a awake
	start := time.Unix(1_700_000_000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * 1e9)) }
	for _, s := range []float64{0, 1, 2, 3.5, 20, 21} {
		a.note(at(s))
	}
	for s, want := range map[float64]float64{3: 3, 3.5: 3.5, 4: 3.5, 20.1: 3.5, 22.5: 3.5, 23.5: 23.5, 30: 21} {
		if got := a.before(at(s)); !got.Equal(at(want)) {
			t.Errorf("at %v: %v", s, got.Sub(start))
		}
	}
}
