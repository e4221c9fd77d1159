package workerends

import "time"

// wasAsked reports whether recycle_worker told a worker to end, and forgets it.
func (w *Watcher) wasAsked(x *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.asked[x.pid]
	delete(w.asked, x.pid)
	return ok && time.Since(at) <= askedTime && at.After(x.began)
}

// workerEnded keeps the end of a worker until it is known whether its master continues.
func (w *Watcher) workerEnded(e ended) {
	x := e.worker
	if x.done {
		return
	}
	x.done = true
	if w.workers[x.pid] == x {
		delete(w.workers, x.pid)
	}
	w.release(x)
	look := x.before(e.at)
	end := End{
		Status: e.status, Server: x.server, Limit: x.limit, Busy: look.busy, Booting: look.booting, Request: look.request, Since: max(e.at.Sub(look.at), 0),
		HasBeat: !x.beat.at.IsZero(), Heartbeat: x.beat.age, SinceBeat: max(e.at.Sub(x.beat.at), 0), OOMKills: w.takeKill(x, e.status), Asked: w.wasAsked(x),
	}
	w.settling = append(w.settling, settling{x, end, e.at.Add(settleTime)})
}

// settle counts the ends that are due.
func (w *Watcher) settle(now time.Time) {
	kept := w.settling[:0]
	for _, s := range w.settling {
		if now.Before(s.due) {
			kept = append(kept, s)
			continue
		}
		s.end.MasterLives = s.worker.master.PID != 0 && s.worker.master.Alive(w.o.ProcRoot)
		r := w.count(s.worker, s.end)
		if w.o.Told != nil {
			orderly := s.end.orderly() || r == Recycled
			w.o.Told(Ended{App: s.worker.app, PID: s.worker.pid, At: s.due.Add(-settleTime), Reason: r, Orderly: orderly, Booting: s.end.Booting})
		}
	}
	w.settling = kept
}

// count counts one end and returns how it came.
func (w *Watcher) count(x *worker, e End) Reason {
	r := Decide(e)
	w.log.Debug("a worker has ended", "app", x.app, "pid", x.pid, "reason", string(r), "signal", int(e.Status.Signal), "code", e.Status.Code, "busy", e.Busy)
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.counts[x.app]
	if of == nil {
		of = make(map[Reason]*Count)
		w.counts[x.app] = of
	}
	if of[r] == nil {
		of[r] = &Count{Reason: r}
	}
	of[r].Ends++
	if e.InRequest(r) {
		of[r].InRequest++
	}
	return r
}

// release closes the pidfd of a worker.
func (w *Watcher) release(x *worker) {
	if x.handle != nil {
		x.handle.close()
		x.handle = nil
		w.handles--
		if w.ofUser[x.uid]--; w.ofUser[x.uid] == 0 {
			delete(w.ofUser, x.uid)
		}
	}
}
