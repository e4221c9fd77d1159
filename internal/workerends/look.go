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

// lookAt keeps what the workers of a snapshot do, unless it has looked at a later one.
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

// see keeps what a worker does at this look.
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
	switch {
	case in.HasBeat:
		x.beat = beat{now, in.Heartbeat}
	case in.State == discovery.Booting && a.Server == cmdline.Gunicorn && x.beat.at.IsZero():
		x.beat = beat{now, max(now.Sub(in.Start), 0)}
	}
}

// watch begins to watch a worker; nil: it has ended, or there is no place for one more.
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
	w.log.Debug("a worker is watched", "app", x.app, "pid", x.pid, "pidfd", x.handle != nil)
	w.wait(ctx, x)
	return x
}

// wait waits for the end of a worker with a pidfd, in a goroutine of its own.
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

// open opens a pidfd, if there is a place for one more, also for its user: no user
// can use up the places of others.
func (w *Watcher) open(uid uint32, in *discovery.Worker) (*handle, error) {
	if w.handles >= w.places || uid != 0 && w.ofUser[uid] >= maxOfUser {
		return nil, errFull
	}
	return open(w.o.ProcRoot, in.PID, in.Start)
}

// drop counts a worker that has no place.
func (w *Watcher) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped++
}

// missing counts the workers that have ended without a pidfd, stops watching those that
// are no worker any more, and forgets the apps that are no longer known.
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

// limitOf returns the timeout of an app's master by its command line: gunicorn's --timeout,
// 30 s where it is not given, uWSGI's --harakiri.
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

// limitFrom returns the timeout by a command line; 0: none.
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
