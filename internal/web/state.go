package web

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// system is what the readings of one gather say, put together by app. A nil
// number is one that is not known.
type system struct {
	At      time.Time // zero: there was no gather yet
	Apps    []app
	Host    host
	Stores  []store // and the pools, tasks and sessions of the apps
	Unseen  []unseen
	limits  map[string]limit
	reading *model.State
	health  health.Judgement
}

type limit struct{ warning, critical *float64 }

type app struct {
	Name, Server, Class        string
	Up, Started                *float64 // 0 or 1; unix seconds
	Workers                    []worker // by slot
	Listeners                  []listener
	Queue, QueueLimit          *float64 // of the fullest of Listeners, connections
	Rate, Errors, Mean         *float64 // per second; ratio of 5xx; seconds
	P50, P95, P99              *float64 // seconds
	Slow                       *float64 // requests of the last 5 minutes
	Memory, MemoryLimit        *float64 // bytes
	MemoryRatio, CPU           *float64 // ratios of the limit
	Threads, OpenFDs, MaxFDs   *float64
	Restarts, Overflows, Drops *float64
	Pools                      []pool
	Queues                     []queue
	Sessions                   []sessions
	states                     map[string]*float64 // resp_app_workers
}

type worker struct {
	Slot, PID, State, Detail string
	Seconds, CPU             *float64 // in State; cores
	Started, Heartbeat       *float64 // unix seconds; age in seconds
	RSS, PSS, USS, Swap      *float64 // bytes
	Connections              []connections
	Leaked                   *float64 // connections
}

type listener struct {
	Name          string
	Length, Limit *float64
}

type host struct {
	Memory, CPU *float64 // ratios
	Disks       []named
	Pressure    []named
}

type named struct {
	Name, Kind string
	Ratio      *float64
}

type unseen struct{ Collector, Reason, Detail string }

// observe puts the readings of one gather and their judgement together.
func observe(r *model.State, j health.Judgement) system {
	s := system{At: j.At, limits: limitsOf(r), reading: r, health: j, Stores: storesOf(r, &j), Unseen: unseenOf(r)}
	for _, name := range appNames(r) {
		s.Apps = append(s.Apps, observeApp(r, name))
	}
	s.Stores = append(s.Stores, partLines(&s)...)
	s.Host.Memory, s.Host.CPU = get(r, "resp_host_memory_usage_ratio"), get(r, "resp_host_cpu_usage_ratio")
	for _, x := range r.All("resp_disk_usage_ratio") {
		s.Host.Disks = append(s.Host.Disks, named{label(x, 0), "", finite(x.Value)})
	}
	for _, x := range r.All("page.pressure_ratio") {
		s.Host.Pressure = append(s.Host.Pressure, named{label(x, 0), label(x, 1), finite(x.Value)})
	}
	byName := func(a, b named) int { return cmp.Or(cmp.Compare(a.Name, b.Name), -cmp.Compare(a.Kind, b.Kind)) }
	slices.SortFunc(s.Host.Disks, byName)
	slices.SortFunc(s.Host.Pressure, byName)
	return s
}

