// Package calls reads what single threads do, for a caller that cannot wait for the next
// sample.
package calls

import (
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Thread is what one thread does: its system call and its totals.
type Thread struct {
	Call  procfs.Syscall
	Times procfs.SchedTimes // zero where the kernel does not say
}

// Sampler returns the last sample of a thread of a process that started at that time
// (clock ticks since the boot); ok is false if that may not be what it does now.
type Sampler interface {
	LastCall(pid int, start uint64, tid int) (x Thread, ok bool)
}

// Reader reads what threads do.
type Reader struct {
	FS      *procfs.FS
	Sampler Sampler // nil: none
}

// Now returns what a thread of a process does; start is when the process started (clock
// ticks since the boot). It is the last sample if the thread is sampled and has not run
// since, else it is read (/proc/PID/task/TID/syscall, schedstat); the times are 0 if only
// they cannot be read. [procfs.Gone] reports the error if it has ended.
func (c Reader) Now(pid int, start uint64, tid int) (Thread, error) {
	if c.Sampler != nil {
		if x, ok := c.Sampler.LastCall(pid, start, tid); ok {
			return x, nil
		}
	}
	dir := "task/" + strconv.Itoa(tid) + "/"
	b, err := c.FS.Read(pid, dir+"syscall")
	if err != nil {
		return Thread{}, err
	}
	var x Thread
	if x.Call, err = procfs.ParseSyscall(b); err != nil {
		return Thread{}, err
	}
	if b, err := c.FS.Read(pid, dir+"schedstat"); err == nil {
		x.Times, _ = procfs.ParseSchedTimes(b)
	}
	return x, nil
}
