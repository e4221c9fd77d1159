package modeltest

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// appNamed returns the app of that name, which it adds if it is missing.
func (b *builder) appNamed(name string) *model.App {
	return entry(&b.Apps, func(a *model.App) bool { return a.Name == name }, model.App{Name: name, Up: true})
}

// memoryOf returns the memory of an app, which it adds if it is missing.
func (b *builder) memoryOf(name string) *model.AppMemory {
	return entry(&b.Memory, func(m *model.AppMemory) bool { return m.App == name }, model.AppMemory{App: name})
}

// workersOf returns the workers of an app, which it adds if they are missing.
func (b *builder) workersOf(name string) *model.AppWorkers {
	return entry(&b.Workers, func(w *model.AppWorkers) bool { return w.App == name }, model.AppWorkers{App: name})
}

// workerNamed returns the worker of a slot, which it adds if it is missing.
func (b *builder) workerNamed(app, slot string) *model.Worker {
	return entry(&b.workersOf(app).Workers, func(w *model.Worker) bool { return w.Slot == slot }, model.Worker{Slot: slot})
}

// processOf returns the process of a slot's worker, which it adds if it is missing.
func (b *builder) processOf(app, slot string) *model.WorkerProcess {
	return entry(&b.appNamed(app).Workers, func(w *model.WorkerProcess) bool { return w.Slot == slot }, model.WorkerProcess{Slot: slot})
}

// app sets what a fact says about an app. false: the fact is not known.
func (b *builder) app() bool {
	switch b.fact.Name {
	case "resp_app_info":
		a := b.appNamed(b.at(0))
		a.Server, a.Class = b.at(1), b.at(2)
		return true
	case "resp_app_workers":
		return b.workerCount()
	case "resp_app_threshold":
		t := entry(&b.AppThresholds, func(t *model.AppThreshold) bool { return t.App == b.at(0) && t.Resource == b.at(1) }, model.AppThreshold{App: b.at(0), Resource: b.at(1)})
		return b.set(map[string]**float64{"resp_app_threshold": map[string]**float64{"warning": &t.Warning, "critical": &t.Critical}[b.at(2)]})
	}
	if numbers := b.waitNumbers(); numbers != nil {
		return b.set(numbers)
	}
	if strings.HasPrefix(b.fact.Name, "resp_app_memory_") {
		m := b.memoryOf(b.at(0))
		numbers := map[string]**float64{"resp_app_memory_limit_bytes": &m.Limit, "resp_app_memory_usage_ratio": &m.Usage}
		if n := map[string]**float64{"rss": &m.RSS, "pss": &m.PSS, "uss": &m.USS, "swap": &m.Swap}[b.at(1)]; n != nil {
			numbers["resp_app_memory_bytes"] = n
		}
		return b.set(numbers)
	}
	a := b.appNamed(b.at(0))
	return b.set(map[string]**float64{
		"resp_app_start_time_seconds": &a.Started, "resp_app_cpu_usage_ratio": &a.CPU, "resp_app_threads": &a.Threads,
		"resp_app_open_fds": &a.OpenFDs, "resp_app_max_fds": &a.MaxFDs,
	})
}

// workerCount sets the number of workers in one state. It returns true.
func (b *builder) workerCount() bool {
	w := b.workersOf(b.at(0))
	if w.Counts == nil {
		w.Counts = &model.WorkerCounts{}
	}
	if n := map[string]*float64{"busy": &w.Counts.Busy, "idle": &w.Counts.Idle, "stuck": &w.Counts.Stuck, "booting": &w.Counts.Booting}[b.at(1)]; n != nil {
		*n = b.fact.Value
	}
	return true
}

