package pystack_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// openOf returns how many descriptors of the test are files of a process.
func openOf(t *testing.T, pid int) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		// Of a process that has ended the links are the same, with " (deleted)" behind.
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(strings.TrimSuffix(to, " (deleted)")+"/", fmt.Sprintf("/proc/%d/", pid)) {
			n++
		}
	}
	return n
}

const eightThreads = `import sys, threading
for _ in range(7): threading.Thread(target=threading.Event().wait, daemon=True).start()
print(1, flush=True)
sys.stdin.read()`

// A process does not run if none of its threads does. If they need more descriptors than
// may be kept, none is opened.
func TestStandThreads(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]pystack.Outcome{17: pystack.OK, 16: pystack.Torn, 8: pystack.Torn} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			py := start(t, debian, "-c", eightThreads)
			var n int
			read(t, py, &n)
			cache := pystack.NewCache()
			pystack.KeepAtMost(cache, limit)
			p, err := pystack.Open(procfs.New("/proc"), py.PID(), cache)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var s pystack.Still
			eventually(t, func() string {
				if out := s.Stand(p); out != want {
					return fmt.Sprintf("%s, want %s", out, want)
				}
				return ""
			})
			if got := pystack.Kept(cache); got > limit || want != pystack.OK && got != 1 { // of the process itself
				t.Errorf("%d descriptors are kept", got)
			}
			if s.Holds() != (want == pystack.OK) {
				t.Errorf("it holds: %t", s.Holds())
			}
			s.End()
		})
	}
}

// noInterpreter is a program whose list of interpreters leads into a page that does not
// come (userfaultfd(2)). Its argument is the offset of the list in _PyRuntime.
const noInterpreter = `import ctypes, sys
c = ctypes.CDLL(None)
c.mmap.restype = ctypes.c_void_p
fd = c.syscall(323, 0o2004000)
api = (ctypes.c_uint64 * 3)(0xaa)
page = c.mmap(None, 4096, 3, 0x22, -1, 0)
area = (ctypes.c_uint64 * 4)(page, 4096, 1)
if fd < 0 or c.ioctl(fd, ctypes.c_ulong(0xc018aa3f), api) or c.ioctl(fd, ctypes.c_ulong(0xc020aa00), area): raise OSError("userfaultfd")
runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
ctypes.c_uint64.from_address(runtime + int(sys.argv[1])).value = page
print(sys.version_info[1], flush=True)
c.pause()`

// Where a read of Open does not return, nothing stays open after it has.
func TestOpenHangs(t *testing.T) {
	t.Parallel()
	const debianMinor = 11
	l, ok := layout.For(debianMinor, false)
	if !ok {
		t.Fatal("no layout")
	}
	var dog memory.Watchdog
	cache := pystack.NewWatchedCache(&dog)
	py := start(t, debian, "-c", noInterpreter, fmt.Sprint(l.Runtime.InterpretersHead))
	var minor int
	if read(t, py, &minor); minor != debianMinor {
		t.Fatalf("%s is 3.%d", debian, minor)
	}
	if dog.Do(func() {
		p, err := pystack.Open(procfs.New("/proc"), py.PID(), cache)
		t.Errorf("%v, %v", p, err)
	}) {
		t.Fatal("it returned")
	}
	pid := py.PID()
	if n := openOf(t, pid); n != 1 {
		t.Errorf("%d files are open while the read hangs", n)
	}
	py.Stop()
	eventually(t, func() string {
		if n := openOf(t, pid); n != 0 {
			return fmt.Sprintf("%d files are open", n)
		}
		return ""
	})
}

// An error of a read that says nothing of the memory stays what it is.
func TestFailed(t *testing.T) {
	t.Parallel()
	for _, err := range []error{memory.ErrHung, unix.EPERM, unix.ESRCH} {
		if got := pystack.Failed(err); !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
	}
	var unsupported *pystack.Unsupported
	if got := pystack.Failed(memory.ErrShort); !errors.As(got, &unsupported) {
		t.Errorf("%v", got)
	}
}
