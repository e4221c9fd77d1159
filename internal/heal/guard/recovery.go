package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	maxEvidence  = 128  // runs that are kept with their evidence
	maxRecovered = 4096 // runs that are kept while the journal is read
	maxResumed   = 1000 // runs that go on after a restart; as many as the largest queue
)

// Recovery rebuilds the state of a start before from the journal. Lines are added in
// their order. A broken line adds guards and never removes one.
type Recovery struct {
	Memory

	set          *Settings
	now          time.Time
	runs         map[string]*recoveredRun
	order        []string        // of their ids, as they began
	withEvidence []string        // ids of runs with evidence, the newest last
	Ended        map[string]bool // ids of runs that ended
	head         fileHead
	lines        int
	Bad          int  // lines, and temporary settings among the guards, that were skipped
	lastBad      int  // number of the last broken line
	Rotate       bool // the file in use has broken lines, or times in the future
}

// recoveredRun is a run as its lines say.
type recoveredRun struct {
	journal.Run

	line int // number of the last one
}

// fileHead is how the file in use begins.
type fileHead struct {
	entries []journal.Entry // so far
	parts   int
	open    int
	closed  bool // it is whole, or there is none
}

// NewRecovery returns a recovery that has read no line yet; now is the time by which it
// judges what is over.
func NewRecovery(set *Settings, now time.Time) *Recovery {
	return &Recovery{Memory: newMemory(), set: set, now: now, runs: make(map[string]*recoveredRun), Ended: make(map[string]bool)}
}

// Add applies one line of the journal. A line that is broken or contradicts those before
// it is counted in Bad.
func (c *Recovery) Add(l journal.Line) {
	c.lines++
	c.Rotate = c.Rotate || l.Current && (!l.OK || l.Clamped || l.Dropped > 0)
	if l.OK {
		c.Bad += l.Dropped
	}
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

// accepts reports whether an entry is the next one of a file's head, and adds it then: first
// the parts of the state, in order, then runs that have not ended.
func (h *fileHead) accepts(e journal.Entry) bool {
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

// complete reports whether the lines that the first one counts are there, no more and no
// fewer; false before the first one.
func (h *fileHead) complete() bool { return h.parts > 0 && len(h.entries) == h.parts+h.open }

// applyHead replaces what is remembered by the head of the file in use: it was written
// with what the lines before it said.
func (c *Recovery) applyHead() {
	entries := c.head.entries
	c.head = fileHead{closed: true}
	c.Memory = newMemory()
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

// flushHead adds the entries of a head that is not whole to what the lines before it
// said.
func (c *Recovery) flushHead() {
	entries := c.head.entries
	c.head = fileHead{closed: true}
	for _, e := range entries {
		c.apply(e)
	}
}

// apply applies an entry: of the guards, a run, a temporary setting or a call for a
// person.
func (c *Recovery) apply(e journal.Entry) {
	switch {
	case e.Guards != nil:
		c.merge(e.Guards, c.now.Add(c.set.dedupWindow()))
	case e.Run != nil:
		c.applyRun(*e.Run)
	case e.Hold != nil && e.Decision == journal.DecisionHeld:
		c.hold(TargetKey(e.Hold.Rule, e.Hold.Action, e.Hold.Target), *e.Hold)
	case e.Hold != nil:
		delete(c.holds, TargetKey(e.Hold.Rule, e.Hold.Action, e.Hold.Target))
	case e.Alert != nil && e.Decision == journal.DecisionEscalated:
		c.calls.add(e.Rule, e.Alert.Fingerprint)
	case e.Alert != nil && e.Decision == journal.DecisionResolved:
		c.calls.end(e.Rule, e.Alert.Fingerprint)
	}
}

// applyRun applies the next line of a run. One that contradicts the lines before it
// counts as broken.
func (c *Recovery) applyRun(run journal.Run) {
	if run.State.Inflight() && run.Applied.IsZero() {
		run.Applied = run.Updated
	}
	before := c.runs[run.ID]
	switch {
	case before == nil && c.Ended[run.ID], before != nil && (before.Terminal() || !run.Follows(&before.Run)):
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
		c.Ended[run.ID] = true
	}
	c.runs[run.ID] = &recoveredRun{run, c.lines}
	c.trim(&run)
}

// contradicted counts a line that contradicts those before it as broken. The act that is in
// it is still recorded.
func (c *Recovery) contradicted(run *journal.Run) {
	c.Bad++
	c.lastBad, c.Rotate = c.lines, true
	if !run.Applied.IsZero() {
		c.rememberAct(TargetKey(run.Rule, run.Action, run.Target), run.Applied, true)
	}
}

// applyBroken counts a broken line. An act that can be read from it is still recorded: a
// cooldown too many does no harm.
func (c *Recovery) applyBroken(text []byte) {
	c.Bad++
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
	c.rememberAct(TargetKey(said.Run.Rule, said.Run.Action, said.Run.Target), at, true)
}

// restoreDedup records the alert of a run as a duplicate for as long as it was one before
// the restart.
func (c *Recovery) restoreDedup(run *journal.Run) {
	rl := c.set.RuleNamed(run.Rule)
	if rl == nil || len(c.dedup) >= MaxDedup {
		return
	}
	if until := run.Created.Add(rl.DedupWindow()); until.After(c.now) {
		c.dedup[run.Alert.DedupKey(rl.Name, rl.FirstKey(run.Alert.Alert()))] = until
	}
}

// trim removes the evidence of older runs and, beyond a bound, runs that have ended from
// memory.
func (c *Recovery) trim(run *journal.Run) {
	if len(run.Facts) > 0 && (len(c.withEvidence) == 0 || c.withEvidence[len(c.withEvidence)-1] != run.ID) {
		if c.withEvidence = append(c.withEvidence, run.ID); len(c.withEvidence) > maxEvidence {
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

// remove removes a run.
func (c *Recovery) remove(id string) {
	delete(c.runs, id)
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == id })
}

// Finish returns all runs that are kept, ended or not, in the order of their first lines.
// One that was acting keeps its state, and the guards count it as an act. One that waited
// is cancelled, and counts as one too, if a line after its last one is broken: that could
// say that it acted. Of those that have not ended, all beyond 1,000 are cancelled.
func (c *Recovery) Finish() []journal.Run {
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
			c.rememberAct(TargetKey(run.Rule, run.Action, run.Target), run.Applied, run.Done > 0 || run.State == journal.DecisionRunning)
		case run.line < c.lastBad:
			c.rememberAct(TargetKey(run.Rule, run.Action, run.Target), c.now, false)
			run.State, run.Updated = journal.DecisionCancelled, c.now
			run.Reason = "journal lines after its last entry are corrupt: it may have acted and is not repeated"
		}
		if !run.Terminal() {
			if open++; open > maxResumed {
				run.State, run.Updated = journal.DecisionCancelled, c.now
				run.Reason = fmt.Sprintf("more than %d runs were unfinished at startup", maxResumed)
			}
		}
		runs = append(runs, run.Run)
	}
	return runs
}
