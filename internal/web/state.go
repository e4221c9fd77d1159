package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
)

// pageState is the state of one gather, grouped by app. A nil number is not known.
type pageState struct {
	At time.Time // zero: there was no gather yet
	// ThreadsAt is when the threads of the workers were sampled.
	ThreadsAt time.Time
	Apps      []app
	Stores    []parts.Store // and the pools, tasks and sessions of the apps
	Unseen    []unseen
	limits    map[limitKey]limitPair
	state     *model.State
	health    health.Evaluation
}

// app is one app, with the state of all collectors. What a collector did not read has
// the zero value.
type app struct {
	model.App

	Known             bool // its processes were read
	Workers           []worker
	Listeners         []model.Listener
	Overflows         *float64
	Queue, QueueLimit *float64 // of the fullest of Listeners, connections
	Requests          model.AppRequests
	Memory            *float64 // bytes
	MemoryRatio       *float64 // of its limit
	Pools             []parts.Pool
	Queues            []parts.Queue
	Sessions          []parts.Sessions
	counts            *model.WorkerCounts
}

// worker is one worker, with the state of all collectors.
type worker struct {
	Slot, State, Detail string
	PID                 int      // 0: not known
	Seconds, CPU        *float64 // in State; cores
	Started, Heartbeat  *float64 // unix seconds; age in seconds
	RSS, PSS, USS, Swap *float64 // bytes
	Connections         []connections
	Leaked              *float64 // connections
	Threads             []model.Thread
}

// addListeners sets the listeners, sorted by name, and the queue of the fullest one.
func (a *app) addListeners(l *model.AppListeners) {
	a.Overflows = l.Overflows5m
	if q := measures.Fullest(l.Listeners); q != nil {
		a.Queue, a.QueueLimit = q.Length, q.Limit
	}
	a.Listeners = slices.Clone(l.Listeners)
	slices.SortFunc(a.Listeners, func(x, y model.Listener) int { return cmp.Compare(x.Name, y.Name) })
}

// in returns how many workers are in a state: by the counts, or if there are none, of
// those listed.
func (a *app) in(state string) float64 {
	if a.counts != nil {
		return health.CountIn(a.counts, state)
	}
	n := 0.0
	for i := range a.Workers {
		if a.Workers[i].State == state {
			n++
		}
	}
	return n
}

// total returns how many workers there are: by the counts, or if more, those listed.
func (a *app) total() float64 {
	known := a.in("busy") + a.in("idle") + a.in("stuck") + a.in("booting")
	return max(known, float64(len(a.Workers)))
}

// memory returns the PSS of the worker in bytes, or its RSS if that is not known; nil if
// neither is.
func (w *worker) memory() *float64 {
	if w.PSS != nil {
		return w.PSS
	}
	return w.RSS
}

// addWorkers sets the app's workers, by slot: each that any collector has read, with what
// it has read.
func (a *app) addWorkers(s *model.State) {
	bySlot := make(map[string]*worker)
	at := func(slot string) *worker {
		w := bySlot[slot]
		if w == nil {
			w = &worker{Slot: slot}
			bySlot[slot] = w
		}
		return w
	}
	for i := range s.Workers {
		if s.Workers[i].App == a.Name {
			a.counts = s.Workers[i].Counts
			addStates(&s.Workers[i], at)
		}
	}
	for i := range s.Memory {
		if s.Memory[i].App == a.Name {
			a.MemoryRatio = s.Memory[i].Usage
			addMemory(&s.Memory[i], at)
		}
	}
	for i := range a.App.Workers {
		x := &a.App.Workers[i]
		w := at(x.Slot)
		w.CPU, w.Started = x.CPU, &x.Started
	}
	a.Workers = make([]worker, 0, len(bySlot))
	for _, w := range bySlot {
		a.Workers = append(a.Workers, *w)
	}
	slices.SortFunc(a.Workers, func(a, b worker) int { return health.CompareSlots(a.Slot, b.Slot) })
}

