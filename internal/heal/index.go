package heal

import (
	"slices"
	"sync"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	maxIndex = 200 // runs that are kept for people
	maxFacts = 64  // runs that keep their evidence
)

// runIndex has the runs that people are shown. A run that was published is replaced,
// never changed.
type runIndex struct {
	mu    sync.Mutex
	runs  map[string]*journal.Run
	order []string // of ids, the newest last
}

func newRunIndex() *runIndex { return &runIndex{runs: make(map[string]*journal.Run)} }

// publish shows a run as it is now.
func (x *runIndex) publish(run journal.Run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.runs[run.ID]; !ok {
		x.order = append(x.order, run.ID)
		x.runs[run.ID] = &run
		x.order = trim(x.order, x.runs)
	}
	x.runs[run.ID] = &run
}

// trim bounds runs in the order of their ids: of the rule that has the most that
// ended, the oldest go, and the older ones lose their evidence. It returns the order.
func trim(order []string, runs map[string]*journal.Run) []string {
	for len(order) > maxIndex {
		i := oldestOfMost(order, runs)
		if i < 0 {
			break
		}
		delete(runs, order[i])
		order = slices.Delete(order, i, i+1)
	}
	for _, id := range order[:max(0, len(order)-maxFacts)] {
		if run := runs[id]; len(run.Facts) > 0 && run.Terminal() {
			short := *run
			short.Facts = nil
			runs[id] = &short
		}
	}
	return order
}

// get returns a run with its evidence.
func (x *runIndex) get(id string) (journal.Run, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if run := x.runs[id]; run != nil {
		return *run, true
	}
	return journal.Run{}, false
}

// list returns all runs without their evidence, the newest first.
func (x *runIndex) list() []journal.Run {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []journal.Run
	for _, id := range slices.Backward(x.order) {
		run := *x.runs[id]
		run.Facts = nil
		out = append(out, run)
	}
	return out
}

// oldestOfMost returns the place in order of the oldest run that ended, of the rule
// that has the most of these; -1: none ended.
func oldestOfMost(order []string, runs map[string]*journal.Run) int {
	count, first := make(map[string]int), make(map[string]int)
	most := ""
	for i, id := range order {
		run := runs[id]
		if !run.Terminal() {
			continue
		}
		if count[run.Rule]++; count[run.Rule] == 1 {
			first[run.Rule] = i
		}
		if count[run.Rule] > count[most] {
			most = run.Rule
		}
	}
	if count[most] == 0 {
		return -1
	}
	return first[most]
}
