package heal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	maxRecovered = 4096 // runs that are kept while the journal is read
	maxResumed   = 1000 // runs that go on after a restart; as many as the largest queue
)

// recovery rebuilds the state of a start before from the journal. Lines are added in
// their order. A broken line adds guards and never removes one.
type recovery struct {
	memory

	set          *settings
	now          time.Time
	runs         map[string]*recoveredRun
	order        []string        // of their ids, as they began
	withEvidence []string        // ids of runs with evidence, the newest last
	ended        map[string]bool // ids of runs that ended
	head         head
	lines        int
	bad          int
	lastBad      int  // number of the last broken line
	rotate       bool // the file in use has broken lines, or times in the future
}

// recoveredRun is a run as its lines say.
type recoveredRun struct {
	journal.Run

	line int // number of the last one
}

// head is how the file in use begins.
type head struct {
	entries []journal.Entry // so far
	parts   int
	open    int
	closed  bool // it is whole, or there is none
}

func newRecovery(set *settings, now time.Time) *recovery {
	return &recovery{memory: newMemory(), set: set, now: now, runs: make(map[string]*recoveredRun), ended: make(map[string]bool)}
}

// add notes one line.
func (c *recovery) add(l journal.Line) {
	c.lines++
	c.rotate = c.rotate || l.Current && (!l.OK || l.Clamped)
	if l.Current && !c.head.closed {
		if l.OK && c.head.accepts(l.Entry) {
			if c.head.complete() {
				c.applyHead()
			}
			return
		}
		c.flushHead()
	}
	if !l.OK {
		c.applyBroken(l.Text)
		return
	}
	c.apply(l.Entry)
}

// accepts reports whether an entry is the next one of a head.
func (h *head) accepts(e journal.Entry) bool {
	switch n := len(h.entries); {
	case e.Guards != nil:
		if e.Guards.Part != n+1 || n > 0 && (e.Guards.Parts != h.parts || n >= h.parts) {
			return false
		}
		h.parts, h.open = e.Guards.Parts, e.Guards.Open
	case n == 0 || n < h.parts || e.Run == nil || e.Run.Terminal():
		return false
	}
	h.entries = append(h.entries, e)
	return true
}

func (h *head) complete() bool { return h.parts > 0 && len(h.entries) == h.parts+h.open }

// applyHead makes the head of the file in use the whole state of the guards: it was
// written with what the lines before it said.
func (c *recovery) applyHead() {
	entries := c.head.entries
	c.head = head{closed: true}
	c.memory = newMemory()
	carried := make(map[string]bool)
	for _, e := range entries {
		if e.Run != nil {
			carried[e.Run.ID] = true
		}
	}
	for id, run := range c.runs {
		if !carried[id] && !run.Terminal() {
			c.remove(id)
		}
	}
	for _, e := range entries {
		c.apply(e)
	}
}

// flushHead adds what there is of a head that is not whole to what the lines before
// it said.
func (c *recovery) flushHead() {
	entries := c.head.entries
	c.head = head{closed: true}
	for _, e := range entries {
		c.apply(e)
	}
}

// apply applies an entry.
func (c *recovery) apply(e journal.Entry) {
	switch {
	case e.Guards != nil:
		c.merge(e.Guards, c.now.Add(c.set.dedupWindow()))
	case e.Run != nil:
		c.applyRun(*e.Run)
	case e.Alert != nil && e.Decision == journal.DecisionResolved && c.human[e.Rule] == e.Alert.Fingerprint:
		delete(c.human, e.Rule)
	}
}

// applyRun applies the next line of a run.
func (c *recovery) applyRun(run journal.Run) {
	if run.State.Inflight() && run.Applied.IsZero() {
		run.Applied = run.Updated
	}
	before := c.runs[run.ID]
	switch {
	case before == nil && c.ended[run.ID], before != nil && (before.Terminal() || !run.Follows(&before.Run)):
		c.contradicted(&run)
		return
	case before == nil:
		c.order = append(c.order, run.ID)
		c.rememberRun(nil, &run)
	default:
		if before.Step == run.Step {
			if len(run.Facts) == 0 {
				run.Facts = before.Facts
			}
			if run.Applied.Before(before.Applied) {
				run.Applied = before.Applied
			}
		}
		c.rememberRun(&before.Run, &run)
	}
	c.restoreDedup(&run)
	if run.Terminal() {
		c.ended[run.ID] = true
	}
	c.runs[run.ID] = &recoveredRun{run, c.lines}
	c.trim(&run)
}

