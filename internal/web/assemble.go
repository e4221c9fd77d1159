package web

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
)

// assemble returns the state of one gather and its evaluation, grouped by app, for the
// page and the JSON.
func assemble(st *model.State, j health.Evaluation) pageState {
	s := pageState{At: j.At, limits: make(map[limitKey]limitPair, len(st.Thresholds)+len(st.AppThresholds)), state: st, health: j, Stores: parts.StoresOf(st, &j), Unseen: unseenOf(st)}
	for _, t := range st.Thresholds {
		s.limits[limitKey{"", t.Resource}] = limitPair{&t.Warning, &t.Critical}
	}
	for _, t := range st.AppThresholds {
		s.limits[limitKey{t.App, t.Resource}] = limitPair{t.Warning, t.Critical}
	}
	for _, name := range appNames(st) {
		s.Apps = append(s.Apps, assembleApp(st, name))
	}
	s.Stores = append(s.Stores, partLines(&s)...)
	return s
}

// limitKey is what a pair of limits is of; the app "" is the host.
type limitKey struct{ app, resource string }

// limitPair is two limits; a nil one is off.
type limitPair struct{ warning, critical *float64 }

// appNames returns the names of all apps whose processes or numbers of workers are known,
// sorted, each once.
func appNames(s *model.State) []string {
	var names []string
	for i := range s.Apps {
		names = append(names, s.Apps[i].Name)
	}
	for i := range s.Workers {
		if s.Workers[i].Counts != nil {
			names = append(names, s.Workers[i].App)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// assembleApp returns what the state has about one app. Known is false if its processes
// were not read.
func assembleApp(s *model.State, name string) app {
	a := app{App: model.App{Name: name}, Memory: measures.AppMemory(s, name)}
	for i := range s.Apps {
		if s.Apps[i].Name == name {
			a.App, a.Known = s.Apps[i], true
		}
	}
	for i := range s.Requests {
		if s.Requests[i].App == name {
			a.Requests = s.Requests[i]
		}
	}
	for i := range s.Listeners {
		if s.Listeners[i].App == name {
			a.addListeners(&s.Listeners[i])
		}
	}
	a.addWorkers(s)
	a.Pools, a.Queues, a.Sessions = parts.PoolsOf(s, name), parts.QueuesOf(s, name), parts.SessionsOf(s, name)
	a.connectWorkers(s)
	return a
}
