package sampling

import "time"

// readThreads reads what the threads of one worker do now; false: it has ended.
func (s *Sampler) readThreads(w *worker, now time.Time) bool {
	for i, t := range w.threads {
		if ended := s.readThread(w, t, now); ended && i == 0 {
			return false
		}
	}
	return true
}

// readThread reads what one thread does now; ended: there is no such thread any more.
func (s *Sampler) readThread(w *worker, t *thread, now time.Time) (ended bool) {
	ended = t.read(w.dir, &s.kept, s.buf[:])
	if t.moved {
		t.state = w.withoutGIL(s.classify.classify(w, t, now))
		t.since, t.unsettled = now, true
	} else if t.state.socket != nil {
		t.state.socket.Used = now
	}
	return ended
}
