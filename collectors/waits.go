package collectors

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
)

// minSaturationUtilization is the utilization below which the rate says too little
// about where the app ends.
const minSaturationUtilization = 0.01

var (
	workerWait  = counter("worker_wait_seconds_total", "Seconds of the request threads of a worker, by what they did or waited for; idle has no request. A worker of four threads adds four seconds a second. cpu and cpu_queue are the kernel's own totals, the rest is sampled.", "app", "worker", "on")
	loopBlocked = counter("worker_loop_blocked_seconds_total", "Seconds that the event loop of a worker did not return to its poll, beyond 100 ms, because it was in one blocking call, or computed: all of its requests wait for that.", "app", "worker")
	utilization = gauge("app_utilization_ratio", "Part of the time of all request threads of an app in which they had a request, over the last minute.", "app")
	saturation  = gauge("app_saturation_requests_per_second", "Rate of requests at which all request threads of an app would always be in use: the reported rate divided by the utilization, over the last minute. Absent for apps with event loops, whose threads take further requests.", "app")
	queueWait   = gauge("app_queue_wait_seconds", "Time that a new connection waits to be accepted: the connections in the accept queues divided by the reported rate of requests over the last minute; 0 where none waits, absent where the rate is not known or 0.", "app")
	inFlight    = gauge("http_requests_in_flight", "Requests that the workers of an app work on now, as seen from outside; of an event loop those whose tasks can be read, at most 64 a worker.", "app")
	oldest      = gauge("http_oldest_request_age_seconds", "Age of the oldest request that a worker of an app works on, at least; 0 without one.", "app")
	viewSeconds = counter("view_seconds_total", "Seconds that request threads spent in a view, by what they did or waited for there, and requests in an event loop (loop); of threads and tasks that could be read. At most 100 views an app, then other.", "app", "view", "on")
	viewInHand  = gauge("view_requests_in_flight", "Requests in a view now: threads that are in it, and tasks of event loops that wait in it.", "app", "view")
	stacksRead  = counter("stacks_total", "Reads of stacks of Python threads, by outcome: ok was believed, running and torn went on meanwhile, unsupported and permission cannot be read (doctor names the apps), beyond is of a thread that is none of the 512 that are read.", "outcome")
	waitsRate   = gauge("waits_rate_hertz", "Samples per second that are taken now of the threads of the workers of one user, of the user with the fewest. It falls by itself so that all together use at most a hundredth of a core, which the users share.")
	waitsCPU    = counter("waits_cpu_seconds_total", "CPU seconds that sampling the workers' threads has used.")
)

// WaitTotals returns what the sampler of the workers' threads has added up.
type WaitTotals interface{ Totals() sampling.Totals }

// Waits is the collector "waits": what the time of the workers goes into.
type Waits struct {
	apps     Apps
	totals   WaitTotals
	requests *Requests
}

// NewWaits returns the collector "waits". requests has the rate at which each app is
// used; it may be nil.
func NewWaits(apps Apps, totals WaitTotals, requests *Requests) *Waits {
	return &Waits{apps: apps, totals: totals, requests: requests}
}

// Name implements [Collector].
func (*Waits) Name() string { return "waits" }

// Descs implements [Collector].
func (*Waits) Descs() []*prometheus.Desc {
	return descs(workerWait, loopBlocked, viewSeconds, viewInHand, stacksRead, utilization, saturation, queueWait, inFlight, oldest, waitsRate, waitsCPU, seriesDropped)
}

// Collect implements [Collector]. The error has an optional lack for each app whose stacks
// cannot be read. If the processes cannot be read, the sample is empty.
func (c *Waits) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	var lacks []error
	all := c.totals.Totals()
	of := make(map[string]*ledger.AppTotals, len(all.Apps))
	for i := range all.Apps {
		a := &all.Apps[i]
		of[a.App] = a
		publishSeconds(&s, a)
		publishViews(&s, a, all.InFlight[a.App])
	}
	for i := range snap.Apps {
		if a := &snap.Apps[i]; a.Up {
			c.app(&s, a, of[a.Name], snap.Time)
			lacks = append(lacks, stacksLack(a.Name, &all))
		}
	}
	s.add(waitsRate, all.Rate)
	s.add(waitsCPU, all.CPU.Seconds())
	for _, outcome := range []pystack.Outcome{pystack.OK, pystack.Running, pystack.Torn, pystack.NotReadable, pystack.Permission, pystack.Beyond} {
		s.add(stacksRead, float64(all.Stacks[string(outcome)]), string(outcome))
	}
	s.add(seriesDropped, float64(all.DroppedSockets), "waits_socket")
	s.add(seriesDropped, float64(all.DroppedViews), "waits_view")
	s.add(seriesDropped, float64(all.SkippedStacks), "waits_stack")
	s.add(seriesDropped, float64(all.SkippedTasks), "waits_loop")
	s.add(seriesDropped, float64(all.DroppedTasks), "waits_task")
	s.add(seriesDropped, float64(all.DroppedThreads), "waits_thread")
	s.add(seriesDropped, float64(all.HungReads), "waits_memory")
	return s, errors.Join(lacks...)
}

// stacksLack returns an optional [Unavailable] that says why the stacks of an app cannot
// be read; nil if they can, or that is not known yet. What its workers wait for is known
// without stacks.
func stacksLack(app string, all *sampling.Totals) error {
	if why := all.Unsupported[app]; why != nil {
		return &Unavailable{Reason: Unsupported, Of: "app:" + app, Optional: true, Detail: "views and lines of " + app + " are not known: " + why.Error()}
	}
	if all.Denied[app] != nil {
		return &Unavailable{
			Reason: Permission, Of: "app:" + app, Optional: true, Remedy: RemedyProcesses,
			Detail: "views and lines of " + app + " need CAP_SYS_PTRACE, or its uid where the kernel's ptrace_scope is 0",
		}
	}
	return nil
}

