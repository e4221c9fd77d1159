package procfs

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// wallShare is the part of the elapsed time that counts as cost where the thread
// has less processor time: what waits for a processor holds up nobody by that,
// but it may hold a lock of the process that it reads.
const wallShare = 10

// CPUCost runs f and returns what it cost: the processor time of its thread, the
// kernel's work for it included, and at least a tenth of the elapsed time. On a
// busy host the elapsed time says little about what f does.
func CPUCost(f func()) time.Duration {
	runtime.LockOSThread() // the kernel's work is charged to the thread that asks
	defer runtime.UnlockOSThread()
	began, cpu := time.Now(), ThreadTime()
	f()
	return max(ThreadTime()-cpu, time.Since(began)/wallShare)
}

// ThreadTime returns the processor time of the calling thread; 0 on an error.
func ThreadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
