package procfs

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wallShare is the divisor of the elapsed time that counts as cost where the
// thread used less CPU: a read that waits for a CPU delays nobody by that, but it
// may hold a lock of the process that it reads.
const wallShare = 10

// CPUCost runs f and returns its cost: that of [ThreadCost], but at least a tenth of
// the elapsed time. On a busy host the elapsed time says little about the work.
func CPUCost(f func()) time.Duration {
	began := time.Now()
	return max(ThreadCost(f), time.Since(began)/wallShare)
}

// ThreadCost runs f and returns the CPU time of its thread meanwhile, the kernel's
// work for it included.
func ThreadCost(f func()) time.Duration {
	runtime.LockOSThread() // the kernel's work is charged to the calling thread
	defer runtime.UnlockOSThread()
	began := ThreadTime()
	f()
	return ThreadTime() - began
}

// ThreadTime returns the CPU time of the calling thread
// (CLOCK_THREAD_CPUTIME_ID); 0 on an error. The caller locks the thread.
func ThreadTime() time.Duration {
	var ts unix.Timespec
	// It never blocks, so the scheduler need not be told, which would wake up a thread of Go's.
	if _, _, err := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0); err != 0 { //nolint:gosec // as the system call wants it
		return 0
	}
	return time.Duration(ts.Nano())
}
