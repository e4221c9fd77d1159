package procfs_test

import (
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// A set of poll in a page that does not come costs the deadline once, and what comes
// from other pages is right.
func TestSetThatDoesNotCome(t *testing.T) {
	t.Parallel()
	addr, release := pystacktest.MissingPage(t)
	defer release()
	set := []unix.PollFd{{Fd: 7, Events: unix.POLLIN}}
	t.Cleanup(func() { runtime.KeepAlive(set) }) // so that it is not on the stack, which moves
	there := procfs.Syscall{NR: procfs.SysPoll}
	there.Args[0], there.Args[1] = uint64(uintptr(unsafe.Pointer(&set[0]))), 1
	missing := there
	missing.Args[0] = addr
	c := procfs.NewSyscallReader(procfs.New("/proc"))
	if !c.WaitsForConnection(os.Getpid(), there, []int{7}) {
		t.Error("a set that is there is not read")
	}
	began := time.Now()
	if c.WaitsForConnection(os.Getpid(), missing, []int{0, 7}) {
		t.Error("a set that does not come is read")
	}
	if time.Since(began) < time.Second {
		t.Error("the read did not hang")
	}
	if c.WaitsForConnection(os.Getpid(), there, []int{7}) {
		t.Error("the process is read again")
	}
	set[0].Fd = 8
	if !procfs.NewSyscallReader(procfs.New("/proc")).WaitsForConnection(os.Getpid(), there, []int{8}) {
		t.Error("another reader does not read")
	}
}
