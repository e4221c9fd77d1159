package collectors

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	reportsLost = counter("app_reports_lost_total",
		"Reports that the app side could not send, because nobody read its socket or its buffer was full. What was sent and lost on the way is not known to the app. Only for apps that keep memory files.", "app")
	requestsShed = counter("http_requests_shed_total",
		"Requests that the app answered with 503 because a throttle asked it to shed load, by the priority of their route: low, normal or high. Only for apps that keep memory files.", "app", "priority")
	gcCollections = counter("app_gc_collections_total",
		"Collections of cyclic garbage in the app's workers, by generation: 0, 1 or 2. Only for apps that keep memory files.", "app", "generation")
	taskExecuting = gauge("task_executing",
		"Workers that run the background task inside the app now: 0, or 1 on each host.", "app", "task")
	taskHeartbeatAge = gauge("task_heartbeat_age_seconds",
		"Time since the running background task inside the app began or last reported its progress. Absent while it does not run.", "app", "task")
)

// executing is what the workers of an app say of one task.
type executing struct {
	workers int
	beat    time.Duration // the oldest
}

// executingTasks returns the tasks that run now, by app and name: how many workers run
// each, and the age of the oldest heartbeat. Tasks that do not run are left out.
func executingTasks(workers []appside.Worker) map[[2]string]executing {
	out := make(map[[2]string]executing)
	for i := range workers {
		for _, s := range workers[i].States {
			for j := range s.Tasks {
				t := &s.Tasks[j]
				if t.State == appside.TaskRunning {
					x := out[[2]string{workers[i].App, t.Name}]
					out[[2]string{workers[i].App, t.Name}] = executing{x.workers + 1, max(x.beat, t.Beat)}
				}
			}
		}
	}
	return out
}

// maxTraces is how many traces of an app's workers are in the state.
const maxTraces = 4

// reportedBy returns, by app, the sessions and memory traces that its workers report, at
// most four traces of an app; apps that report neither are left out. Of several workers
// with sessions it is the last.
func reportedBy(workers []appside.Worker) map[string]*model.Reported {
	out := make(map[string]*model.Reported)
	for i := range workers {
		w := &workers[i]
		for j := range w.States {
			s := &w.States[j]
			if s.Sessions.Lifetime == 0 && len(s.Growth) == 0 {
				continue
			}
			if out[w.App] == nil {
				out[w.App] = &model.Reported{App: w.App}
			}
			addReported(out[w.App], w.PID, s)
		}
	}
	return out
}

// addReported adds to x the sessions and the memory trace of one state of a worker, at
// most maxTraces traces.
func addReported(x *model.Reported, pid int, s *appside.State) {
	if s.Sessions.Lifetime > 0 {
		x.SessionPrefix, x.SessionLifetime = s.Sessions.Prefix, model.Known(s.Sessions.Lifetime.Seconds())
	}
	if len(s.Growth) == 0 || len(x.Traces) == maxTraces {
		return
	}
	t := model.MemoryTrace{Run: s.Growth[0].Run, PID: pid}
	for _, g := range s.Growth {
		t.Lines = append(t.Lines, model.MemoryLine{File: g.File, Line: g.Line, Blocks: float64(g.Blocks), Bytes: float64(g.Bytes)})
	}
	x.Traces = append(x.Traces, t)
}

// publishTold adds the metrics and the state that come from the memory files of the
// watched apps' workers; nothing if these are off.
func (r *Requests) publishTold(s *Sample, views []appView) {
	if r.o.Inside == nil {
		return
	}
	totals := make(map[string]appside.Totals)
	for _, t := range r.o.Inside.Totals() {
		totals[t.App] = t
	}
	workers := r.o.Inside.Workers()
	running, reported := executingTasks(workers), reportedBy(workers)
	for i := range views {
		v := &views[i]
		if !v.tellsKilled {
			continue
		}
		if t, ok := totals[v.name]; ok {
			s.add(reportsLost, float64(t.Lost), v.name)
			for p, priority := range []string{"low", "normal", "high"} {
				s.add(requestsShed, float64(t.Shed[p]), v.name, priority)
			}
			for g, n := range t.Collections {
				s.add(gcCollections, float64(n), v.name, strconv.Itoa(g))
			}
		}
		if x := reported[v.name]; x != nil {
			s.State.Reported = append(s.State.Reported, *x)
		}
		publishExecuting(s, v, running)
	}
}

// shed returns how many requests each app has shed so far, of all priorities, by its name; nil
// if the memory files of the workers are not read.
func (r *Requests) shed() map[string]uint64 {
	if r.o.Inside == nil {
		return nil
	}
	out := make(map[string]uint64)
	for _, t := range r.o.Inside.Totals() {
		out[t.App] = t.Shed[0] + t.Shed[1] + t.Shed[2]
	}
	return out
}

// publishExecuting adds the metrics of which tasks of an app run now: 0 for its known
// tasks that do not.
func publishExecuting(s *Sample, v *appView, running map[[2]string]executing) {
	for _, name := range slices.Sorted(maps.Keys(v.inside.tasks)) {
		if !v.inside.tasks[name].tellsRestarts {
			continue
		}
		x, runs := running[[2]string{v.name, name}]
		s.add(taskExecuting, float64(x.workers), v.name, name)
		if runs {
			s.add(taskHeartbeatAge, x.beat.Seconds(), v.name, name)
		}
	}
}
