package health

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// evaluateTasks adds the rules about each task queue: its workers and its oldest job.
func (e *evaluator) evaluateTasks(app string) {
	found := make(map[string]*model.Queue)
	for i := range e.State.Queues {
		if q := &e.State.Queues[i]; q.App == app {
			found[q.Name] = q
		}
	}
	for _, name := range e.partNames(app, "tasks", slices.Collect(maps.Keys(found))) {
		q, what := found[name], "queue "+name+" of "+app
		if q == nil {
			e.unread(app, "tasks", "tasks", name, what)
			continue
		}
		e.evaluateTaskWorkers(q, what)
		r := rule{Subject: Subject{app, "task_age", name}, component: "tasks"}
		if q.Oldest != nil {
			r.level, r.release = levels.Rises(*q.Oldest, e.limits(app).TaskAge)
			r.summary = "the oldest job of " + what + " has waited for " + FormatSeconds(*q.Oldest)
			r.advice = adviseTasks(q)
		}
		e.add(r) // an empty queue is healthy
	}
}

// evaluateTaskWorkers adds the rules about the workers of a queue and the jobs that lost
// theirs. No worker is critical if jobs wait, else a warning.
func (e *evaluator) evaluateTaskWorkers(q *model.Queue, what string) {
	if q.Workers != nil {
		r := rule{Subject: Subject{q.App, "task_workers", q.Name}, component: "tasks"}
		if *q.Workers == 0 {
			r.level, r.summary = Warning, what+" has no worker"
			line := fmt.Sprintf("0 workers take jobs from %s: start one.", what)
			if q.Length > 0 {
				r.level, r.summary = Critical, fmt.Sprintf("%s in %s, which has no worker", waiting(q.Length), what)
				line = fmt.Sprintf("%s in %s, which has no worker: start one.", waiting(q.Length), what)
			}
			r.advice = symptoms(line)
		}
		r.release = r.level
		e.add(r)
	}
	if q.Orphaned != nil {
		r := rule{Subject: Subject{q.App, "task_orphaned", q.Name}, component: "tasks"}
		if *q.Orphaned > 0 {
			r.level, r.summary = Warning, plural(*q.Orphaned, "job")+" of "+what+" started on a worker that is gone"
			r.advice = symptoms(fmt.Sprintf("%s of %s started on a worker that is gone: find out why it ended, and queue its jobs again.", plural(*q.Orphaned, "job"), what))
		}
		r.release = r.level
		e.add(r)
	}
}

func waiting(jobs float64) string {
	if jobs == 1 {
		return "1 job waits"
	}
	return FormatCount(jobs) + " jobs wait"
}

// adviseTasks returns advice about a queue whose oldest job, whose age must be known, has waited for long.
func adviseTasks(q *model.Queue) adviser {
	line := fmt.Sprintf("%s in queue %s of %s, the oldest for %s", waiting(q.Length), q.Name, q.App, FormatSeconds(*q.Oldest))
	workers, running := q.Workers, q.Running
	switch {
	case workers != nil && *workers > 0 && running != nil && *running >= *workers:
		line += fmt.Sprintf("; its %s %s all busy: run more workers, or make the jobs shorter.", plural(*workers, "worker"), isAre(*workers))
	case workers != nil && *workers > 0 && running != nil:
		line += fmt.Sprintf("; %s of its %s busy: find out why the others take no job.", FormatCount(*running), plural(*workers, "worker"))
	case workers != nil && *workers > 0:
		line += fmt.Sprintf("; it has %s: check what they do, or run more.", plural(*workers, "worker"))
	default:
		line += ": check that its workers run."
	}
	return symptoms(line)
}
