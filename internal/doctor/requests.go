package doctor

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// request is what a step of healing asks an app to do by its control file.
type request struct {
	action  string
	app     string // "": the one that the alert names
	task    string // that restart_task names; "": none
	perhaps bool   // it may be about the worker of a queue instead: the alert decides
}

// requestOf returns what a step asks of an app; false: nothing. restart_task asks unless it
// names a queue and no task.
func (d *doctor) requestOf(s config.HealingStep) (request, bool) {
	r := request{action: s.Action}
	switch {
	case s.Collect != nil:
		r.app = s.Collect.App
	case s.Trace != nil:
		r.app = s.Trace.App
	case s.Throttle != nil:
		r.app = s.Throttle.App
	case s.RestartTask != nil:
		r.app, r.task = s.RestartTask.App, s.RestartTask.Task
		r.perhaps = r.task == "" && len(d.queuesOf(s.RestartTask)) > 0
		return r, r.task != "" || s.RestartTask.Queue == ""
	default:
		return r, false
	}
	return r, true
}

// ownedQueues are the queues of one section of tasks of an app.
type ownedQueues struct {
	app     *config.App
	tasks   *config.Tasks
	perhaps bool // the step may be about a task inside of the app instead: the alert decides
}

// queuesOf returns the queues whose workers a step may restart; nil if it names a task
// inside of an app.
func (d *doctor) queuesOf(s *config.RestartTask) (out []ownedQueues) {
	for i := range d.Config.Apps {
		a := &d.Config.Apps[i]
		if s.Task != "" || s.App != "" && s.App != a.Name {
			continue
		}
		for j := range a.Tasks {
			if t := &a.Tasks[j]; s.Queue == "" || slices.Contains(t.Names(), s.Queue) {
				out = append(out, ownedQueues{a, t, s.Queue == "" && d.hasTasks(a.Name, "")})
			}
		}
	}
	return out
}

// hasTasks reports whether a worker of an app reports a task of that name; "": any task. False
// also if what the apps report is not known.
func (d *doctor) hasTasks(app, name string) bool {
	if d.Inside == nil {
		return false
	}
	return slices.ContainsFunc(d.Inside(app), func(r appside.Report) bool {
		return name == "" && len(r.Tasks) > 0 || hasTask(r.Tasks, name)
	})
}

// isOfAnother reports whether an app does not report a task, and another one does.
func (d *doctor) isOfAnother(app, task string) bool {
	return !d.hasTasks(app, task) && slices.ContainsFunc(d.apps, func(a discovery.App) bool { return d.hasTasks(a.Name, task) })
}

// hasTask reports whether a task of that name is in a list.
func hasTask(list []appside.Task, name string) bool {
	return slices.ContainsFunc(list, func(t appside.Task) bool { return t.Name == name })
}
