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

// recovery is what the journal of a start before says. Lines are fed to it in
// their order. A broken line adds guards and never removes one.
type recovery struct {
	memory

	set   *settings
	now   time.Time
	runs  map[string]*recoveredRun
	order []string        // of their ids, as they began
	facts []string        // ids of runs with evidence, the newest last
	over  map[string]bool // ids of runs that ended
	head  head
	lines int
	bad   int
	worst int  // number of the last broken line
	renew bool // the file in use has broken lines, or times in the future
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
	return &recovery{memory: newMemory(), set: set, now: now, runs: make(map[string]*recoveredRun), over: make(map[string]bool)}
}

// feed notes one line.
func (c *recovery) feed(l journal.Line) {
	c.lines++
	c.renew = c.renew || l.Current && (!l.OK || l.Clamped)
	if l.Current && !c.head.closed {
		if l.OK && c.head.takes(l.Entry) {
			if c.head.whole() {
				c.begin()
			}
			return
		}
		c.flush()
	}
	if !l.OK {
		c.broken(l.Text)
		return
	}
	c.note(l.Entry)
}

// takes reports whether an entry is the next one of a head.
func (h *head) takes(e journal.Entry) bool {
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

func (h *head) whole() bool { return h.parts > 0 && len(h.entries) == h.parts+h.open }

// begin makes the head of the file in use all that the guards go by: it was
// written with what the lines before it said.
func (c *recovery) begin() {
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
			c.drop(id)
		}
	}
	for _, e := range entries {
		c.note(e)
	}
}

// flush adds what there is of a head that is not whole to what the lines before
// it said.
func (c *recovery) flush() {
	entries := c.head.entries
	c.head = head{closed: true}
	for _, e := range entries {
		c.note(e)
	}
}

// note takes a good line in.
func (c *recovery) note(e journal.Entry) {
	switch {
	case e.Guards != nil:
		c.merge(e.Guards, c.now.Add(c.set.dedupWindow()))
	case e.Run != nil:
		c.run(*e.Run)
	case e.Alert != nil && e.Decision == journal.DecisionResolved && c.human[e.Rule] == e.Alert.Fingerprint:
		delete(c.human, e.Rule)
	}
}

// run takes the next line of a run in.
func (c *recovery) run(run journal.Run) {
	if run.State.Inflight() && run.Applied.IsZero() {
		run.Applied = run.Updated
	}
	before := c.runs[run.ID]
	switch {
	case before == nil && c.over[run.ID], before != nil && (before.Terminal() || !run.Follows(&before.Run)):
		c.refuse(&run)
		return
	case before == nil:
		c.order = append(c.order, run.ID)
		c.remember(nil, &run)
	default:
		if before.Step == run.Step {
			if len(run.Facts) == 0 {
				run.Facts = before.Facts
			}
			if run.Applied.Before(before.Applied) {
				run.Applied = before.Applied
			}
		}
		c.remember(&before.Run, &run)
	}
	c.knowAgain(&run)
	if run.Terminal() {
		c.over[run.ID] = true
	}
	c.runs[run.ID] = &recoveredRun{run, c.lines}
	c.bound(&run)
}

// refuse passes a line over that contradicts those before it. What it says was
// done counts all the same.
func (c *recovery) refuse(run *journal.Run) {
	c.bad++
	c.worst, c.renew = c.lines, true
	if !run.Applied.IsZero() {
		c.rememberAct(guardKey(run.Rule, run.Action, run.Target), run.Applied, true)
	}
}

// broken passes over a line that is none. As far as it says what was done, that
// counts: it is conservative to wait for a cooldown too much.
func (c *recovery) broken(text []byte) {
	c.bad++
	c.worst = c.lines
	var said struct {
		Run struct {
			Rule    string `json:"rule"`
			Action  string `json:"action"`
			Target  string `json:"target"`
			Applied string `json:"applied"`
		} `json:"run"`
	}
	if len(text) == 0 || journal.Deep(text) {
		return
	}
	_ = json.Unmarshal(text, &said) // what has its type is read
	at, err := time.Parse(time.RFC3339Nano, said.Run.Applied)
	if err != nil || at.IsZero() || said.Run.Action == "" || !journal.Short(journal.MaxName, said.Run.Rule, said.Run.Action) || !journal.Short(journal.MaxKey, said.Run.Target) {
		return
	}
	if at.After(c.now) {
		at = c.now
	}
	c.rememberAct(guardKey(said.Run.Rule, said.Run.Action, said.Run.Target), at, true)
}

// knowAgain makes the alert of a run a duplicate for as long as it was one before.
func (c *recovery) knowAgain(run *journal.Run) {
	rl := c.set.ruleNamed(run.Rule)
	if rl == nil || len(c.dedup) >= maxDedup {
		return
	}
	if until := run.Created.Add(rl.dedupWindow()); until.After(c.now) {
		c.dedup[run.Alert.DedupKey(rl.Name, rl.firstKey(run.Alert.Alert()))] = until
	}
}

// bound keeps what is held in memory of the runs bounded.
func (c *recovery) bound(run *journal.Run) {
	if len(run.Facts) > 0 && (len(c.facts) == 0 || c.facts[len(c.facts)-1] != run.ID) {
		if c.facts = append(c.facts, run.ID); len(c.facts) > 2*maxFacts {
			if old := c.runs[c.facts[0]]; old != nil && old.Terminal() {
				old.Facts = nil
			}
			c.facts = c.facts[1:]
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

func (c *recovery) drop(id string) {
	delete(c.runs, id)
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == id })
}

// finish returns all runs in their order. Of those that had not ended, one that
// was acting may have done something; one that waited goes on only when no line
// after its last one is broken, for that could say that it acted.
func (c *recovery) finish() []journal.Run {
	if !c.head.closed {
		c.flush()
	}
	runs := make([]journal.Run, 0, len(c.order))
	open := 0
	for _, id := range c.order {
		run := c.runs[id]
		switch {
		case run.Terminal():
		case run.State.Inflight():
			c.rememberAct(guardKey(run.Rule, run.Action, run.Target), run.Applied, run.Done > 0 || run.State == journal.DecisionRunning)
		case run.line < c.worst:
			c.rememberAct(guardKey(run.Rule, run.Action, run.Target), c.now, false)
			run.State, run.Updated = journal.DecisionCancelled, c.now
			run.Reason = "lines of the journal after its last one are broken: it may have acted, and is not done again"
		}
		if !run.Terminal() {
			if open++; open > maxResumed {
				run.State, run.Updated = journal.DecisionCancelled, c.now
				run.Reason = fmt.Sprintf("more than %d runs had not ended", maxResumed)
			}
		}
		runs = append(runs, run.Run)
	}
	return runs
}
