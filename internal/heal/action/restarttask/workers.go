package restarttask

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

const (
	// A worker of RQ writes a heartbeat every 30 s while it works and every 405 s while
	// it is idle; these limits are above that.
	silentAtWork = 90 * time.Second
	silentAtRest = 465 * time.Second
	// A worker registers itself within this time after the start of its process.
	longestBirth = 10 * time.Minute
	// clockSlack is the tolerated difference between two clocks of one host.
	clockSlack = 2 * time.Second
	// As many workers or more that hang at the same time have a common cause.
	commonCauseWorkers = 3
)

// findRQ returns the workers of an RQ queue that make no progress: that work on one job of
// this queue for too long, or write no heartbeat, while jobs wait; zero if none waits. It is
// refused if most of commonCauseWorkers or more hang, if all that hang are elsewhere or must
// not be ended, or there is no worker. Processor time of a job is no evidence of progress.
func (r *Action) findRQ(ctx context.Context, server TaskQueues, q queue) (lookup, error) {
	snapshot, err := server.RQWorkers(ctx, q.name)
	if err != nil {
		return lookup{}, err
	}
	if snapshot.Waiting == 0 {
		return lookup{}, nil
	}
	now := time.Now()
	f := lookup{server: snapshot.At.ID}
	hang, elsewhere := 0, 0
	var unfit []action.Refusal
	for _, w := range snapshot.Workers {
		if w.Host == r.d.Host && r.hasEnded(w) {
			continue
		}
		f.workers++
		held, why := r.stalledFor(w, q.name, now)
		if why == "" {
			continue
		}
		if hang++; w.Host != r.d.Host {
			elsewhere++
			continue
		}
		id, refused, err := r.rqProcess(ctx, w, claim{q, snapshot.At, workerName(w)})
		switch {
		case err != nil:
			return lookup{}, err
		case !refused.IsZero():
			unfit = append(unfit, refused)
			continue
		}
		f.stuck = append(f.stuck, stuckTask{id, w.Key, w.Job, held, why})
	}
	slices.SortFunc(f.stuck, func(x, y stuckTask) int {
		return cmp.Or(cmp.Compare(y.held, x.held), cmp.Compare(x.id.PID, y.id.PID))
	})
	switch {
	case f.workers >= commonCauseWorkers && 2*hang > f.workers:
		f.refused = action.Refuse(action.CodeCommonCause, "%d of %d workers hang, so the cause is outside the workers: restarting one does not help", hang, f.workers)
	case len(f.stuck) > 0:
	case len(unfit) > 0:
		f.refused = unfit[0]
	case elsewhere > 0:
		f.refused = action.Refuse(action.CodeOtherHost, "the worker that hangs runs on another host")
	case f.workers == 0:
		f.refused = action.Refuse(action.CodeNoWorker, "the queue has no live worker to restart")
	}
	return f, nil
}

// hasEnded reports whether no process has the pid of w, which must be a worker of this host:
// it ended without removing its entry, which expires after some minutes. False if the pid
// is in use again, or could not be read.
func (r *Action) hasEnded(w tasks.RQWorker) bool {
	_, err := procid.Identify(r.d.ProcRoot, w.PID)
	return errors.Is(err, os.ErrNotExist)
}

// stalledFor returns for how long a worker has made no progress, and by which evidence; "": it
// works on another queue, or has neither worked on one job for min_stuck nor been silent for that
// and for silentAtWork, or silentAtRest without a job.
func (r *Action) stalledFor(w tasks.RQWorker, queue string, now time.Time) (time.Duration, string) {
	silence, limit := now.Sub(w.Heartbeat), silentAtRest
	if w.Job != "" {
		limit = silentAtWork
	}
	switch held := now.Sub(w.JobStarted); {
	case w.Job != "" && w.JobQueue != queue:
		return 0, ""
	case w.Job != "" && !w.JobStarted.IsZero() && held >= r.c.MinStuck:
		return held, "it has worked on one job"
	case silence >= max(limit, r.c.MinStuck):
		return silence, "it has sent no heartbeat"
	}
	return 0, ""
}

// rqTitle matches the process title that RQ sets where it can.
var rqTitle = regexp.MustCompile(`^rq(:worker:\S*)?: `)

// rqProcess returns the process of a worker, and why it must not be ended; zero: it may.
// Anybody who may write to the Redis may have written the entry: the process must be one of
// RQ's by its own command line, as old as the entry says, and proved to be this queue's. An
// error: its age cannot be read, or [Action.disprove] failed.
func (r *Action) rqProcess(ctx context.Context, w tasks.RQWorker, c claim) (id procid.Identity, refused action.Refusal, err error) {
	id, err = procid.Identify(r.d.ProcRoot, w.PID)
	if err != nil {
		return id, action.Refusal{}, err
	}
	started, err := id.StartTime()
	if err != nil {
		return id, action.Refusal{}, err
	}
	if age := w.Birth.Sub(started); age < -clockSlack || age > longestBirth {
		return id, action.Refuse(action.CodeOtherProcess, "the worker's process is not the one that registered itself: it runs in a container, or its pid was reused"), nil
	}
	l, err := procid.LaunchOf(r.d.ProcRoot, w.PID)
	if err != nil {
		return id, notReadable(), nil //nolint:nilerr // it is the refusal
	}
	if !isRQ(l) {
		return id, action.Refuse(action.CodeNotWorker, "the command line of the process is not that of an RQ worker: start it with rq worker, or install setproctitle"), nil
	}
	if refused, err := r.disprove(ctx, id, c); !refused.IsZero() || err != nil {
		return id, refused, err
	}
	return id, r.unsupervised(id), nil
}