// contradicted skips a line that contradicts those before it. An act that it has counts
// all the same.
func (c *recovery) contradicted(run *journal.Run) {
	c.bad++
	c.lastBad, c.rotate = c.lines, true
	if !run.Applied.IsZero() {
		c.rememberAct(targetKey(run.Rule, run.Action, run.Target), run.Applied, true)
	}
}

// applyBroken skips a broken line. An act that can be read from it counts: a cooldown too
// many does no harm.
func (c *recovery) applyBroken(text []byte) {
	c.bad++
	c.lastBad = c.lines
	var said struct {
		Run struct {
			Rule    string `json:"rule"`
			Action  string `json:"action"`
			Target  string `json:"target"`
			Applied string `json:"applied"`
		} `json:"run"`
	}
	if len(text) == 0 || journal.TooDeep(text) {
		return
	}
	_ = json.Unmarshal(text, &said) // what has its type is read
	at, err := time.Parse(time.RFC3339Nano, said.Run.Applied)
	if err != nil || at.IsZero() || said.Run.Action == "" || !journal.AllShort(journal.MaxName, said.Run.Rule, said.Run.Action) || !journal.AllShort(journal.MaxKey, said.Run.Target) {
		return
	}
	if at.After(c.now) {
		at = c.now
	}
	c.rememberAct(targetKey(said.Run.Rule, said.Run.Action, said.Run.Target), at, true)
}

// restoreDedup makes the alert of a run a duplicate for as long as it was one before.
func (c *recovery) restoreDedup(run *journal.Run) {
	rl := c.set.ruleNamed(run.Rule)
	if rl == nil || len(c.dedup) >= maxDedup {
		return
	}
	if until := run.Created.Add(rl.dedupWindow()); until.After(c.now) {
		c.dedup[run.Alert.DedupKey(rl.Name, rl.firstKey(run.Alert.Alert()))] = until
	}
}

// trim keeps what is held in memory of the runs bounded.
func (c *recovery) trim(run *journal.Run) {
	if len(run.Facts) > 0 && (len(c.withEvidence) == 0 || c.withEvidence[len(c.withEvidence)-1] != run.ID) {
		if c.withEvidence = append(c.withEvidence, run.ID); len(c.withEvidence) > 2*maxFacts {
			if old := c.runs[c.withEvidence[0]]; old != nil && old.Terminal() {
				old.Facts = nil
			}
			c.withEvidence = c.withEvidence[1:]
		}
	}
	if len(c.runs) <= maxRecovered {
		return
	}
	for _, id := range c.order {
		if run := c.runs[id]; run != nil && run.Terminal() && len(c.runs) > maxRecovered/2 {
			delete(c.runs, id)
		}
	}
	c.order = slices.DeleteFunc(c.order, func(id string) bool { return c.runs[id] == nil })
}

func (c *recovery) remove(id string) {
	delete(c.runs, id)
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == id })
}

// finish returns all runs in their order. Of those that had not ended, one that
// was acting may have done something; one that waited goes on only when no line
// after its last one is broken, for that could say that it acted.
func (c *recovery) finish() []journal.Run {
	if !c.head.closed {
		c.flushHead()
	}
	runs := make([]journal.Run, 0, len(c.order))
	open := 0
	for _, id := range c.order {
		run := c.runs[id]
		switch {
		case run.Terminal():
		case run.State.Inflight():
			c.rememberAct(targetKey(run.Rule, run.Action, run.Target), run.Applied, run.Done > 0 || run.State == journal.DecisionRunning)
		case run.line < c.lastBad:
			c.rememberAct(targetKey(run.Rule, run.Action, run.Target), c.now, false)
			run.State, run.Updated = journal.DecisionCancelled, c.now
			run.Reason = "journal lines after its last one are broken: it may have acted, and is not repeated"
		}
		if !run.Terminal() {
			if open++; open > maxResumed {
				run.State, run.Updated = journal.DecisionCancelled, c.now
				run.Reason = fmt.Sprintf("more than %d runs were open at the start", maxResumed)
			}
		}
		runs = append(runs, run.Run)
	}
	return runs
}
