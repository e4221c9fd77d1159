package pystack_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// The thread that computes holds the lock, the others wait for it, and their
// futexes are known as the lock's.
func TestGIL(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			py := start(t, python, "-c", `
import ctypes, json, sys, threading, time
hold = ctypes.PyDLL(None).usleep  # with the lock held
def holds():
    while True:
        hold(200_000)
def wants():
    while True:
        time.sleep(0.01)
a, b = threading.Thread(target=holds, daemon=True), threading.Thread(target=wants, daemon=True)
a.start(); b.start()
print(json.dumps([a.native_id, b.native_id]), flush=True)
sys.stdin.read()
`)
			var ids [2]int
			read(t, py, &ids)
			p := open(t, py.PID())
			r := procfs.New("/proc")
			var s pystack.Stack
			eventually(t, func() string {
				g, err := p.GIL()
				if err != nil {
					t.Fatal(err)
				}
				if !g.Locked || g.HolderTID != ids[0] {
					return fmt.Sprintf("locked %v by %d, want %d", g.Locked, g.HolderTID, ids[0])
				}
				b, err := r.Read(py.PID(), "task/"+strconv.Itoa(ids[1])+"/syscall")
				if err != nil {
					t.Fatal(err)
				}
				c, err := procfs.ParseSyscall(b)
				if err != nil || !g.Waits(c.Args[0]) {
					return fmt.Sprintf("call %+v, %v", c, err)
				}
				if g.Waits(c.Args[0]+256) || g.Waits(0) {
					t.Fatal("any futex is the lock's")
				}
				if out := p.Look(ids[0], &s); out != pystack.OK || s.InnerFrame().Code.Name != "holds" {
					return fmt.Sprintf("holder: %s %+v", out, s.InnerFrame())
				}
				return ""
			})
		})
	}
}

// The garbage collector is reported while it runs, and only then.
func TestCollecting(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			py := start(t, python, "-c", `
import gc, json, sys, threading
class Node:
    def __del__(self):
        print("1", flush=True)
        sys.stdin.readline()
gc.disable()
print("0", flush=True)
sys.stdin.readline()
n = Node(); n.n = n; del n
gc.collect()
print("2", flush=True)
sys.stdin.read()
`)
			p := (*pystack.Process)(nil)
			for i, want := range []bool{false, true, false} {
				var stage int
				read(t, py, &stage)
				if stage != i {
					t.Fatalf("stage %d, want %d", stage, i)
				}
				if p == nil {
					p = open(t, py.PID())
				}
				if got, err := p.Collecting(); got != want || err != nil {
					t.Errorf("stage %d: %v, %v", i, got, err)
				}
				if err := py.Write("\n"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A process that was forked from another one, as gunicorn's workers are, has
// thread states with the ids of its parent's threads.
func TestForked(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			py := start(t, python, "-c", `
import json, os, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
import warnings
warnings.simplefilter("ignore")
pid = os.fork()
if pid == 0:
    def child():
        t = threading.Thread(target=threading.Event().wait, daemon=True)
        t.start()
        print(json.dumps([os.getpid(), t.native_id]), flush=True)
        time.sleep(1000)
    child()
sys.stdin.read()
`)
			var ids [2]int
			read(t, py, &ids)
			t.Cleanup(func() { _ = unix.Kill(ids[0], unix.SIGKILL) })
			p := open(t, ids[0])
			var s pystack.Stack
			for i, want := range []string{"child", "wait"} {
				eventually(t, func() string {
					out := p.Look(ids[i], &s)
					if out != pystack.OK || !s.Frozen || len(s.Frames) == 0 {
						return fmt.Sprintf("%d: %s, %d frames", ids[i], out, len(s.Frames))
					}
					if f := s.InnerFrame(); f.Code.Name != want {
						return fmt.Sprintf("%d is in %s", ids[i], f.Code.Name)
					}
					return ""
				})
			}
		})
	}
}

