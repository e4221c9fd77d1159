package sampling

import (
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Threads returns the request threads of a process as they were last sampled; ok is false
// if it is not sampled, or was not yet.
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

// Workers returns the request threads of all sampled workers that live, without request paths.
func (s *Sampler) Workers() []model.WorkerThreads {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	out := make([]model.WorkerThreads, 0, len(s.order))
	for _, w := range s.order {
		if w.gone {
			continue
		}
		if threads := w.requestThreads(now, false); threads != nil {
			out = append(out, model.WorkerThreads{App: w.app, Slot: strconv.Itoa(w.registered.Slot), PID: w.key.pid, Threads: threads})
		}
	}
	return out
}
