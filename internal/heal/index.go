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

// publish stores a copy of a run, in place of its last one, for readers. Runs beyond the
// limit are removed.
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

// trim removes from runs ended ones beyond maxIndex, each time the oldest of the rule with the most, and the evidence
// of ended ones that are not among the last maxFacts. It returns the order of the ids left, in the same array.
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

// get returns a run, with its evidence if that is kept still; false if no run of that id is kept.
func (x *runIndex) get(id string) (journal.Run, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if run := x.runs[id]; run != nil {
		return *run, true
	}
	return journal.Run{}, false
}

// list returns all runs that are kept, without their evidence, the newest first.
func (x *runIndex) list() []journal.Run {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]journal.Run, 0, len(x.order))
	for _, id := range slices.Backward(x.order) {
		run := *x.runs[id]
		run.Facts = nil
		out = append(out, run)
	}
	return out
}

// oldestOfMost returns the index in order of the oldest ended run, of the rule that has
// the most of these; -1 if none has ended.
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
