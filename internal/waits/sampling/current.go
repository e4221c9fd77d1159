package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Threads returns the request threads of a worker as they were last sampled; ok is
// false for a process that is not sampled.
func (s *Sampler) Threads(pid int) (threads []model.Thread, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.order {
		if w.key.pid == pid {
			threads = w.requestThreads(time.Now(), s.settings.Paths)
			return threads, threads != nil
		}
	}
	return nil, false
}
