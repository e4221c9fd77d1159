package sampling

import (
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// ThreadCall is what one thread does: its system call and its totals.
type ThreadCall struct {
	Call  procfs.Syscall
	Times procfs.SchedTimes // zero where the kernel does not say
}

// Calls reads what single threads do, for who cannot wait for the next sample.
type Calls struct {
	FS      *procfs.FS
	Sampler *Sampler // nil: none
}

// Now returns what a thread does of a process that started at that time (clock ticks
// since the boot). Of a thread that is sampled and has not run since, that is its last
// sample; of any other one it is read (/proc/PID/task/TID/syscall, schedstat). The
// error is one that [procfs.Gone] reports if it has ended.
func (c Calls) Now(pid int, start uint64, tid int) (ThreadCall, error) {
	if c.Sampler != nil {
		if x, ok := c.Sampler.lastCall(workerKey{pid, start}, tid); ok {
			return x, nil
		}
	}
	dir := "task/" + strconv.Itoa(tid) + "/"
	b, err := c.FS.Read(pid, dir+"syscall")
	if err != nil {
		return ThreadCall{}, err
	}
	var x ThreadCall
	if x.Call, err = procfs.ParseSyscall(b); err != nil {
		return ThreadCall{}, err
	}
	if b, err := c.FS.Read(pid, dir+"schedstat"); err == nil {
		x.Times, _ = procfs.ParseSchedTimes(b)
	}
	return x, nil
}

// lastCall returns the last sample of a thread; ok is false for one that is not
// sampled, was found running, may not be read, or has run since. A thread that has
// never been put on a CPU is one whose totals the kernel does not count.
func (s *Sampler) lastCall(key workerKey, tid int) (x ThreadCall, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[key]
	if w == nil || w.gone {
		return x, false
	}
	for _, t := range w.threads {
		if t.tid != tid {
			continue
		}
		if !t.seen || t.denied || t.call.Running || t.times.Slices == 0 {
			return x, false
		}
		n, err := s.kept.Read(w.dir, &t.schedFile, s.buf[:])
		if err != nil {
			return x, false
		}
		times, err := procfs.ParseSchedTimes(s.buf[:n])
		return ThreadCall{Call: t.call, Times: times}, err == nil && times == t.times
	}
	return x, false
}
