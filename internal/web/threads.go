package web

import (
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxThreads is how many threads of a worker are shown, the longest waits first.
const maxThreads = 64

// The threads of workers and the chains in the JSON of /api/v1/status.
type (
	threadJSON struct {
		TID               int      `json:"tid"`
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
	chainJSON struct {
		App      string     `json:"app"`
		On       string     `json:"on"`
		Peer     *string    `json:"peer"`
		Kind     *string    `json:"kind"`
		Object   *string    `json:"object"`
		Seconds  float64    `json:"seconds"`
		Deadlock bool       `json:"deadlock"`
		Victims  []linkJSON `json:"victims"`
		Links    []linkJSON `json:"links"` // the last one is the root
	}
	linkJSON struct {
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

// threadRow is one thread of a worker, as the page lists it.
type threadRow struct {
	Does  string // "waits for MySQL main"
	For   *float64
	View  string
	Place string // "pay (billing.py:131)"; "": not known
}

// threadText returns what a thread does in words, such as "waits for MySQL main".
func threadText(t *model.Thread) string {
	switch t.On {
	case "gil":
		return "waits for the interpreter lock"
	case "gc":
		return "collects garbage"
	case "cpu_queue":
		return "waits for a CPU"
	case "throttled":
		return "is throttled by its control group"
	case "loop":
		return "its event loop waits"
	case "", "other", "unknown":
		return "waits"
	}
	return health.WaitText(&model.Wait{On: t.On, Peer: t.Peer})
}

// threadState returns what a thread does in one of three words.
func threadState(on string) string {
	switch on {
	case "idle", "":
		return "idle"
	case "cpu", "gc", "cpu_queue", "throttled":
		return "running"
	default:
		return "waiting"
	}
}

// sortedThreads returns the threads of a worker, at most 64: those with a request
// first, then the longest wait.
func sortedThreads(list []model.Thread) []model.Thread {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b model.Thread) int {
		switch ai, bi := threadState(a.On) == "idle", threadState(b.On) == "idle"; {
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

// threadRows returns the threads of a worker that do something, for the page.
func threadRows(list []model.Thread) []threadRow {
	var out []threadRow
	sorted := sortedThreads(list)
	for i := range sorted {
		t := &sorted[i]
		if threadState(t.On) == "idle" {
			continue
		}
		row := threadRow{Does: threadText(t), For: model.Known(t.Seconds)}
		if t.Stack != nil {
			row.View, row.Place = t.Stack.View, placeOf(t.Stack)
		}
		out = append(out, row)
	}
	return out
}

// heldUpBy returns the root for which a worker waits as a victim: "worker 2", "worker
// 2 of blog" or "connection 812"; "" where it is no victim, or the root is not
// known.
func heldUpBy(chains []model.Chain, app, slot string) string {
	for i := range chains {
		c := &chains[i]
		if c.Deadlock || len(c.Links) == 0 || !slices.ContainsFunc(c.Victims, func(v model.Link) bool { return v.App == app && v.Slot == slot }) {
			continue
		}
		switch root := &c.Links[len(c.Links)-1]; {
		case root.Slot != "" && root.App == app && root.Slot == slot:
			return ""
		case root.Slot != "" && root.App == app:
			return "worker " + root.Slot
		case root.Slot != "":
			return "worker " + root.Slot + " of " + root.App
		case root.Connection != 0:
			return "connection " + strconv.FormatUint(root.Connection, 10)
		}
		return ""
	}
	return ""
}

// placeOf returns the line of the app's own code, or else the innermost one, as
// "pay (billing.py:131)"; "" where neither is known.
func placeOf(s *model.Stack) string {
	f := s.Own
	if f.File == "" {
		f = s.Inner
	}
	if f.File == "" {
		return ""
	}
	return f.Function + " (" + path.Base(f.File) + ":" + strconv.Itoa(f.Line) + ")"
}

// threadsStatus returns the threads of a worker for the JSON.
func threadsStatus(s *pageState, w *worker) []threadJSON {
	out := make([]threadJSON, 0, len(w.Threads))
	sorted := sortedThreads(w.Threads)
	for i := range sorted {
		t := &sorted[i]
		x := threadJSON{TID: t.TID, State: threadState(t.On), On: t.On, Seconds: t.Seconds, Peer: text(t.Peer), Kind: text(t.Kind)}
		if c := s.connectionOf(t); c != nil {
			x.Connection, x.Digest = &c.ID, text(c.Digest)
			x.Blocker = s.blockerOf(c)
		}
		x.stack(t.Stack, s.At)
		out = append(out, x)
	}
	return out
}

// stack sets the fields that are read from a stack.
func (x *threadJSON) stack(k *model.Stack, now time.Time) {
	if k == nil {
		return
	}
	x.View, x.Method, x.Route, x.Path = text(k.View), text(k.Method), text(k.Route), text(k.Path)
	x.Function, x.File, x.Line = frameStatus(k)
	if !k.Started.IsZero() && !now.IsZero() {
		age := max(0, now.Sub(k.Started).Seconds())
		x.RequestAgeSeconds = &age
	}
}

// frameStatus returns the line of the app's own code, or else the innermost one.
func frameStatus(k *model.Stack) (function, file *string, line *int) {
	f := k.Own
	if f.File == "" {
		f = k.Inner
	}
	if f.File == "" {
		return nil, nil, nil
	}
	return text(f.Function), text(path.Base(f.File)), &f.Line
}

// connectionOf returns the connection to a store that a thread waits on; nil
// where it is not known.
func (s *pageState) connectionOf(t *model.Thread) *model.StoreConnection {
	if t.Socket == 0 {
		return nil
	}
	i := slices.IndexFunc(s.state.StoreConnections, func(c model.StoreConnection) bool { return c.Socket == t.Socket && c.ID != 0 })
	if i < 0 {
		return nil
	}
	return &s.state.StoreConnections[i]
}

// blockerOf returns the connection for which another one waits inside its store;
// nil if there is none, or the store does not say which.
func (s *pageState) blockerOf(c *model.StoreConnection) *uint64 {
	i := slices.IndexFunc(s.state.StoreWaits, func(w model.StoreWait) bool {
		return w.Server == c.Server && w.Waiter == c.ID && w.Blocker != 0
	})
	if i < 0 {
		return nil
	}
	return &s.state.StoreWaits[i].Blocker
}

// chainsStatus returns the chains for the JSON.
func chainsStatus(list []model.Chain) []chainJSON {
	out := make([]chainJSON, 0, len(list))
	for i := range list {
		c := &list[i]
		out = append(out, chainJSON{
			App: c.App, On: c.On, Peer: text(c.Peer), Kind: text(c.Kind), Object: text(c.Object),
			Seconds: c.Seconds, Deadlock: c.Deadlock, Victims: linksStatus(c.Victims), Links: linksStatus(c.Links),
		})
	}
	return out
}

func linksStatus(list []model.Link) []linkJSON {
	out := make([]linkJSON, 0, len(list))
	for i := range list {
		l := &list[i]
		x := linkJSON{
			App: text(l.App), Slot: text(l.Slot), PID: nonZero(l.PID), Server: text(l.Server), User: text(l.User), Host: text(l.Host),
			Command: text(l.Command), Digest: text(l.Digest), On: text(l.On), Peer: text(l.Peer), Seconds: l.Seconds, TransactionSeconds: l.Transaction,
		}
		if l.Connection != 0 {
			x.Connection = &l.Connection
		}
		if l.Stack != nil {
			x.View = text(l.Stack.View)
			x.Function, x.File, x.Line = frameStatus(l.Stack)
		}
		out = append(out, x)
	}
	return out
}