func appNames(r *model.State) []string {
	var names []string
	for _, x := range r.All("resp_up") {
		if name, ok := strings.CutPrefix(label(x, 0), "app:"); ok {
			names = append(names, name)
		}
	}
	for _, from := range []string{"resp_app_info", "resp_app_workers"} {
		for _, x := range r.All(from) {
			names = append(names, label(x, 0))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func observeApp(r *model.State, name string) app {
	a := app{
		Name: name, Up: get(r, "resp_up", "app:"+name), Started: get(r, "resp_app_start_time_seconds", name),
		Rate: get(r, "page.http_rate", name), Errors: get(r, "page.http_error_ratio", name),
		Mean: get(r, "page.http_mean_seconds", name), Slow: get(r, "page.http_slow_5m", name),
		Memory: health.AppMemory(r, name), MemoryLimit: get(r, "resp_app_memory_limit_bytes", name),
		MemoryRatio: get(r, "resp_app_memory_usage_ratio", name), CPU: get(r, "resp_app_cpu_usage_ratio", name),
		Threads: get(r, "resp_app_threads", name), OpenFDs: get(r, "resp_app_open_fds", name), MaxFDs: get(r, "resp_app_max_fds", name),
		Restarts: get(r, "resp_worker_restarts_total", name), Overflows: get(r, "page.listen_overflows_5m", name),
		Drops: get(r, "resp_listen_drops_total", name), Workers: workersOf(r, name), states: make(map[string]*float64),
	}
	for _, x := range r.With("resp_app_info", name) {
		a.Server, a.Class = label(x, 1), label(x, 2)
	}
	for _, x := range r.With("resp_app_workers", name) {
		a.states[label(x, 1)] = finite(x.Value)
	}
	for _, x := range r.With("page.http_latency_seconds", name) {
		switch percentile(label(x, 1)) {
		case "p50":
			a.P50 = finite(x.Value)
		case "p95":
			a.P95 = finite(x.Value)
		case "p99":
			a.P99 = finite(x.Value)
		}
	}
	a.addListeners(r)
	a.Pools, a.Queues, a.Sessions = poolsOf(r, name), queuesOf(r, name), sessionsOf(r, name)
	a.connectWorkers(r)
	return a
}

func (a *app) addListeners(r *model.State) {
	queues := health.Queues(r, a.Name)
	for _, q := range queues {
		a.Listeners = append(a.Listeners, listener{Name: q.Listener, Length: q.Length, Limit: q.Limit})
	}
	if q := health.Fullest(queues); q != nil {
		a.Queue, a.QueueLimit = q.Length, q.Limit
	}
	slices.SortFunc(a.Listeners, func(x, y listener) int { return cmp.Compare(x.Name, y.Name) })
}

// in returns how many workers are in a state: as counted by the metric, else
// by the workers that were seen.
func (a *app) in(state string) float64 {
	if len(a.states) > 0 {
		if v := a.states[state]; v != nil {
			return *v
		}
		return 0
	}
	n := 0.0
	for _, w := range a.Workers {
		if w.State == state {
			n++
		}
	}
	return n
}

// total is how many workers there are, of whatever state.
func (a *app) total() float64 {
	known := a.in("busy") + a.in("idle") + a.in("stuck") + a.in("booting")
	return max(known, float64(len(a.Workers)))
}

// memory is what the worker holds alone where the kernel tells it.
func (w *worker) memory() *float64 {
	if w.PSS != nil {
		return w.PSS
	}
	return w.RSS
}

// workersOf finds an app's workers in any reading that names their slots.
func workersOf(r *model.State, name string) []worker {
	bySlot := make(map[string]*worker)
	at := func(x model.Reading) *worker {
		w := bySlot[label(x, 1)]
		if w == nil {
			w = &worker{Slot: label(x, 1)}
			bySlot[w.Slot] = w
		}
		return w
	}
	waits := health.WaitsFor(r, name)
	for _, x := range r.With("page.worker", name) {
		w := at(x)
		w.PID, w.State, w.Detail, w.Seconds = label(x, 2), label(x, 3), label(x, 4), finite(x.Value)
		if text := waits[w.Slot]; text != "" {
			w.Detail = text
		}
	}
	for _, x := range r.With("resp_worker_memory_bytes", name) {
		w := at(x)
		switch label(x, 2) {
		case "rss":
			w.RSS = finite(x.Value)
		case "pss":
			w.PSS = finite(x.Value)
		case "uss":
			w.USS = finite(x.Value)
		case "swap":
			w.Swap = finite(x.Value)
		}
	}
	for _, x := range r.With("resp_worker_start_time_seconds", name) {
		at(x).Started = finite(x.Value)
	}
	for _, x := range r.With("resp_worker_heartbeat_age_seconds", name) {
		at(x).Heartbeat = finite(x.Value)
	}
	for _, x := range r.With("page.worker_cpu_ratio", name) {
		at(x).CPU = finite(x.Value)
	}
	out := make([]worker, 0, len(bySlot))
	for _, w := range bySlot {
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b worker) int { return health.CompareSlots(a.Slot, b.Slot) })
	return out
}

func limitsOf(r *model.State) map[string]limit {
	out := make(map[string]limit)
	for _, x := range r.All("resp_threshold") {
		l := out[label(x, 0)]
		switch label(x, 1) {
		case "warning":
			l.warning = finite(x.Value)
		case "critical":
			l.critical = finite(x.Value)
		}
		out[label(x, 0)] = l
	}
	return out
}

// unseenOf lists what cannot be read and why. A collector that was switched
// off is no news.
func unseenOf(r *model.State) []unseen {
	var out []unseen
	for _, x := range r.All("page.unavailable") {
		out = append(out, unseen{label(x, 0), label(x, 1), label(x, 2)})
	}
	for _, x := range r.All("resp_collector_available") {
		u := unseen{Collector: label(x, 0), Reason: label(x, 1)}
		told := slices.ContainsFunc(out, func(o unseen) bool { return o.Collector == u.Collector })
		if x.Value == 0 && u.Reason != "ok" && !told {
			out = append(out, u)
		}
	}
	out = slices.DeleteFunc(out, func(u unseen) bool { return u.Reason == "disabled" })
	slices.SortStableFunc(out, func(a, b unseen) int { return cmp.Compare(a.Collector, b.Collector) })
	return out
}

func get(r *model.State, name string, labels ...string) *float64 {
	v, ok := r.Get(name, labels...)
	if !ok {
		return nil
	}
	return finite(v)
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func plus(a, b *float64) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	v := *a + *b
	return &v
}

func plural(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " " + many
}
