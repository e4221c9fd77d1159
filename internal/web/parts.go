package web

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// What belongs to one app apart from its workers. A nil number is not known.
type (
	pool  struct{ *model.Pool }
	queue struct {
		Name                              string
		Length, Running, Failed, Orphaned *float64 // jobs
		Oldest                            *float64 // seconds
		Workers, Heartbeat                *float64 // processes; seconds
	}
	sessions struct {
		Store               string
		All, Eternal, Bytes *float64
		Coverage, Age       *float64 // ratio; seconds
	}
	connections struct {
		Component string
		N         *float64
	}
)

// eachPart groups the readings of metric that are the app's by their second label.
func eachPart(r *model.State, metric, app string) []string {
	var names []string
	for _, x := range r.With(metric, app) {
		names = append(names, label(x, 1))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// poolsOf returns the pools of an app by name.
func poolsOf(s *model.State, app string) []pool {
	var out []pool
	for i := range s.Pools {
		if s.Pools[i].App == app {
			out = append(out, pool{&s.Pools[i]})
		}
	}
	slices.SortFunc(out, func(a, b pool) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Taken is how many connections nobody else can have now.
func (p pool) Taken() *float64 {
	n := p.InUse + p.InTransaction + p.Leaked
	return &n
}

func queuesOf(r *model.State, app string) []queue {
	var out []queue
	for _, name := range eachPart(r, "resp_task_queue_length", app) {
		of := func(metric string) *float64 { return get(r, metric, app, name) }
		out = append(out, queue{
			Name: name, Length: of("resp_task_queue_length"), Running: of("resp_task_running"), Failed: of("resp_task_failed"), Orphaned: of("resp_task_orphaned"),
			Oldest: of("resp_task_oldest_age_seconds"), Workers: of("resp_task_workers"), Heartbeat: of("resp_task_worker_heartbeat_age_seconds"),
		})
	}
	return out
}

func sessionsOf(r *model.State, app string) []sessions {
	var out []sessions
	for _, store := range eachPart(r, "resp_session_scan_coverage_ratio", app) {
		of := func(metric string) *float64 { return get(r, metric, app, store) }
		out = append(out, sessions{
			Store: store, All: of("resp_sessions"), Eternal: of("resp_sessions_without_expiry"), Bytes: of("resp_session_bytes"),
			Coverage: of("resp_session_scan_coverage_ratio"), Age: of("resp_session_scan_age_seconds"),
		})
	}
	return out
}

// fullestPool is the pool that has least to give; nil if there is none.
func (a *app) fullestPool() *pool {
	var out *pool
	for i := range a.Pools {
		p := &a.Pools[i]
		if out == nil || p.Utilization != nil && (out.Utilization == nil || *p.Utilization > *out.Utilization) {
			out = p
		}
	}
	return out
}

// partLines says in one line each what the pools, queues and sessions of the
// apps do.
func partLines(s *system) []store {
	var out []store
	for i := range s.Apps {
		a := &s.Apps[i]
		for j := range a.Pools {
			p := &a.Pools[j]
			out = append(out, s.partLine("Pool", a.Name, "pool", p.Name, p.facts()))
		}
		for j := range a.Queues {
			q := &a.Queues[j]
			out = append(out, s.partLine("Tasks", a.Name, "tasks", q.Name, q.facts()))
		}
		for j := range a.Sessions {
			x := &a.Sessions[j]
			out = append(out, s.partLine("Sessions", a.Name, "sessions", x.Store, x.facts()))
		}
	}
	return out
}

func (s *system) partLine(kind, app, component, name string, facts []string) store {
	line := store{Kind: kind, Name: app + " " + name, Level: levelUnknown, Word: "unknown", Facts: facts}
	st := s.health.Of(app)
	if st == nil {
		return line
	}
	if _, judged := st.Components[component]; judged {
		line.Level = levelOf(st.Part(component, name))
	}
	line.Word = line.Level.String()
	return line
}

// words collects facts; what is not known is left out.
type words []string

func (w *words) add(v *float64, text func(float64) string) {
	if v != nil {
		*w = append(*w, text(*v))
	}
}

// some adds a number of things unless there is none.
func (w *words) some(v *float64, what string) {
	if v != nil && *v != 0 {
		*w = append(*w, health.FormatCount(*v)+" "+what)
	}
}

func counted(what string) func(float64) string {
	return func(v float64) string { return health.FormatCount(v) + " " + what }
}

func lasting(what string) func(float64) string {
	return func(v float64) string { return what + " " + health.FormatSeconds(v) }
}

func (p *pool) facts() []string {
	var w words
	if p.Capacity != nil {
		text := health.FormatCount(*p.Taken()) + " of " + health.FormatCount(*p.Capacity)
		if p.Utilization != nil {
			text += " (" + health.FormatPercent(*p.Utilization) + ")"
		}
		w = append(w, text)
	}
	w.add(&p.InUse, counted("in use"))
	w.add(&p.Idle, counted("idle"))
	w.some(&p.InTransaction, "idle in a transaction")
	w.some(&p.Leaked, "leaked")
	return w
}

func (q *queue) facts() []string {
	var w words
	w.add(q.Length, counted("waiting"))
	w.add(q.Oldest, lasting("oldest"))
	w.add(q.Running, counted("running"))
	w.add(q.Workers, func(v float64) string { return plural(v, "worker", "workers") })
	w.add(q.Heartbeat, lasting("heartbeat"))
	w.some(q.Failed, "failed")
	w.some(q.Orphaned, "without their worker")
	return w
}

func (x *sessions) facts() []string {
	var w words
	if x.All == nil {
		w.add(x.Coverage, func(v float64) string { return "first walk, " + health.FormatPercent(v) + " of the keys" })
		return w
	}
	w.add(x.All, counted("sessions"))
	w.add(x.Eternal, counted("without expiry"))
	w.add(x.Bytes, health.FormatBytes)
	w.add(x.Age, func(v float64) string { return "counted " + health.FormatSeconds(v) + " ago" })
	return w
}

// connectWorkers adds to each worker its connections and its leaks.
func (a *app) connectWorkers(r *model.State) {
	at := make(map[string]*worker, len(a.Workers))
	for i := range a.Workers {
		at[a.Workers[i].Slot] = &a.Workers[i]
	}
	for i := range r.Connections {
		x := &r.Connections[i]
		if w := at[x.Slot]; w != nil && x.App == a.Name {
			w.Connections = append(w.Connections, connections{x.Component, &x.Count})
		}
	}
	for _, p := range a.Pools {
		for i := range p.Workers {
			x := &p.Workers[i]
			if w := at[x.Slot]; w != nil && x.Leaked > 0 {
				w.Leaked = plus(orZero(w.Leaked), &x.Leaked)
			}
		}
	}
	for _, w := range at {
		slices.SortFunc(w.Connections, func(x, y connections) int { return strings.Compare(x.Component, y.Component) })
	}
}

func orZero(v *float64) *float64 {
	if v == nil {
		return new(float64)
	}
	return v
}
