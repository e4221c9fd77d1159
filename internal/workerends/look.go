package workerends

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// gunicornTimeout is the default of gunicorn's --timeout.
const gunicornTimeout = 30 * time.Second

// limit is the timeout of one master.
type limit struct {
	start time.Time // of the master
	d     time.Duration
}

// lookAt updates all workers by a snapshot, and finds those that have ended without a
// pidfd. It ignores a snapshot that is not newer than the last one.
func (w *Watcher) lookAt(ctx context.Context, snap *discovery.Snapshot) {
	if !snap.Time.After(w.last) {
		return
	}
	w.last = snap.Time
	limits := make(map[int]limit)
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		limits[a.PID] = w.limitOf(a)
		for j := range a.Workers {
			w.see(ctx, a, &a.Workers[j], limits[a.PID].d, snap.Time)
		}
	}
	w.limits = limits
	w.missing(snap)
	w.kills.read(w, snap.Time)
}

// see records the state of one worker, and begins to watch it if it is new. Another
// process with its pid means that the worker has ended.
func (w *Watcher) see(ctx context.Context, a *discovery.App, in *discovery.Worker, limit time.Duration, now time.Time) {
	x := w.workers[in.PID]
	if x != nil && !x.began.Equal(in.Start) {
		if d := x.began.Sub(in.Start); d < -time.Second || d > time.Second { // another process with its pid
			if x.handle == nil {
				w.workerEnded(ended{x, Status{}, now})
			}
			x = nil
		}
	}
	if x == nil {
		if x = w.watch(ctx, a, in); x == nil {
			return
		}
	}
	x.app, x.server, x.limit, x.seen = a.Name, a.Server, limit, now
	at := seenBusy{at: now, busy: in.State == discovery.Busy || in.State == discovery.Stuck, booting: in.State == discovery.Booting}
	if at.busy {
		at.request = in.For
	}
	x.note(at)
	w.o.Inside.Look(x.app, x.uid, x.pid, x.began, at.busy)
	switch {
	case in.HasBeat:
		x.beat = beat{now, in.Heartbeat}
		w.holdBeat(x, in.HeartbeatFD)
	case in.State == discovery.Booting && a.Server == cmdline.Gunicorn && x.beat.at.IsZero():
		x.beat = beat{now, max(now.Sub(in.Start), 0)}
	}
}

// watch begins to watch a worker and returns it; nil if it has ended, or there are too
// many workers. A worker for which there is no pidfd is watched by the looks alone.
func (w *Watcher) watch(ctx context.Context, a *discovery.App, in *discovery.Worker) *worker {
	if len(w.workers) >= maxWorkers {
		w.drop()
		return nil
	}
	x := &worker{app: a.Name, uid: a.UID, pid: in.PID, began: in.Start}
	parent := a.PID
	switch h, err := w.open(a.UID, in); {
	case err == nil:
		x.handle, parent = h, h.id.Parent
		w.handles++
		w.ofUser[x.uid]++
	case errors.Is(err, errFull):
		w.drop()
	case errors.Is(err, errChanged), errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil
	}
	w.workers[x.pid] = x
	if group, err := w.o.Groups.Of(in.PID); err == nil {
		x.group, x.groupPath = group.Key(), group
	}
	if x.pid != a.PID { // a server without a master has one process, which is not replaced
		x.master, _ = procid.Identify(w.o.ProcRoot, parent)
	}
	w.log.Debug("Worker watched", "app", x.app, "pid", x.pid, "pidfd", x.handle != nil)
	w.wait(ctx, x)
	return x
}

// holdBeat opens the heartbeat file of a worker that has a pidfd, which proves that the
// process still is that worker. A worker without an open file is judged by the heartbeat
// of the last look.
func (w *Watcher) holdBeat(x *worker, fd int) {
	if x.file != nil || x.handle == nil || w.beats >= w.beatPlaces {
		return
	}
	f, err := procid.OpenHeartbeat(w.o.ProcRoot, x.pid, fd)
	if err != nil {
		return
	}
	if !x.handle.id.Alive(w.o.ProcRoot) { // its pid may be that of another process
		f.Close()
		return
	}
	x.file = f
	w.beats++
}

// wait waits in a goroutine for the end of a worker with a pidfd, and reports it to Run.
func (w *Watcher) wait(ctx context.Context, x *worker) {
	h := x.handle
	if h == nil {
		return
	}
	if w.o.Ending != nil {
		h.ending = func(at time.Time) { w.o.Ending(x.pid, at) }
	}
	w.wg.Go(func() {
		status, at, ok := h.wait(ctx)
		if !ok {
			return
		}
		select {
		case w.ended <- ended{x, status, at}:
		case <-ctx.Done():
		}
	})
}

// errFull means that there are as many pidfds as there may be.
var errFull = errors.New("there are too many workers")

// open returns a pidfd of a worker; errFull if there is no place for one more, or the
// worker's user, unless that is root, has used up its places; else an error of the function
// open.
func (w *Watcher) open(uid uint32, in *discovery.Worker) (*handle, error) {
	if w.handles >= w.places || uid != 0 && w.ofUser[uid] >= maxOfUser {
		return nil, errFull
	}
	return open(w.o.ProcRoot, in.PID, in.Start)
}

// drop counts a worker that is not watched, or only by the looks, because there is no
// place.
func (w *Watcher) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped++
}

// missing handles the workers that a snapshot has not had for some time: it queues the end
// of those that have ended, stops watching those that are no workers any more, and forgets
// the apps that are gone.
func (w *Watcher) missing(snap *discovery.Snapshot) {
	for _, x := range w.workers {
		limit := missingTime
		if x.handle != nil {
			limit += missingTime // it reports the end itself
		}
		if snap.Time.Sub(x.seen) < limit {
			continue
		}
		if id, err := procid.Identify(w.o.ProcRoot, x.pid); err == nil && id.State != 'Z' {
			delete(w.workers, x.pid)
			w.release(x)
			w.o.Inside.Forget(x.pid, x.began)
			continue
		}
		w.workerEnded(ended{x, Status{}, x.seen})
	}
	known := make(map[string]bool)
	for i := range snap.Apps {
		known[snap.Apps[i].Name] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.counts {
		if !known[name] {
			delete(w.counts, name)
		}
	}
}

// limitOf returns the worker timeout of an app's master, see limitFrom; for gunicorn 30 s
// also if its command line cannot be read. What the look before found stays until the
// master is another process.
func (w *Watcher) limitOf(a *discovery.App) limit {
	if known, ok := w.limits[a.PID]; ok && known.start.Equal(a.Start) {
		return known
	}
	out := limit{start: a.Start}
	var argv []string
	if l, err := procid.LaunchOf(w.o.ProcRoot, a.PID); err == nil {
		argv = l.Argv
	}
	out.d = limitFrom(a.Server, argv)
	return out
}

// limitFrom returns the worker timeout by a server's command line: gunicorn's --timeout,
// 30 s if it has none, or uWSGI's --harakiri; 0 for no timeout, for a value that is no
// whole number of seconds, and for other servers.
func limitFrom(server cmdline.Server, argv []string) time.Duration {
	value := ""
	switch server { //nolint:exhaustive // the others have none
	case cmdline.Gunicorn:
		if value = cmdline.Option(argv, "-t", "--timeout"); value == "" {
			return gunicornTimeout
		}
	case cmdline.UWSGI:
		value = cmdline.Option(argv, "--harakiri")
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