// Descriptors are kept while there are few, and closed with the process.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	py := start(t, debian, "-c", "import sys; print(1, flush=True); sys.stdin.read()")
	var one int
	read(t, py, &one)
	c := pystack.NewCache()
	p, err := pystack.Open(procfs.New("/proc"), py.PID(), c)
	if err != nil {
		t.Fatal(err)
	}
	var s pystack.Stack
	look := func() string {
		if out := p.Look(py.PID(), &s); out != pystack.OK || len(s.Frames) != 1 {
			return string(out)
		}
		return ""
	}
	eventually(t, look)
	if n := pystack.Kept(c); n != 3 || p.Stats().FilesNotKept != 0 {
		t.Errorf("%d descriptors are kept, %+v", n, p.Stats())
	}
	pystack.KeepAtMost(c, 1)
	eventually(t, look)
	if n := pystack.Kept(c); n != 1 || p.Stats().FilesNotKept == 0 {
		t.Errorf("%d descriptors are kept, %+v", n, p.Stats())
	}
	pystack.KeepAtMost(c, 10)
	eventually(t, look)
	p.Close()
	if n := pystack.Kept(c); n != 0 {
		t.Errorf("%d descriptors are kept after the end", n)
	}
	if v := p.Version().String(); len(v) < 6 || v[:5] != "3.11." || c.Dropped() != 0 {
		t.Errorf("version %s, %d dropped", v, c.Dropped())
	}
	if v := (pystack.Version{Major: 3, Minor: 9, Micro: -1}).String(); v != "3.9" {
		t.Error(v)
	}
	if p.Runtime() == 0 || p.Layout().Code.Size == 0 || p.Memory() == nil {
		t.Error("the interpreter is not told")
	}
}

// Nothing is kept of a thread that has ended, once another one is read.
func TestThreadsThatEnd(t *testing.T) {
	t.Parallel()
	py := start(t, debian, "-c", `
import json, sys, threading
helper = threading.Thread(target=sys.stdin.readline)
helper.start()
print(json.dumps(helper.native_id), flush=True)
helper.join()
print(1, flush=True)
sys.stdin.read()
`)
	var helper, one int
	read(t, py, &helper)
	c := pystack.NewCache()
	p, err := pystack.Open(procfs.New("/proc"), py.PID(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var s pystack.Stack
	eventually(t, func() string {
		if out := p.Look(helper, &s); out != pystack.OK {
			return string(out)
		}
		return ""
	})
	if err := py.Write("\n"); err != nil {
		t.Fatal(err)
	}
	read(t, py, &one)
	eventually(t, func() string {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", py.PID(), helper))
		if err == nil {
			return "the thread is still there"
		}
		return ""
	})
	if n := pystack.Kept(c); n != 3 {
		t.Errorf("%d descriptors are kept", n)
	}
	p.Look(py.PID(), &s)
	if n := pystack.Kept(c); n != 3 {
		t.Errorf("%d descriptors are kept", n)
	}
}

// A look whose further reads fail is torn; they see the same stack.
func TestLookThen(t *testing.T) {
	t.Parallel()
	py := start(t, debian, "-c", "import sys; print(1, flush=True); sys.stdin.read()")
	var one int
	read(t, py, &one)
	p := open(t, py.PID())
	var s pystack.Stack
	eventually(t, func() string {
		frames := 0
		out := p.LookThen(py.PID(), &s, func(s *pystack.Stack) error {
			frames = len(s.Frames)
			return nil
		})
		if out != pystack.OK || !s.Frozen || frames != 1 {
			return fmt.Sprintf("%s, %d frames", out, frames)
		}
		return ""
	})
	if out := p.LookThen(py.PID(), &s, func(*pystack.Stack) error { return errors.New("no") }); out != pystack.Torn || len(s.Frames) != 0 {
		t.Errorf("%s, %d frames", out, len(s.Frames))
	}
}

// Threads and processes that are not there.
func TestGone(t *testing.T) {
	t.Parallel()
	if _, err := pystack.Open(procfs.New("/proc"), 1<<22, pystack.NewCache()); !procfs.Gone(err) {
		t.Errorf("no such process: %v", err)
	}
	if _, err := pystack.Open(procfs.New("/proc"), os.Getpid(), pystack.NewCache()); err == nil {
		t.Error("a test is no Python")
	}
	py := start(t, debian, "-c", "import sys; print(1, flush=True); sys.stdin.read()")
	var one int
	read(t, py, &one)
	p := open(t, py.PID())
	var s pystack.Stack
	if out := p.Look(os.Getpid(), &s); out != pystack.Torn {
		t.Errorf("a thread of another process: %s", out)
	}
	eventually(t, func() string {
		if out := p.Look(py.PID(), &s); out != pystack.OK || !s.Frozen {
			return string(out)
		}
		return ""
	})
	py.Stop()
	if out := p.Look(py.PID(), &s); out != pystack.Torn || len(s.Frames) != 0 {
		t.Errorf("after the end: %s, %d frames", out, len(s.Frames))
	}
}
