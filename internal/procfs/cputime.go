package procfs

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// wallShare is the divisor of the elapsed time that counts as cost where the
// thread used less CPU: a read that waits for a CPU delays nobody by that, but it
// may hold a lock of the process that it reads.
const wallShare = 10

// SharedCost is CPUCost for what is done by several goroutines in turns: it counts the
// CPU time of the process. What others do meanwhile counts, too, but f takes little of
// the time. Locked to one thread, as CPUCost does it, each turn would have to wake up
// another thread, which costs more than what the sampler reads.
func SharedCost(f func()) time.Duration {
	began, cpu := time.Now(), ProcessTime()
	f()
	return max(ProcessTime()-cpu, time.Since(began)/wallShare)
}

// CPUCost runs f and returns its cost: the CPU time of its thread, the kernel's
// work for it included, but at least a tenth of the elapsed time. On a busy host
// the elapsed time says little about the work.
func CPUCost(f func()) time.Duration {
	runtime.LockOSThread() // the kernel's work is charged to the thread that asks
	defer runtime.UnlockOSThread()
	began, cpu := time.Now(), ThreadTime()
	f()
	return max(ThreadTime()-cpu, time.Since(began)/wallShare)
}

// ThreadTime returns the CPU time of the calling thread
// (CLOCK_THREAD_CPUTIME_ID); 0 on an error. The caller locks the thread.
func ThreadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// ProcessTime returns the CPU time of this process (CLOCK_PROCESS_CPUTIME_ID); 0 on an
// error.
func ProcessTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// clock returns the time of a clock (clock_gettime(2)); 0 on an error.
func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