// isRQ reports whether a command line is that of a worker of RQ: Python with RQ's process title,
// or among its first four words rqworker, or rq (or -m rq.cli) and behind it worker or worker-pool.
func isRQ(l procid.Launch) bool {
	if len(l.Argv) == 0 || !isPython(l.Program) {
		return false
	}
	if rqTitle.MatchString(l.Argv[0]) {
		return true
	}
	for i, a := range l.Argv {
		name := filepath.Base(a)
		module := i > 0 && l.Argv[i-1] == "-m" && (a == "rq" || a == "rq.cli")
		if name == "rqworker" && i <= 3 {
			return true
		}
		if i <= 3 && (name == "rq" || module) {
			return slices.ContainsFunc(l.Argv[i+1:], func(s string) bool { return s == "worker" || s == "worker-pool" })
		}
	}
	return false
}

// unsupervised returns why a process must not be ended: it may not be signalled, is traced,
// or nothing would restart it. zero: it may be ended. Unless it runs in a terminal, a
// parent other than process 1 counts as its supervisor.
func (r *Action) unsupervised(id procid.Identity) action.Refusal {
	if err := process.CheckSignalable(r.d.ProcRoot, id.PID); err != nil {
		return action.Refuse(action.CodeNotSignalable, "%s", err)
	}
	switch {
	case id.State == 't':
		return action.Refuse(action.CodeTraced, "the worker's process is being traced by a debugger")
	case id.Terminal:
		return action.Refuse(action.CodeNoReplacement, "the worker runs in a terminal, so nothing restarts it")
	case id.Parent <= 1 && !procid.InService(r.d.ProcRoot, id.PID) && !r.supervisedByInit():
		return action.Refuse(action.CodeNoReplacement, "the worker has no supervisor that restarts it")
	}
	return action.Refusal{}
}

// supervisedByInit reports whether process 1 has the name of one of six supervisors, such as
// supervisord, in the first three words of its command line, as in a container with no other
// program; false for systemd, any other program, or if its command line cannot be read.
func (r *Action) supervisedByInit() bool {
	l, err := procid.LaunchOf(r.d.ProcRoot, 1)
	if err != nil {
		return false
	}
	for _, a := range l.Argv[:min(len(l.Argv), 3)] {
		if slices.Contains([]string{"supervisord", "circusd", "s6-svscan", "runsvdir", "honcho", "foreman"}, filepath.Base(a)) {
			return true
		}
	}
	return false
}

// findCelery returns the workers of a Celery queue on this host if they make no progress: messages
// wait, and no message that workers of the broker hold now was taken within min_stuck; else the
// zero lookup. It is refused if commonCauseWorkers or more hang, no worker holds a message, or
// none of this host is proved.
func (r *Action) findCelery(ctx context.Context, server TaskQueues, q queue) (lookup, error) {
	in, err := server.CeleryIntake(ctx, q.name, time.Now().Add(-r.c.MinStuck))
	if err != nil {
		return lookup{}, err
	}
	if in.Waiting == 0 || in.Fresh {
		return lookup{}, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return lookup{}, err
	}
	f := lookup{server: in.At.ID}
	var unfit []action.Refusal
	for _, w := range snap.Celery {
		if !slices.Contains(w.Queues, q.name) {
			continue
		}
		t, refused, err := r.celeryProcess(ctx, w, claim{queue: q, at: in.At})
		switch {
		case err != nil:
			return lookup{}, err
		case !refused.IsZero():
			unfit = append(unfit, refused)
		default:
			f.stuck = append(f.stuck, t)
		}
	}
	f.workers = len(f.stuck)
	switch {
	case len(f.stuck) >= commonCauseWorkers:
		f.refused = action.Refuse(action.CodeCommonCause, "all %d workers hang, so the cause is outside the workers: restarting one does not help", len(f.stuck))
	case len(f.stuck) > 0 && in.Held == 0:
		f.refused = action.Refuse(action.CodeHangUnproven, "no worker holds a message, so it is not known how long the workers have hung")
	case len(f.stuck) > 0:
	case len(unfit) > 0:
		f.refused = unfit[0]
	default:
		f.refused = action.Refuse(action.CodeNoWorker, "no worker of the queue runs on this host")
	}
	return f, nil
}

// celeryProcess returns the process of a worker as a task that is stuck, and why it must
// not be ended; zero: it may. Its command line names queues and no broker, so its connections
// must prove the broker. It must serve no other queue, and have run for min_stuck.
func (r *Action) celeryProcess(ctx context.Context, w discovery.CeleryWorker, c claim) (t stuckTask, refused action.Refusal, err error) {
	if i := slices.IndexFunc(w.Queues, func(s string) bool { return s != c.queue.name }); i >= 0 {
		return t, action.Refuse(action.CodeOtherQueues, "the worker also serves other queues, whose tasks would be interrupted"), nil
	}
	id, err := procid.Identify(r.d.ProcRoot, w.PID)
	if errors.Is(err, os.ErrNotExist) {
		return t, action.Refuse(action.CodeOtherProcess, "the worker has just ended"), nil
	}
	if err != nil {
		return t, action.Refusal{}, err
	}
	if started, err := id.StartTime(); err != nil || started.Sub(w.Start).Abs() > clockSlack {
		return t, action.Refuse(action.CodeOtherProcess, "the worker has just been replaced"), err
	}
	if time.Since(w.Start) < r.c.MinStuck {
		return t, action.Refuse(action.CodeTooYoung, "the worker has run for less than min_stuck"), nil
	}
	if refused, err := r.disprove(ctx, id, c); !refused.IsZero() || err != nil {
		return t, refused, err
	}
	return stuckTask{id: id, held: r.c.MinStuck, why: "it has not fetched a message"}, r.unsupervised(id), nil
}