// worker sets what a fact says about a worker. false: the fact is not known.
func (b *builder) worker() bool {
	app, slot := b.at(0), b.at(1)
	switch b.fact.Name {
	case "page.worker":
		w := b.workerNamed(app, slot)
		w.PID, w.State, w.Detail, w.Seconds = b.number(2), b.at(3), b.at(4), b.fact.Value
	case "page.worker_wait":
		b.workerNamed(app, slot).Wait = &model.Wait{On: b.at(2), Peer: b.at(3)}
	case "page.workers_spare":
		b.workersOf(app).Spare = b.fact.Value
	case "page.workers_unready":
		b.workersOf(app).Unready = b.fact.Value
	case "page.worker_cpu_ratio":
		b.processOf(app, slot).CPU = b.v()
	case "resp_worker_start_time_seconds":
		b.processOf(app, slot).Started = b.fact.Value
	case "resp_worker_heartbeat_age_seconds":
		b.workerNamed(app, slot).Heartbeat = b.v()
	case "resp_worker_restarts_total":
		b.appNamed(app).Restarts = b.fact.Value
	case "resp_worker_wait_seconds_total":
		b.spent(app, b.at(2))
	case "resp_worker_loop_blocked_seconds_total":
		w := b.waitsOf(app)
		if w.Blocked == nil {
			w.Blocked = new(float64)
		}
		*w.Blocked += b.fact.Value
	case "resp_worker_connections":
		b.Connections = append(b.Connections, model.WorkerConnections{App: app, Slot: slot, Component: b.at(2), Count: b.fact.Value})
	case "resp_worker_memory_bytes":
		b.workerMemory(app, slot)
	default:
		return false
	}
	return true
}

// workerMemory sets one kind of a worker's memory.
func (b *builder) workerMemory(app, slot string) {
	m := entry(&b.memoryOf(app).Workers, func(w *model.WorkerMemory) bool { return w.Slot == slot }, model.WorkerMemory{Slot: slot})
	switch b.at(2) {
	case "rss":
		m.RSS = b.fact.Value
		return
	case "pss":
		m.PSS = b.fact.Value
	case "uss":
		m.USS = b.fact.Value
	case "swap":
		m.Swap = b.fact.Value
	}
	m.Sampled = true
}

// leak sets what a fact says about a memory leak. false: the fact is not known.
func (b *builder) leak() bool {
	app, slot := b.at(0), b.at(1)
	if b.leakView(app, slot) || b.heap(app) {
		return true
	}
	l := entry(&b.MemoryLeaks, func(l *model.MemoryLeak) bool { return l.App == app && l.Slot == slot }, model.MemoryLeak{App: app, Slot: slot})
	if b.fact.Name == "resp_leak_suspected" {
		l.Suspected = b.fact.Value == 1
		return true
	}
	return b.set(map[string]**float64{
		"resp_leak_slope_bytes_per_second": &l.Slope, "resp_leak_confidence_ratio": &l.Confidence,
		"resp_leak_bytes_per_request": &l.PerRequest, "resp_leak_seconds_to_limit": &l.ToLimit,
	})
}

// heap sets what censuses of an app's heap have shown. false: the fact is not about that.
func (b *builder) heap(app string) bool {
	if b.fact.Name != "page.leak_heap" {
		return false
	}
	h := model.HeapCensus{App: app, Slot: b.at(1), Outcome: model.HeapOutcome(b.at(2))}
	if name := b.at(3); name != "" {
		h.Containers = []model.HeapGrowth{{Name: name, Kind: b.at(4), Of: b.at(5), Count: b.fact.Value, PerHour: float64(b.number(6))}}
	}
	b.Heaps = append(b.Heaps, h)
	return true
}

// leakView sets what is known of a view that leaks. false: the fact is not about that.
func (b *builder) leakView(app, view string) bool {
	v := func() *model.LeakView {
		return entry(&b.LeakViews, func(v *model.LeakView) bool { return v.App == app && v.View == view }, model.LeakView{App: app, View: view})
	}
	switch b.fact.Name {
	case "resp_leak_view_growth_bytes_per_second":
		v().Growth = b.fact.Value
	case "page.leak_view_error":
		v().Error = b.fact.Value
	case "page.leak_view_request":
		v().PerRequest = b.fact.Value
	default:
		return false
	}
	return true
}

