package sampling

import "time"

// readThread reads into t what a thread does now. ended: the thread has ended.
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