// publishSeconds adds the counters of what the workers of an app spent their time on. A
// kind that never occurred has no series, except cpu and idle, so that each worker has
// some.
func publishSeconds(s *Sample, a *ledger.AppTotals) {
	s.grow(8 * len(a.Slots))
	for i := range a.Slots {
		slot := &a.Slots[i]
		worker := strconv.Itoa(slot.Slot)
		for _, on := range ledger.All() {
			if v := slot.Seconds[on]; v > 0 || on == ledger.CPU || on == ledger.Idle {
				s.add(workerWait, v, a.App, worker, on.String())
			}
		}
		if slot.Loop {
			s.add(loopBlocked, slot.Blocked, a.App, worker)
		}
	}
}

// publishViews adds the counters of what the views of an app spent their time on, and how
// many requests of each are in flight.
func publishViews(s *Sample, a *ledger.AppTotals, inFlight map[string]int) {
	for i := range a.Views {
		v := &a.Views[i]
		for _, on := range ledger.All() {
			if v.Seconds[on] > 0 {
				s.add(viewSeconds, v.Seconds[on], a.App, v.Name, on.String())
			}
		}
		s.add(viewInHand, float64(inFlight[v.Name]), a.App, v.Name)
	}
}

// app adds the gauges and the state of one app. a is nil if none of its threads was
// sampled yet.
func (c *Waits) app(s *Sample, app *discovery.App, a *ledger.AppTotals, now time.Time) {
	out := appWaits{model.AppWaits{App: app.Name}}
	if n, age, ok := requestsOf(app, now); ok {
		s.set(&out.InFlight, inFlight, float64(n), app.Name)
		s.set(&out.Oldest, oldest, age, app.Name)
	}
	rate, reported := c.requests.rateOf(app.Name)
	if a != nil && a.Utilization != nil {
		s.set(&out.Utilization, utilization, *a.Utilization, app.Name)
		if reported && *a.Utilization >= minSaturationUtilization && !hasLoop(a) {
			s.set(&out.Saturation, saturation, rate / *a.Utilization, app.Name)
		}
	}
	switch n, ok := queued(app); {
	case ok && n == 0:
		s.set(&out.QueueWait, queueWait, 0, app.Name)
	case ok && reported && rate > 0:
		s.set(&out.QueueWait, queueWait, n/rate, app.Name)
	}
	out.addSpent(a)
	if out.InFlight != nil || out.Utilization != nil || out.QueueWait != nil || out.Spent != nil {
		s.State.Waits = append(s.State.Waits, out.AppWaits)
	}
}

// appWaits is the state of one app that is being made.
type appWaits struct{ model.AppWaits }

// addSpent sets in the state what all workers of the app together spent their time on;
// nothing without samples.
func (w *appWaits) addSpent(a *ledger.AppTotals) {
	if a == nil || len(a.Slots) == 0 {
		return
	}
	w.Spent = make(map[string]float64, len(ledger.All()))
	for i := range a.Slots {
		slot := &a.Slots[i]
		for _, on := range ledger.All() {
			if v := slot.Seconds[on]; v > 0 {
				w.Spent[on.String()] += v
			}
		}
		if slot.Loop {
			if w.Blocked == nil {
				w.Blocked = new(float64)
			}
			*w.Blocked += slot.Blocked
		}
	}
}

// hasLoop reports whether a worker of an app has or had an event loop.
func hasLoop(a *ledger.AppTotals) bool {
	return slices.ContainsFunc(a.Slots, func(s ledger.SlotTotals) bool { return s.Loop })
}

// queued returns how many connections wait in the accept queues of an app, of those whose
// length is known; false if that of none is.
func queued(a *discovery.App) (n float64, ok bool) {
	for _, l := range a.Listeners {
		if l.HasQueue {
			n, ok = n+float64(l.Queue), true
		}
	}
	return n, ok
}

// requestsOf returns how many requests the workers of an app have in progress, and for how
// many seconds at least the oldest, 0 without one; false if the state of a worker is not
// known. A busy or stuck worker has at least one.
func requestsOf(a *discovery.App, now time.Time) (n int, age float64, ok bool) {
	for i := range a.Workers {
		w := &a.Workers[i]
		tasks, oldest := requestsIn(w, now)
		switch w.State {
		case discovery.StateUnknown:
			return 0, 0, false
		case discovery.Busy, discovery.Stuck:
			n += max(w.Requests, 1, tasks)
			age = max(age, w.For.Seconds(), oldest)
		case discovery.Idle, discovery.Booting:
			n += tasks
			if tasks > 0 {
				age = max(age, oldest)
			}
		}
	}
	return n, age, true
}

// requestsIn returns how many requests wait in a worker's event loop, and for how many
// seconds the oldest request of any of its threads has been in progress, by its start or
// when it was first seen; oldest is 0 if neither is known.
func requestsIn(w *discovery.Worker, now time.Time) (tasks int, oldest float64) {
	for i := range w.RequestThreads {
		t := &w.RequestThreads[i]
		began := t.Seen
		if t.Stack != nil && !t.Stack.Started.IsZero() {
			began = t.Stack.Started
		}
		if t.Task {
			tasks++
		}
		if !began.IsZero() {
			oldest = max(oldest, now.Sub(began).Seconds())
		}
	}
	return tasks, oldest
}
