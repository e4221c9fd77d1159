package sampling

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
)

// without runs f without CAP_SYS_PTRACE, in a thread that ends with it.
func without(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&header, &caps[0])
		caps[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
		if err = errors.Join(err, unix.Capset(&header, &caps[0])); err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// idleWorker is a worker without a request.
func idleWorker(pid int, start uint64) Registration {
	return Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true}
}

// Of a process whose memory the kernel refuses it is known that it does, also without a
// request.
func TestStacksDenied(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, "import ctypes, time\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # not dumpable\nprint(1, flush=True)\ntime.sleep(600)")
	without(t, func() {
		s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
		defer s.closeAll()
		s.Register(idleWorker(pid, start))
		s.savings = maxSavings
		s.sample()
		all := s.Totals()
		if !procfs.Denied(all.Denied["shop"]) || all.Unsupported["shop"] != nil || all.Stacks[string(pystack.Permission)] != 1 {
			t.Errorf("denied %v, unsupported %v, %v", all.Denied, all.Unsupported, all.Stacks)
		}
	})
}

// An interpreter that can be read has no lack, and an old one the reason, though neither has
// a request.
func TestVersions(t *testing.T) {
	t.Parallel()
	programs := map[string]image.Reason{python: ""}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for pattern, why := range map[string]image.Reason{"3.6.*": image.Stripped, "3.7.*": image.OldOrNew} {
		old, err := filepath.Glob(filepath.Join(home, ".pyenv/versions", pattern, "bin/python"))
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range old {
			programs[program] = why
		}
	}
	for program, want := range programs {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			pid, start, _ := startProgram(t, program, "import time\nprint(1, flush=True)\ntime.sleep(600)")
			s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
			t.Cleanup(s.closeAll)
			until(t, program, func() bool {
				s.Register(idleWorker(pid, start))
				s.savings = maxSavings
				s.sample()
				w := s.workers[workerKey{pid, start}]
				return w != nil && (w.python.probed || w.python.process != nil)
			})
			all := s.Totals()
			u, ok := errors.AsType[*image.Unsupported](all.Unsupported["shop"])
			if ok != (want != "") || ok && u.Reason != want || len(all.Denied) > 0 {
				t.Errorf("unsupported %v, denied %v", all.Unsupported, all.Denied)
			}
		})
	}
}
