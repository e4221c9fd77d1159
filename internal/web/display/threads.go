package display

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// ThreadRow is one thread of a worker, as the page lists it.
type ThreadRow struct {
	Does  string // "waits for MySQL main"
	For   *float64
	View  string
	Place string // "pay (billing.py:131)"; "": not known
}

// Line returns view and line, e.g. "checkout: pay (billing.py:131)"; only the line if the
// view is its function or not known; "" if there is no line.
func (r *ThreadRow) Line() string {
	if r.View == "" || r.Place == "" || strings.HasPrefix(r.Place, r.View+" (") {
		return r.Place
	}
	return r.View + ": " + r.Place
}

// ThreadText returns what a thread does in words, e.g. "waits for MySQL main"; "waits" if
// it is not known for what. A task always "waits in the event loop".
func ThreadText(t *model.Thread) string {
	if t.Task {
		return "waits in the event loop"
	}
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

// ThreadRows returns the rows of the page about a worker's request threads that are not
// idle, the longest wait first, at most 64; nil if all are idle.
func ThreadRows(list []model.Thread) []ThreadRow {
	var out []ThreadRow
	sorted := waitstatus.Sorted(list)
	for i := range sorted {
		t := &sorted[i]
		if waitstatus.ThreadState(t.On) == "idle" {
			continue
		}
		row := ThreadRow{Does: ThreadText(t), For: model.Known(t.Seconds)}
		if t.Stack != nil {
			row.View, row.Place = t.Stack.View, PlaceOf(t.Stack)
		}
		out = append(out, row)
	}
	return out
}

// HeldUpBy returns in words the root that a worker waits for, by the first chain in which
// it is a victim: "worker 2", "worker 2 of blog" or "connection 812"; "" if it is no
// victim, is the root itself, or the root is neither worker nor connection. Deadlocks do
// not count.
func HeldUpBy(chains []model.Chain, app, slot string) string {
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

// HoldsUp returns how many other workers wait for a worker that is the root of their wait
// beyond doubt, e.g. "3 workers"; "" if none does.
func HoldsUp(chains []model.Chain, app, slot string) string {
	waiting := make(map[[2]string]bool)
	for i := range chains {
		c := &chains[i]
		if c.Deadlock || len(c.Links) == 0 {
			continue
		}
		if root := &c.Links[len(c.Links)-1]; root.App != app || root.Slot != slot || root.Candidates > 0 {
			continue
		}
		for _, v := range c.Victims {
			if v.Slot != "" && (v.App != app || v.Slot != slot) {
				waiting[[2]string{v.App, v.Slot}] = true
			}
		}
	}
	if len(waiting) == 0 {
		return ""
	}
	return text.Plural(float64(len(waiting)), "worker", "workers")
}

// PlaceOf returns the line of the app's own code in a stack, else the innermost one, e.g.
// "pay (billing.py:131)"; "" if neither is known.
func PlaceOf(s *model.Stack) string {
	f := s.Own
	if f.File == "" {
		f = s.Inner
	}
	if f.File == "" {
		return ""
	}
	return f.Function + " (" + path.Base(f.File) + ":" + strconv.Itoa(f.Line) + ")"
}
