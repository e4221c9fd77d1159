package web

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
)

// connections is how many connections a worker holds to another service.
type connections struct {
	Component string
	N         *float64
}

// fullestPool returns the pool of an app with the highest utilization, the first one if
// that is not known of any; nil if the app has no pool.
func (a *app) fullestPool() *parts.Pool {
	var out *parts.Pool
	for i := range a.Pools {
		p := &a.Pools[i]
		if out == nil || p.Utilization != nil && (out.Utilization == nil || *p.Utilization > *out.Utilization) {
			out = p
		}
	}
	return out
}

// partLines returns a line about each pool, task queue and session store, app by app.
func partLines(s *pageState) []parts.Store {
	var out []parts.Store
	for i := range s.Apps {
		a := &s.Apps[i]
		for j := range a.Pools {
			p := &a.Pools[j]
			out = append(out, s.partLine("Pool", a.Name, "pool", p.Name, p.Facts()))
		}
		for j := range a.Queues {
			q := &a.Queues[j]
			out = append(out, s.partLine("Tasks", a.Name, "tasks", q.Name, q.Facts()))
		}
		for j := range a.Sessions {
			x := &a.Sessions[j]
			out = append(out, s.partLine("Sessions", a.Name, "sessions", x.Redis, x.Facts()))
		}
	}
	return out
}

// partLine returns the line of one part of an app, with its level; unknown if it is not
// judged.
func (s *pageState) partLine(kind, app, component, name string, facts []string) parts.Store {
	line := parts.Store{Kind: kind, Name: app + " " + name, Level: display.LevelUnknown, Word: "unknown", Facts: facts}
	st := s.health.Of(app)
	if st == nil {
		return line
	}
	if _, judged := st.Components[component]; judged {
		line.Level = display.LevelOf(st.Part(component, name))
	}
	line.Word = line.Level.String()
	return line
}

// connectWorkers sets the connections of each worker, and how many of them leaked.
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

// orZero returns the value, 0 for nil.
func orZero(v *float64) *float64 {
	if v == nil {
		return new(float64)
	}
	return v
}