// addStates sets the states of the workers. at returns the worker of a slot.
func addStates(of *model.AppWorkers, at func(slot string) *worker) {
	waits := health.WaitsFor(of)
	for i := range of.Workers {
		x := &of.Workers[i]
		w := at(x.Slot)
		w.PID, w.State, w.Detail, w.Seconds, w.Heartbeat, w.Threads = x.PID, x.State, x.Detail, model.Known(x.Seconds), x.Heartbeat, x.Threads
		if text := waits[x.Slot]; text != "" {
			w.Detail = text
		}
	}
}

// addMemory sets the memory of the workers in bytes. at returns the worker of a slot.
func addMemory(of *model.AppMemory, at func(slot string) *worker) {
	for i := range of.Workers {
		x := &of.Workers[i]
		w := at(x.Slot)
		w.RSS = &x.RSS
		if x.Sampled {
			w.PSS, w.USS, w.Swap = &x.PSS, &x.USS, &x.Swap
		}
	}
}

// unseen is a collector that is not available, and why.
type unseen struct{ Collector, Reason, Detail string }

// Because returns in words why a collector is not available: its detail if it has one, else
// its reason; for a reason without words, that it failed.
func (u unseen) Because() string {
	if u.Detail != "" {
		return u.Detail
	}
	switch u.Reason {
	case "permission":
		return "permission denied by the kernel or a server"
	case "unsupported":
		return "not supported by this kernel or server"
	case "not_found":
		return "its source does not exist"
	case "in_use":
		return "the address is in use by another program"
	case "timeout":
		return "it did not answer in time"
	default:
		return "it failed: see the exporter's log"
	}
}

// unseenOf returns the collectors that are not available and not switched off, by name.
func unseenOf(s *model.State) []unseen {
	var out []unseen
	for _, c := range s.Collectors {
		if c.Reason != "ok" && c.Reason != "disabled" {
			out = append(out, unseen{c.Name, string(c.Reason), health.Missing(s, c.Name)})
		}
	}
	slices.SortStableFunc(out, func(a, b unseen) int { return cmp.Compare(a.Collector, b.Collector) })
	return out
}

// notSeen returns what the page lists as not seen: the collectors that are not available,
// and of the others what the history cannot keep, and what is not known of single apps for
// lack of rights or support.
func notSeen(s *pageState) []unseen {
	out := slices.Clone(s.Unseen)
	for i := range s.state.Lacks {
		l := &s.state.Lacks[i]
		if l.Optional && l.Collector == "history" {
			out = append(out, unseen{l.Collector, string(l.Reason), l.Detail})
		}
		if l.Optional && strings.HasPrefix(l.Of, "app:") && (l.Reason == reason.Unsupported || l.Reason == reason.Permission) {
			out = append(out, unseen{l.Collector, string(l.Reason), l.Detail})
		}
	}
	return out
}

// plus returns the sum; the other value if one is nil, nil if both are.
func plus(a, b *float64) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	v := *a + *b
	return &v
}

// disksOf returns the file systems, sorted by mount point.
func disksOf(s *model.State) []model.Disk {
	return slices.SortedFunc(slices.Values(s.Disks), func(a, b model.Disk) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
}

// pressuresOf returns the pressures, sorted by resource, "some" before "full".
func pressuresOf(s *model.State) []model.Pressure {
	return slices.SortedFunc(slices.Values(s.Pressures), func(a, b model.Pressure) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), -cmp.Compare(a.Kind, b.Kind))
	})
}

// causeOf returns what holds up an app; nil if nothing does that is known.
func (s *pageState) causeOf(app string) *model.Bottleneck {
	i := slices.IndexFunc(s.state.Bottlenecks, func(b model.Bottleneck) bool { return b.App == app && b.Cause != "" })
	if i < 0 {
		return nil
	}
	return &s.state.Bottlenecks[i]
}