// waitNumbers returns where the numbers of the app's waits are stored, by the fact's name;
// nil if the fact is none of them.
func (b *builder) waitNumbers() map[string]**float64 {
	switch b.fact.Name {
	case "resp_app_utilization_ratio", "resp_app_saturation_requests_per_second", "resp_app_queue_wait_seconds", "resp_http_requests_in_flight", "resp_http_oldest_request_age_seconds":
		w := b.waitsOf(b.at(0))
		return map[string]**float64{
			"resp_app_utilization_ratio": &w.Utilization, "resp_app_saturation_requests_per_second": &w.Saturation,
			"resp_app_queue_wait_seconds":  &w.QueueWait,
			"resp_http_requests_in_flight": &w.InFlight, "resp_http_oldest_request_age_seconds": &w.Oldest,
		}
	}
	return nil
}

// waitsOf returns the waits of an app, which it adds if they are missing.
func (b *builder) waitsOf(app string) *model.AppWaits {
	return entry(&b.Waits, func(w *model.AppWaits) bool { return w.App == app }, model.AppWaits{App: app})
}

// spent adds the seconds of one worker to those of its app.
func (b *builder) spent(app, on string) {
	w := b.waitsOf(app)
	if w.Spent == nil {
		w.Spent = make(map[string]float64)
	}
	if b.fact.Value > 0 {
		w.Spent[on] += b.fact.Value
	}
}

// http sets what a fact says about requests. false: the fact is not known.
func (b *builder) http() bool {
	if numbers := b.waitNumbers(); numbers != nil {
		return b.set(numbers)
	}
	r := entry(&b.Requests, func(r *model.AppRequests) bool { return r.App == b.at(0) }, model.AppRequests{App: b.at(0)})
	if b.fact.Name == "resp_http_requests_total" {
		if r.Errors == nil {
			r.Errors = new(float64)
		}
		if strings.HasPrefix(b.at(1), "5") {
			*r.Errors += b.fact.Value
		}
		if r.Total == nil {
			r.Total = new(float64)
		}
		*r.Total += b.fact.Value
		return true
	}
	numbers := map[string]**float64{
		"page.http_latency_seconds": new(*float64), // of another quantile, which is not used
		"page.http_rate":            &r.Rate, "page.http_error_ratio": &r.ErrorRatio, "page.http_mean_seconds": &r.Mean, "page.http_slow_5m": &r.Slow5m,
		"page.http_requests_5m": &r.Requests5m, "page.http_errors_5m": &r.Errors5m, "page.http_timed_5m": &r.Timed5m, "page.http_shed_5m": &r.Shed5m,
		"page.http_last_requests": &r.LastRequests, "page.http_last_error_ratio": &r.LastErrorRatio, "page.http_last_timed": &r.LastTimed, "page.http_last_mean_seconds": &r.LastMean,
		"page.http_timed": &r.Timed, "page.http_timed_seconds": &r.Seconds,
	}
	if n := map[string]**float64{"0.5": &r.P50, "0.95": &r.P95, "0.99": &r.P99}[b.at(1)]; n != nil {
		numbers["page.http_latency_seconds"] = n
	}
	return b.set(numbers)
}

// listener sets what a fact says about a listener. false: the fact is not known.
func (b *builder) listener() bool {
	of := entry(&b.Listeners, func(l *model.AppListeners) bool { return l.App == b.at(0) }, model.AppListeners{App: b.at(0)})
	if b.fact.Name == "page.listen_overflows_5m" {
		of.Overflows5m = b.v()
		return true
	}
	if b.at(1) == "" {
		return false
	}
	l := entry(&of.Listeners, func(l *model.Listener) bool { return l.Name == b.at(1) }, model.Listener{Name: b.at(1)})
	return b.set(map[string]**float64{
		"resp_listener_queue_length": &l.Length, "resp_listener_queue_limit": &l.Limit, "page.listener_fullness": &l.Fullness,
	})
}
