package sampling

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
)

// dropPtrace takes CAP_SYS_PTRACE from the thread, which ends with the goroutine.
func dropPtrace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err := unix.Capget(&header, &caps[0])
	caps[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
	if err = errors.Join(err, unix.Capset(&header, &caps[0])); err != nil {
		t.Error(err)
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
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	defer s.closeAll()
	work := s.work
	s.work = func() { dropPtrace(t); work() }
	s.Register(idleWorker(pid, start))
	save(s, share.MaxSavings)
	s.sample()
	all := s.Totals()
	if !procfs.Denied(all.Denied["shop"]) || all.Unsupported["shop"] != nil || all.Stacks[string(pystack.Permission)] != 1 {
		t.Errorf("denied %v, unsupported %v, %v", all.Denied, all.Unsupported, all.Stacks)
	}
}

// A worker whose memory does not come costs one sample, and its stacks are not read again.
// The other workers are read as before.
func TestMemoryThatDoesNotCome(t *testing.T) {
	t.Parallel()
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	defer s.closeAll()
	var keys []workerKey
	for range 2 {
		pid, start, _ := startPython(t, "import time\nprint(1, flush=True)\ntime.sleep(600)")
		s.Register(idleWorker(pid, start))
		keys = append(keys, workerKey{pid, start})
	}
	addr, _ := pystacktest.MissingPage(t)
	work := s.work
	s.work = func() {
		s.reading = s.workers[keys[0]]
		_ = memory.NewWatched(os.Getpid(), &s.watchdog).Read(memory.Part{Addr: addr, Into: make([]byte, 8)})
		t.Error("the sample went on after it was given up")
	}
	s.sample()
	s.work = work
	until(t, "the other worker", func() bool {
		for _, k := range keys { // a busy machine may take longer than a worker is kept without
			s.Register(idleWorker(k.pid, k.start))
		}
		save(s, share.MaxSavings)
		s.sample()
		w := s.workers[keys[1]]
		return w.python.probes == maxProbes || w.python.process != nil
	})
	all := s.Totals()
	hung, other := s.workers[keys[0]], s.workers[keys[1]]
	if !hung.python.never || !errors.Is(all.Unsupported["shop"], memory.ErrHung) || other.python.never || all.HungReads != 1 || all.Stacks[string(pystack.NotReadable)] != 1 {
		t.Errorf("hung %v, other %v, %+v", hung.python.why, other.python.why, all)
	}
}

// hangs is a worker that waits in a poll whose set is in a page that does not come
// (userfaultfd(2)).
const hangs = `import ctypes
c = ctypes.CDLL(None)
c.mmap.restype = ctypes.c_void_p
fd = c.syscall(323, 0o2004000)
api = (ctypes.c_uint64 * 3)(0xaa)
page = c.mmap(None, 4096, 3, 0x22, -1, 0)
area = (ctypes.c_uint64 * 4)(page, 4096, 1)
if fd < 0 or c.ioctl(fd, ctypes.c_ulong(0xc018aa3f), api) or c.ioctl(fd, ctypes.c_ulong(0xc020aa00), area): raise OSError("userfaultfd")
print(1, flush=True)
c.poll(ctypes.c_void_p(page), 1, -1)`

// Two workers of a user whose memory does not come cost one sample each, and no memory of
// that user is read any more. Those of other users are read.
func TestUserWhoseMemoryDoesNotCome(t *testing.T) {
	t.Parallel()
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	defer s.closeAll()
	var list []Registration
	for i, script := range []string{hangs, hangs, hangs, "import time\nprint(1, flush=True)\ntime.sleep(600)"} {
		pid, start, _ := startPython(t, script)
		r := idleWorker(pid, start)
		r.Owner = procfs.Account(1000 + i/3)
		list = append(list, r)
	}
	began := time.Now()
	until(t, "the other user's worker", func() bool {
		for _, r := range list {
			s.Register(r)
		}
		save(s, share.MaxSavings)
		s.sample()
		w := s.workers[workerKey{list[3].PID, list[3].Start}]
		return s.watchdog.Refused() >= 2 && (w.python.probes == maxProbes || w.python.process != nil)
	})
	until(t, "the third is refused", func() bool { // the two users have rates of their own
		for _, r := range list {
			s.Register(r)
		}
		save(s, share.MaxSavings)
		s.sample()
		return s.workers[workerKey{list[2].PID, list[2].Start}].python.never
	})
	if n := s.watchdog.Refused(); n != 2 {
		t.Errorf("%d reads did not return in %s", n, time.Since(began))
	}
	for i, r := range list {
		w := s.workers[workerKey{r.PID, r.Start}]
		if (w.python.never && errors.Is(w.python.why, memory.ErrHung)) != (i < 3) {
			t.Errorf("worker %d: %t, %v", i, w.python.never, w.python.why)
		}
	}
}

// A worker that is refused because memory of other ones of its user did not come is tried
// again later, also if its interpreter had been tried before.
func TestRefusedForAWhile(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, "import time\nprint(1, flush=True)\ntime.sleep(600)")
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	defer s.closeAll()
	s.Register(idleWorker(pid, start))
	w, now := s.workers[workerKey{pid, start}], time.Now()
	s.sample()
	w.python.close()
	w.python = interpreter{program: s.programOf(w), why: unix.EPERM}
	if w.python.program == 0 {
		t.Fatal("the program is not known")
	}
	for range 2 {
		w.user.Hang(now)
	}
	if s.openInterpreter(w, now); !w.python.never || !errors.Is(w.python.why, memory.ErrHung) {
		t.Fatalf("not refused: %v", w.python.why)
	}
	later := now.Add(time.Hour)
	s.recheckProgram(w)
	if s.openInterpreter(w, later); w.python.process == nil {
		t.Errorf("not tried an hour later: %t, %v", w.python.never, w.python.why)
	}
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
				save(s, share.MaxSavings)
				s.sample()
				w := s.workers[workerKey{pid, start}]
				return w != nil && (w.python.probes == maxProbes || w.python.process != nil)
			})
			all := s.Totals()
			u, ok := errors.AsType[*image.Unsupported](all.Unsupported["shop"])
			if ok != (want != "") || ok && u.Reason != want || len(all.Denied) > 0 {
				t.Errorf("unsupported %v, denied %v", all.Unsupported, all.Denied)
			}
		})
	}
}
