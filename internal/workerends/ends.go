package workerends

import "time"

// wasAsked reports whether recycle_worker has asked a worker to end, since it began and in
// the last 15 minutes, and forgets that.
func (w *Watcher) wasAsked(x *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.asked[x.pid]
	delete(w.asked, x.pid)
	return ok && time.Since(at) <= askedTime && at.After(x.began)
}

// workerEnded queues the end of a worker, to be counted once it is known whether its
// master continues. An end that was queued before is ignored.
func (w *Watcher) workerEnded(e ended) {
	x := e.worker
	if x.done {
		return
	}
	x.done = true
	if w.workers[x.pid] == x {
		delete(w.workers, x.pid)
	}
	last, exact := x.lastBeat(w.awake.before(e.at), e.at)
	w.release(x)
	look := x.before(e.at)
	end := End{
		Status: e.status, Server: x.server, Limit: x.limit, Busy: look.busy, Booting: look.booting, Request: look.request, Since: max(e.at.Sub(look.at), 0),
		HasBeat: !last.at.IsZero(), Heartbeat: last.age, SinceBeat: max(e.at.Sub(last.at), 0), AtEnd: exact, OOMKills: w.takeKill(x, e.status), Asked: w.wasAsked(x),
	}
	w.settling = append(w.settling, settling{x, end, w.o.Inside.Ended(x.pid, x.began, e.at), e.at.Add(settleTime)})
}

// settle counts the queued ends that are due at now, and reports them to Options.Told.
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
			w.o.Told(Ended{App: s.worker.app, PID: s.worker.pid, At: s.due.Add(-settleTime), Reason: r, Orderly: orderly, Booting: s.end.Booting, Last: s.last})
		}
	}
	w.settling = kept
}

// count counts the end of a worker and returns its reason.
func (w *Watcher) count(x *worker, e End) Reason {
	r := Decide(e)
	w.log.Debug("Worker ended", "app", x.app, "pid", x.pid, "reason", string(r), "signal", int(e.Status.Signal), "code", e.Status.Code, "busy", e.Busy)
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

// release closes the pidfd and the heartbeat file of a worker, if they are open.
func (w *Watcher) release(x *worker) {
	if x.file != nil {
		x.file.Close()
		x.file = nil
		w.beats--
	}
	if x.handle != nil {
		x.handle.close()
		x.handle = nil
		w.handles--
		if w.ofUser[x.uid]--; w.ofUser[x.uid] == 0 {
			delete(w.ofUser, x.uid)
		}
	}
}
