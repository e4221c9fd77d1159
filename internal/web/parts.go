package web

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The parts of an app, as the page shows them.
type (
	pool        struct{ *model.Pool }
	queue       struct{ *model.Queue }
	sessions    struct{ *model.Sessions }
	connections struct {
		Component string
		N         *float64
	}
)

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

// Taken returns the number of connections that are not idle.
func (p pool) Taken() *float64 {
	n := p.InUse + p.InTransaction + p.Leaked
	return &n
}

// queuesOf returns the queues of an app by name.
func queuesOf(s *model.State, app string) []queue {
	var out []queue
	for i := range s.Queues {
		if s.Queues[i].App == app {
			out = append(out, queue{&s.Queues[i]})
		}
	}
	slices.SortFunc(out, func(a, b queue) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// sessionsOf returns the sessions of an app by the name of their store.
func sessionsOf(s *model.State, app string) []sessions {
	var out []sessions
	for i := range s.Sessions {
		if s.Sessions[i].App == app {
			out = append(out, sessions{&s.Sessions[i]})
		}
	}
	slices.SortFunc(out, func(a, b sessions) int { return strings.Compare(a.Redis, b.Redis) })
	return out
}

// fullestPool returns the pool with the highest utilization; nil if there is none.
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

// partLines returns one line for each pool, queue and session store of the apps.
func partLines(s *pageState) []store {
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
			out = append(out, s.partLine("Sessions", a.Name, "sessions", x.Redis, x.facts()))
		}
	}
	return out
}

func (s *pageState) partLine(kind, app, component, name string, facts []string) store {
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

// facts is a list of numbers in words, without those that are not known.
type facts []string

func (w *facts) add(v *float64, words func(float64) string) {
	if v != nil {
		*w = append(*w, words(*v))
	}
}

// addNonZero adds a number that is not 0.
func (w *facts) addNonZero(v *float64, what string) {
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
	var w facts
	if p.Capacity != nil {
		text := health.FormatCount(*p.Taken()) + " of " + health.FormatCount(*p.Capacity)
		if p.Utilization != nil {
			text += " (" + health.FormatPercent(*p.Utilization) + ")"
		}
		w = append(w, text)
	}
	w.add(&p.InUse, counted("in use"))
	w.add(&p.Idle, counted("idle"))
	w.addNonZero(&p.InTransaction, "idle in a transaction")
	w.addNonZero(&p.Leaked, "leaked")
	return w
}

func (q *queue) facts() []string {
	var w facts
	w.add(&q.Length, counted("waiting"))
	w.add(q.Oldest, lasting("oldest"))
	w.add(q.Running, counted("running"))
	w.add(q.Workers, func(v float64) string { return text.Plural(v, "worker", "workers") })
	w.add(q.WorkerHeartbeatAge, lasting("heartbeat"))
	w.addNonZero(q.Failed, "failed")
	w.addNonZero(q.Orphaned, "without a worker")
	return w
}

func (x *sessions) facts() []string {
	var w facts
	if x.Count == nil {
		w.add(&x.Coverage, func(v float64) string { return "first scan, " + health.FormatPercent(v) + " of the keys" })
		return w
	}
	w.add(x.Count, counted("sessions"))
	w.add(x.WithoutExpiry, counted("without expiry"))
	w.add(x.Bytes, health.FormatBytes)
	w.add(&x.Age, func(v float64) string { return "counted " + health.FormatSeconds(v) + " ago" })
	return w
}

// connectWorkers sets the connections and the leaks of each worker.
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
