package sampling

import (
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/calls"
)

// LastCall implements [calls.Sampler]: ok is false for a thread that is not sampled, was found
// running, has ended, may not be read, or has run since; and for one that was never put on a
// CPU: the kernel may not count its totals, so that they cannot show whether it has run since.
func (s *Sampler) LastCall(pid int, start uint64, tid int) (x calls.Thread, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[workerKey{pid, start}]
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
		return calls.Thread{Call: t.call, Times: times}, err == nil && times == t.times
	}
	return x, false
}
