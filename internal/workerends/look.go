package workerends

import (
	"bytes"
	"context"
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

// look reads the workers of all apps.
func (w *Watcher) look(ctx context.Context) {
	ctxLook, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	snap, err := w.o.Processes.Snapshot(ctxLook)
	if err != nil {
		return // the collectors report why
	}
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
	w.readKills()
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
	x.busy, x.request = in.State == discovery.Busy || in.State == discovery.Stuck, 0
	if x.busy {
		x.request = in.For
	}
	x.hasBeat, x.heartbeat = in.HasBeat, in.Heartbeat
	if !in.HasBeat && in.State == discovery.Booting && a.Server == cmdline.Gunicorn {
		x.hasBeat, x.heartbeat = true, max(now.Sub(in.Start), 0)
	}
}

// watch begins to watch a worker; nil: there is no place for one more.
func (w *Watcher) watch(ctx context.Context, a *discovery.App, in *discovery.Worker) *worker {
	if len(w.workers) >= maxWorkers {
		w.drop()
		return nil
	}
	x := &worker{app: a.Name, pid: in.PID, began: in.Start}
	if group, err := w.o.Groups.Of(in.PID); err == nil {
		x.group, x.groupPath = group.Key(), group
	}
	w.workers[x.pid] = x
	parent := a.PID
	switch h, err := w.open(in); {
	case err == nil:
		x.handle, parent = h, h.id.Parent
		w.handles++
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
	case w.handles >= maxHandles:
		w.drop()
	}
	if x.pid != a.PID { // a server without a master has one process, which nobody replaces
		x.master, _ = procid.Identify(w.o.ProcRoot, parent)
	}
	return x
}

// open opens a pidfd, if there is a place for one more.
func (w *Watcher) open(in *discovery.Worker) (*handle, error) {
	if w.handles >= maxHandles {
		return nil, os.ErrNotExist
	}
	return open(w.o.ProcRoot, in.PID, in.Start)
}

// drop counts a worker that has no place.
func (w *Watcher) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped++
}

// release closes the pidfd of a worker.
func (w *Watcher) release(x *worker) {
	if x.handle != nil {
		x.handle.close()
		x.handle = nil
		w.handles--
	}
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

// readKills reads the counters of the OOM killer, of each group once.
func (w *Watcher) readKills() {
	now := map[string]uint64{"": w.hostKills()}
	for _, x := range w.workers {
		if _, ok := now[x.group]; !ok {
			if n, ok := w.o.Groups.OOMKills(x.groupPath); ok {
				now[x.group] = n
			}
		}
	}
	w.kills = now
}

// takeKill returns how many processes of the control group of a worker the OOM killer has
// killed since the last look; of the host, where its group's counter cannot be read. One of
// them explains the end of a worker by SIGKILL, and is not counted for the next one.
func (w *Watcher) takeKill(x *worker, s Status) uint64 {
	if s.Known && s.Signal != unix.SIGKILL {
		return 0
	}
	key, n, ok := x.group, uint64(0), false
	if x.group != "" {
		n, ok = w.o.Groups.OOMKills(x.groupPath)
	}
	before, known := w.kills[key]
	if !ok || !known {
		key, n = "", w.hostKills()
		if before, known = w.kills[key]; !known {
			return 0
		}
	}
	if n <= before {
		return 0
	}
	w.kills[key]++
	return n - before
}

// hostKills returns the counter oom_kill of /proc/vmstat; 0 without it.
func (w *Watcher) hostKills() uint64 {
	b, err := os.ReadFile(w.o.ProcRoot + "/vmstat")
	if err != nil {
		return 0
	}
	return parseOOMKills(b)
}

// parseOOMKills returns the counter oom_kill of /proc/vmstat.
func parseOOMKills(b []byte) uint64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
