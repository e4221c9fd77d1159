package health

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// judgeTasks judges the queues of background tasks of an app: that somebody
// takes what waits in them, and soon enough.
func (c *court) judgeTasks(app string) {
	for _, queue := range c.partNames(app, "tasks", labelsOf(c.State.With("resp_task_queue_length", app))) {
		length := number(c.State, "resp_task_queue_length", app, queue)
		what := "queue " + queue + " of " + app
		if length == nil {
			c.unread(app, "tasks", "tasks", queue, what)
			continue
		}
		c.judgeTaskWorkers(app, queue, what, *length)
		r := rule{key: key{app, "task_age", queue}, component: "tasks"}
		if age := number(c.State, "resp_task_oldest_age_seconds", app, queue); age != nil {
			r.level, r.calm = rises(*age, c.Limits.TaskAge)
			r.summary = "the oldest job of " + what + " has waited for " + FormatSeconds(*age)
			r.advice = c.adviseTasks(app, queue, *length, *age)
		}
		c.add(r) // with no job in it, a queue is well
	}
}

// judgeTaskWorkers judges who works on a queue. That nobody does is worse when
// jobs wait.
func (c *court) judgeTaskWorkers(app, queue, what string, length float64) {
	if workers := number(c.State, "resp_task_workers", app, queue); workers != nil {
		r := rule{key: key{app, "task_workers", queue}, component: "tasks"}
		if *workers == 0 {
			r.level, r.summary = Warning, what+" has no worker"
			line := fmt.Sprintf("0 workers take jobs from %s: start one.", what)
			if length > 0 {
				r.level, r.summary = Critical, fmt.Sprintf("%s in %s and no worker takes them", waiting(length), what)
				line = fmt.Sprintf("%s in %s and no worker takes them: start one.", waiting(length), what)
			}
			r.advice = says(line)
		}
		r.calm = r.level
		c.add(r)
	}
	if orphans := number(c.State, "resp_task_orphaned", app, queue); orphans != nil {
		r := rule{key: key{app, "task_orphaned", queue}, component: "tasks"}
		if *orphans > 0 {
			r.level, r.summary = Warning, plural(*orphans, "job")+" of "+what+" began and lost the worker"
			r.advice = says(fmt.Sprintf("%s of %s began on a worker that is gone: see why it ended, and queue what it left again.", plural(*orphans, "job"), what))
		}
		r.calm = r.level
		c.add(r)
	}
}

func waiting(jobs float64) string {
	if jobs == 1 {
		return "1 job waits"
	}
	return FormatCount(jobs) + " jobs wait"
}

// adviseTasks reports whether more workers would help.
func (c *court) adviseTasks(app, queue string, length, age float64) adviser {
	line := fmt.Sprintf("%s in queue %s of %s, the oldest for %s", waiting(length), queue, app, FormatSeconds(age))
	workers, running := number(c.State, "resp_task_workers", app, queue), number(c.State, "resp_task_running", app, queue)
	switch {
	case workers != nil && *workers > 0 && running != nil && *running >= *workers:
		line += fmt.Sprintf("; its %s %s all at work: run more, or make the jobs shorter.", plural(*workers, "worker"), isAre(*workers))
	case workers != nil && *workers > 0 && running != nil:
		line += fmt.Sprintf("; %s of its %s at work: see why the others take none.", FormatCount(*running), plural(*workers, "worker"))
	case workers != nil && *workers > 0:
		line += fmt.Sprintf("; it has %s: see what they do, or run more.", plural(*workers, "worker"))
	default:
		line += ": see that its workers run."
	}
	return says(line)
}

// Sessions without an expiry are worth a word when they are this many and this
// share of all: a few may be meant so.
const (
	eternalSessions = 100
	eternalShare    = 0.10
)

// judgeSessions judges where an app keeps its sessions: those that never
// expire fill the store.
func (c *court) judgeSessions(app string) {
	for _, store := range c.partNames(app, "sessions", labelsOf(c.State.With("resp_session_scan_coverage_ratio", app))) {
		all, eternal := number(c.State, "resp_sessions", app, store), number(c.State, "resp_sessions_without_expiry", app, store)
		what := "sessions of " + app + " on Redis " + store
		if all == nil || eternal == nil {
			// Without a reason the first walk is under way.
			c.unread(app, "sessions", "sessions", store, "the "+what)
			continue
		}
		r := rule{key: key{app, "sessions", store}, component: "sessions"}
		at := func(margin float64) Level {
			if *eternal >= eternalSessions*margin && *eternal >= eternalShare*margin**all {
				return Warning
			}
			return Healthy
		}
		r.level, r.calm = at(1), at(1-margin)
		r.summary = fmt.Sprintf("%s of %s %s never expire", FormatCount(*eternal), FormatCount(*all), what)
		r.advice = c.adviseSessions(app, store, what, *all, *eternal)
		c.add(r)
	}
}

func (c *court) adviseSessions(app, store, what string, all, eternal float64) adviser {
	line := fmt.Sprintf("%s of %s %s have no expiry", FormatCount(eternal), FormatCount(all), what)
	if bytes := number(c.State, "resp_session_bytes", app, store); bytes != nil && all > 0 {
		line += fmt.Sprintf(", about %s that stay for ever", FormatBytes(*bytes*eternal/all))
	}
	if used, limit := number(c.State, "resp_redis_memory_bytes", store), number(c.State, "resp_redis_maxmemory_bytes", store); used != nil && limit != nil && *limit > 0 {
		line += fmt.Sprintf("; its memory is at %s of maxmemory", FormatPercent(*used / *limit))
	}
	return says(line + ": find what writes them without EXPIRE.")
}

// labelsOf lists the second labels of readings.
func labelsOf(rs []model.Reading) []string {
	var out []string
	for _, x := range rs {
		out = append(out, label(x, 1))
	}
	return out
}
