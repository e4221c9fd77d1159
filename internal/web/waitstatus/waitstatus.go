// Package waitstatus has the JSON of what the threads of workers do and of who
// waits for whom, for /api/v1/status and the evidence of actions.
package waitstatus

import (
	"path"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxThreads is how many threads of a worker are listed, the longest waits first.
const maxThreads = 64

type (
	// Thread is a request thread of a worker in the JSON of /api/v1/status.
	Thread struct {
		TID               int      `json:"tid"`
		Task              bool     `json:"task"`  // a request that waits in the event loop of the thread
		State             string   `json:"state"` // "idle", "running", "waiting"
		On                string   `json:"on"`
		Seconds           float64  `json:"seconds"`
		Peer              *string  `json:"peer"`
		Kind              *string  `json:"kind"` // of an upstream, by its port
		Connection        *uint64  `json:"connection_id"`
		Digest            *string  `json:"digest"`
		Blocker           *uint64  `json:"blocker"` // id of the connection that it waits for inside the store
		View              *string  `json:"view"`
		Function          *string  `json:"function"`
		File              *string  `json:"file"`
		Line              *int     `json:"line"`
		Method            *string  `json:"method"`
		Route             *string  `json:"route"`
		Path              *string  `json:"path,omitempty"` // only with diagnosis.show_paths
		RequestAgeSeconds *float64 `json:"request_age_seconds"`
	}
	// Chain is who waits for whom, from the victims to the root.
	Chain struct {
		App      string  `json:"app"`
		On       string  `json:"on"`
		Peer     *string `json:"peer"`
		Kind     *string `json:"kind"`
		Object   *string `json:"object"`
		Seconds  float64 `json:"seconds"`
		Deadlock bool    `json:"deadlock"`
		Sentence string  `json:"sentence,omitempty"`
		Advice   string  `json:"advice,omitempty"`
		Victims  []Link  `json:"victims"`
		Links    []Link  `json:"links"` // the last one is the root
	}
	// Link is one party of a chain.
	Link struct {
		App                *string  `json:"app"`
		Slot               *string  `json:"slot"`
		PID                *int     `json:"pid"`
		Server             *string  `json:"server"`
		Connection         *uint64  `json:"connection_id"`
		User               *string  `json:"user"`
		Host               *string  `json:"host"`
		Command            *string  `json:"command"`
		Digest             *string  `json:"digest"`
		On                 *string  `json:"on"`
		Peer               *string  `json:"peer"`
		Seconds            float64  `json:"seconds"`
		TransactionSeconds *float64 `json:"transaction_seconds"`
		View               *string  `json:"view"`
		Function           *string  `json:"function"`
		File               *string  `json:"file"`
		Line               *int     `json:"line"`
	}
)

// ThreadState returns "idle", "running" or "waiting" for what a thread does: idle for ""
// too, running if it computes, collects garbage, waits for a CPU or is throttled, and
// waiting for all else.
func ThreadState(on string) string {
	switch on {
	case "idle", "":
		return "idle"
	case "cpu", "gc", "cpu_queue", "throttled":
		return "running"
	default:
		return "waiting"
	}
}

// Sorted returns a copy of the request threads of a worker, at most 64, without helpers:
// those with a request first, the longest wait first.
func Sorted(list []model.Thread) []model.Thread {
	out := slices.DeleteFunc(slices.Clone(list), func(t model.Thread) bool { return t.Helper })
	slices.SortStableFunc(out, func(a, b model.Thread) int {
		switch ai, bi := ThreadState(a.On) == "idle", ThreadState(b.On) == "idle"; {
		case ai != bi && ai:
			return 1
		case ai != bi:
			return -1
		case a.Seconds > b.Seconds:
			return -1
		case a.Seconds < b.Seconds:
			return 1
		}
		return 0
	})
	return out[:min(len(out), maxThreads)]
}

// The bounds of [Of].
const (
	maxEvidenceChains  = 5
	maxEvidenceThreads = 100
)

// Waits is who waits for whom and what the threads of an app do, as the status has
// them, for the evidence of an action.
type Waits struct {
	Chains  []Chain             `json:"chains,omitempty"`
	Workers map[string][]Thread `json:"workers,omitempty"` // threads with a request, by slot
}

// Of returns, at a time, at most 5 chains that are about an app, have it in a link, or wait
// for one of the servers, and at most 100 threads of the app with a request, without users,
// hosts, statements and paths; nil if there is neither.
func Of(st *model.State, at time.Time, app string, servers []string) *Waits {
	out := Waits{Workers: make(map[string][]Thread)}
	for _, c := range st.Chains {
		inApp := func(l model.Link) bool { return l.App != "" && l.App == app }
		if len(out.Chains) < maxEvidenceChains && (c.App == app || slices.Contains(servers, c.Peer) || slices.ContainsFunc(c.Links, inApp)) {
			out.Chains = append(out.Chains, withoutStatements(Chains([]model.Chain{c})[0]))
		}
	}
	for i := range st.Workers {
		if st.Workers[i].App == app {
			out.addThreads(st, at, st.Workers[i].Workers)
		}
	}
	if len(out.Chains) == 0 && len(out.Workers) == 0 {
		return nil
	}
	return &out
}

// addThreads adds the threads of workers that have a request, up to maxEvidenceThreads.
func (w *Waits) addThreads(st *model.State, at time.Time, workers []model.Worker) {
	n := 0
	for i := range workers {
		x := &workers[i]
		for _, t := range Threads(st, at, x.Threads) {
			if t.State == "idle" {
				continue
			}
			if n++; n > maxEvidenceThreads {
				return
			}
			t.Digest, t.Path = nil, nil
			w.Workers[x.Slot] = append(w.Workers[x.Slot], t)
		}
	}
}

// withoutStatements returns a chain without users, hosts and statements, and without
// sentences, which name them. It removes them from the links of c itself.
func withoutStatements(c Chain) Chain {
	c.Sentence, c.Advice = "", ""
	for _, links := range [][]Link{c.Victims, c.Links} {
		for i := range links {
			links[i].User, links[i].Host, links[i].Digest = nil, nil, nil
		}
	}
	return c
}

// Threads returns the request threads of a worker as the JSON has them, in the order of
// [Sorted], at most 64; never nil. at is when they were read; it dates their requests,
// whose age is nil if that is zero.
func Threads(st *model.State, at time.Time, list []model.Thread) []Thread {
	out := make([]Thread, 0, len(list))
	sorted := Sorted(list)
	for i := range sorted {
		t := &sorted[i]
		x := Thread{TID: t.TID, Task: t.Task, State: ThreadState(t.On), On: t.On, Seconds: t.Seconds, Peer: Known(t.Peer), Kind: Known(t.Kind)}
		if c := connectionOf(st, t); c != nil {
			x.Connection, x.Digest = &c.ID, Known(c.Digest)
			x.Blocker = blockerOf(st, c)
		}
		x.stack(t.Stack, at)
		if x.RequestAgeSeconds == nil && !t.Seen.IsZero() && !at.IsZero() {
			age := max(0, at.Sub(t.Seen).Seconds())
			x.RequestAgeSeconds = &age
		}
		out = append(out, x)
	}
	return out
}

// stack sets the fields that a stack shows; nothing for nil. now dates the request.
func (x *Thread) stack(k *model.Stack, now time.Time) {
	if k == nil {
		return
	}
	x.View, x.Method, x.Route, x.Path = Known(k.View), Known(k.Method), Known(k.Route), Known(k.Path)
	x.Function, x.File, x.Line = frameStatus(k)
	if !k.Started.IsZero() && !now.IsZero() {
		age := max(0, now.Sub(k.Started).Seconds())
		x.RequestAgeSeconds = &age
	}
}

// frameStatus returns the line of the app's own code in a stack, else the innermost one,
// with the name of its file alone; nils if neither is known.
func frameStatus(k *model.Stack) (function, file *string, line *int) {
	f := k.Own
	if f.File == "" {
		f = k.Inner
	}
	if f.File == "" {
		return nil, nil, nil
	}
	return Known(f.Function), Known(path.Base(f.File)), &f.Line
}

// connectionOf returns the store connection that a thread waits on; nil if it is not
// known.
func connectionOf(st *model.State, t *model.Thread) *model.StoreConnection {
	if t.Socket == 0 {
		return nil
	}
	i := slices.IndexFunc(st.StoreConnections, func(c model.StoreConnection) bool { return c.Socket == t.Socket && c.ID != 0 })
	if i < 0 {
		return nil
	}
	return &st.StoreConnections[i]
}

// blockerOf returns the id of the connection that c waits for inside its store; nil if
// there is none, or it is not known.
func blockerOf(st *model.State, c *model.StoreConnection) *uint64 {
	i := slices.IndexFunc(st.StoreWaits, func(w model.StoreWait) bool {
		return w.Server == c.Server && w.Waiter == c.ID && w.Blocker != 0
	})
	if i < 0 {
		return nil
	}
	return &st.StoreWaits[i].Blocker
}

// Chains returns chains as the JSON has them; never nil.
func Chains(list []model.Chain) []Chain {
	out := make([]Chain, 0, len(list))
	for i := range list {
		c := &list[i]
		out = append(out, Chain{
			App: c.App, On: c.On, Peer: Known(c.Peer), Kind: Known(c.Kind), Object: Known(c.Object),
			Seconds: c.Seconds, Deadlock: c.Deadlock, Sentence: diagnosis.Sentence(c, c.App), Advice: diagnosis.Advice(c), Victims: linksOf(c.Victims), Links: linksOf(c.Links),
		})
	}
	return out
}

// linksOf returns the links of a chain as the API has them; empty, not nil, if there are
// none.
func linksOf(list []model.Link) []Link {
	out := make([]Link, 0, len(list))
	for i := range list {
		l := &list[i]
		x := Link{
			App: Known(l.App), Slot: Known(l.Slot), PID: Known(l.PID), Server: Known(l.Server), User: Known(l.User), Host: Known(l.Host),
			Command: Known(l.Command), Digest: Known(l.Digest), On: Known(l.On), Peer: Known(l.Peer), Connection: Known(l.Connection), Seconds: l.Seconds,
			TransactionSeconds: l.Transaction,
		}
		if l.Stack != nil {
			x.View = Known(l.Stack.View)
			x.Function, x.File, x.Line = frameStatus(l.Stack)
		}
		out = append(out, x)
	}
	return out
}

// Known returns a pointer to v; nil for the zero value, which means unknown.
func Known[T comparable](v T) *T {
	var unknown T
	if v == unknown {
		return nil
	}
	return &v
}
