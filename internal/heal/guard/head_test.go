package guard_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// headPart returns a line with which a file begins.
func headPart(part, parts, open int, last string) journal.Entry {
	g := &journal.GuardState{Part: part, Parts: parts, Open: open}
	if last != "" {
		g.Last = map[string]time.Time{last: journaltest.Noon().Add(-time.Minute)}
	}
	return journal.Entry{At: journaltest.Noon().Add(-time.Minute), Decision: journal.DecisionCarried, Guards: g}
}

// A whole head of the file in use replaces what the older file said; a head that is not
// whole is added to it.
func TestHeadOfFile(t *testing.T) {
	t.Parallel()
	ago := journaltest.Noon().Add(-time.Minute)
	queued := func(id string) journal.Entry { return journaltest.RunLine(id, "queued", ago, time.Time{}) }
	ended := journaltest.RunLine("r-9", "failed", ago, ago)
	older := []journal.Entry{queued("r-1"), queued("r-2"), journaltest.RunLine("r-3", "failed", ago, ago)}
	for name, c := range map[string]struct {
		current []journal.Entry
		waiting []string
		last    []string // keys
		spent   int
	}{
		"no head":                        {[]journal.Entry{queued("r-4")}, []string{"r-1", "r-2", "r-4"}, []string{poolKey}, 1},
		"a head with a run":              {[]journal.Entry{headPart(1, 1, 1, "a/x"), queued("r-2")}, []string{"r-2"}, []string{"a/x"}, 0},
		"a head without runs":            {[]journal.Entry{headPart(1, 1, 0, "a/x")}, nil, []string{"a/x"}, 0},
		"a head, then a new run":         {[]journal.Entry{headPart(1, 1, 0, ""), queued("r-4")}, []string{"r-4"}, nil, 0},
		"two parts and two runs":         {[]journal.Entry{headPart(1, 2, 0, "a/x"), headPart(2, 2, 2, "b/y"), queued("r-1"), queued("r-2")}, []string{"r-1", "r-2"}, []string{"a/x", "b/y"}, 0},
		"the second part is missing":     {[]journal.Entry{headPart(1, 2, 0, "a/x")}, []string{"r-1", "r-2"}, []string{"a/x", poolKey}, 1},
		"the first part is missing":      {[]journal.Entry{headPart(2, 2, 0, "b/y")}, []string{"r-1", "r-2"}, []string{"b/y", poolKey}, 1},
		"a part twice":                   {[]journal.Entry{headPart(1, 2, 0, "a/x"), headPart(1, 2, 0, "b/y")}, []string{"r-1", "r-2"}, []string{"a/x", "b/y", poolKey}, 1},
		"parts of two heads":             {[]journal.Entry{headPart(1, 2, 0, "a/x"), headPart(2, 3, 0, "b/y")}, []string{"r-1", "r-2"}, []string{"a/x", "b/y", poolKey}, 1},
		"a part too many":                {[]journal.Entry{headPart(1, 1, 1, "a/x"), headPart(2, 2, 0, "b/y")}, []string{"r-1", "r-2"}, []string{"a/x", "b/y", poolKey}, 1},
		"a run is missing":               {[]journal.Entry{headPart(1, 1, 2, "a/x"), queued("r-2")}, []string{"r-1", "r-2"}, []string{"a/x", poolKey}, 1},
		"a run before the second part":   {[]journal.Entry{headPart(1, 2, 1, "a/x"), queued("r-2"), headPart(2, 2, 1, "b/y")}, []string{"r-1", "r-2"}, []string{"a/x", "b/y", poolKey}, 1},
		"a run that ended is in no head": {[]journal.Entry{headPart(1, 1, 1, "a/x"), ended}, []string{"r-1", "r-2"}, []string{"a/x", poolKey}, 1},
		"an alert is in no head":         {[]journal.Entry{headPart(1, 1, 1, "a/x"), {At: ago, Decision: "resolved"}}, []string{"r-1", "r-2"}, []string{"a/x", poolKey}, 1},
	} {
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{journaltest.Lines(older...), journaltest.Lines(c.current...)})
		var last []string
		for key := range p.Last {
			last = append(last, key)
		}
		slices.Sort(last)
		slices.Sort(p.Waiting)
		want := slices.Clone(c.last)
		slices.Sort(want)
		if err != nil || !slices.Equal(p.Waiting, c.waiting) || !slices.Equal(last, want) || p.Spent != c.spent || p.Rotate {
			t.Errorf("%s: waiting %v, last %v, %d spent, rotate %v, %v", name, p.Waiting, last, p.Spent, p.Rotate, err)
		}
	}
}

// A broken line, a time in the future and a contradiction in the file in use begin the next
// file; those of the older file do not.
func TestRotate(t *testing.T) {
	t.Parallel()
	ago := journaltest.Noon().Add(-time.Minute)
	done := journaltest.RunLine("r-1", "failed", ago, ago)
	for name, c := range map[string]struct {
		older, current []byte
		want           bool
	}{
		"nothing":                       {nil, nil, false},
		"good lines":                    {journaltest.Lines(done), journaltest.Lines(journaltest.RunLine("r-2", "failed", ago, ago)), false},
		"a broken line of the older":    {[]byte("x\n"), nil, false},
		"a broken line":                 {nil, []byte("x\n"), true},
		"the future, in the older file": {journaltest.Lines(journaltest.RunLine("r-1", "failed", journaltest.Noon().Add(1), ago)), nil, false},
		"the future":                    {nil, journaltest.Lines(journaltest.RunLine("r-1", "failed", journaltest.Noon().Add(1), ago)), true},
		"a contradiction":               {nil, journaltest.Lines(done, done), true},
	} {
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{c.older, c.current})
		if err != nil || p.Rotate != c.want {
			t.Errorf("%s: rotate %v, %v", name, p.Rotate, err)
		}
	}
}

// A contradicted line that says that it acted counts as an act, and no waiting run
// continues after it.
func TestContradiction(t *testing.T) {
	t.Parallel()
	ago := journaltest.Noon().Add(-time.Minute)
	waits, done := journaltest.RunLine("r-2", "queued", ago, time.Time{}), journaltest.RunLine("r-1", "failed", ago, time.Time{})
	waits.Run.Target, waits.Target = "app:shop/pool:other", "app:shop/pool:other"
	for name, c := range map[string]struct {
		lines []journal.Entry
		acts  int
		last  time.Time
		bad   int
		end   string // of r-2
	}{
		"without an act": {[]journal.Entry{waits, done, done}, 0, time.Time{}, 1, "cancelled"},
		"with an act":    {[]journal.Entry{waits, done, journaltest.RunLine("r-1", "failed", ago, ago)}, 1, ago, 1, "cancelled"},
		"before it":      {[]journal.Entry{done, done, waits}, 0, time.Time{}, 1, "queued"},
	} {
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(c.lines...)})
		if err != nil || p.Bad != c.bad || p.Acts[poolKey] != c.acts || !p.Last[poolKey].Equal(c.last) || p.Ends["r-2"] != c.end {
			t.Errorf("%s: %d bad, acts %v, last %v, ends %v, %v", name, p.Bad, p.Acts, p.Last[poolKey], p.Ends, err)
		}
	}
}

// A later line of the same step keeps evidence and the time of the act; one of the next step
// has its own.
func TestEvidenceStays(t *testing.T) {
	t.Parallel()
	early, ago := journaltest.Noon().Add(-2*time.Minute), journaltest.Noon().Add(-time.Minute)
	with := func(state journal.Decision, applied time.Time, step int, facts string) journal.Entry {
		e := journaltest.RunLine("r-1", state, ago, applied)
		e.Run.Step, e.Run.Before = step, make([]journal.StepResult, step)
		for i := range e.Run.Before {
			e.Run.Before[i] = journal.StepResult{Result: "failed"}
		}
		if facts != "" {
			e.Run.Facts = json.RawMessage(facts)
		}
		return e
	}
	for name, c := range map[string]struct {
		lines    []journal.Entry
		evidence int
		at       time.Time
	}{
		"of the same step":     {[]journal.Entry{with("running", ago, 0, `{"a":1}`), with("failed", ago, 0, "")}, 1, ago},
		"none":                 {[]journal.Entry{with("running", ago, 0, ""), with("failed", ago, 0, "")}, 0, ago},
		"of the later line":    {[]journal.Entry{with("running", ago, 0, ""), with("failed", ago, 0, `{"a":1}`)}, 1, ago},
		"of the step before":   {[]journal.Entry{with("running", early, 0, `{"a":1}`), with("queued", time.Time{}, 1, "")}, 0, time.Time{}},
		"the act was earlier":  {[]journal.Entry{with("running", ago, 0, ""), with("failed", early, 0, "")}, 0, ago},
		"in flight, no time":   {[]journal.Entry{with("verifying", time.Time{}, 0, "")}, 0, ago},
		"ended without an act": {[]journal.Entry{with("failed", time.Time{}, 0, "")}, 0, time.Time{}},
	} {
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(c.lines...)})
		if err != nil || p.Bad != 0 || len(p.Evidence) != c.evidence || !p.At["r-1"].Equal(c.at) {
			t.Errorf("%s: evidence of %v, acted at %v, %d bad, %v", name, p.Evidence, p.At["r-1"], p.Bad, err)
		}
	}
	// Of 130 runs that have ended, the newest 128 keep their evidence; those that go on keep it all.
	for state, want := range map[journal.Decision]int{"failed": 128, "verifying": 130} {
		var lines []journal.Entry
		for i := range 130 {
			e := with(state, ago, 0, `{"a":1}`)
			e.Run.ID = fmt.Sprintf("r-%03d", i)
			lines = append(lines, e)
		}
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(lines...)})
		if err != nil || len(p.Evidence) != want || p.Evidence[want-1] != "r-129" {
			t.Errorf("%s: %d have evidence, %v", state, len(p.Evidence), err)
		}
	}
}

// A run that was in flight counts as an act that did something if it may have; of those that
// were open, 1,000 go on.
func TestFinish(t *testing.T) {
	t.Parallel()
	ago := journaltest.Noon().Add(-time.Minute)
	for name, c := range map[string]struct {
		state journal.Decision
		done  int
		want  int
	}{"running": {"running", 0, 1}, "running, one done": {"running", 1, 1}, "verifying, none done": {"verifying", 0, 0}, "verifying, one done": {"verifying", 1, 1}} {
		e := journaltest.RunLine("r-1", c.state, ago, ago)
		e.Run.Done = c.done
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(e)})
		if err != nil || p.Acts[poolKey] != c.want || !p.Last[poolKey].Equal(ago) || p.Spent != 1 {
			t.Errorf("%s: acts %v, last %v, %d spent, %v", name, p.Acts, p.Last, p.Spent, err)
		}
	}
	var lines []journal.Entry
	for i := range 1002 {
		lines = append(lines, journaltest.RunLine(fmt.Sprintf("r-%04d", i), "queued", ago, time.Time{}))
	}
	p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(lines...)})
	if err != nil || len(p.Waiting) != 1000 || p.Ends["r-0999"] != "queued" || p.Ends["r-1000"] != "cancelled" || p.Ends["r-1001"] != "cancelled" {
		t.Errorf("%d go on, the 1,000th is %s, the next %s, %v", len(p.Waiting), p.Ends["r-0999"], p.Ends["r-1000"], err)
	}
	resolved := journal.Entry{At: ago, Decision: journal.DecisionResolved, Rule: "leaked", Alert: &journal.Subject{Fingerprint: "f-r-1"}}
	other, queued := resolved, resolved
	other.Alert, queued.Decision = &journal.Subject{Fingerprint: "f-r-2"}, journal.DecisionDuplicate
	for name, c := range map[string]struct {
		last journal.Entry
		want int
	}{"resolved": {resolved, 0}, "another is resolved": {other, 1}, "it fires again": {queued, 1}} {
		p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(journaltest.RunLine("r-1", "escalated", ago, ago), c.last)})
		if err != nil || len(p.Human) != c.want {
			t.Errorf("%s: rules in need %v, %v", name, p.Human, err)
		}
	}
}

// The guards of a journal stay in force: the state of one that has been written and read
// again decides as before, until the same moment.
func TestEntriesDecideAlike(t *testing.T) {
	t.Parallel()
	set := compiled(t, nil)
	g := guard.NewGuards()
	for i := range 3 {
		settled(g, journal.DecisionFailed, after(time.Duration(i)*time.Minute))
	}
	g.Accepted("known", "leaked", after(time.Hour), after(0))
	for i := range 300 { // acts that several parts hold
		key := fmt.Sprintf("%s/app:shop/pool:%0400d", config.ActionRecycle, i)
		g.Escalated(key, after(0))
		g.Did(key, after(0))
	}
	entries := g.Entries(set, after(3*time.Minute))
	for i, e := range entries {
		n := len(journaltest.Lines(e))
		if n > journal.LineSize || i < len(entries)-1 && n < journal.LineSize/16 {
			t.Errorf("part %d of %d has %d bytes", i+1, len(entries), n)
		}
	}
	p, err := guard.Recall(section(), after(3*time.Minute), [2][]byte{nil, journaltest.Lines(entries...)})
	if err != nil || len(entries) < 3 || len(p.Last) != 300 || len(p.Acts) != 300 || p.Failures[config.ActionKillLeaked] != 3 || !p.Known["known"].Equal(after(10*time.Minute)) {
		t.Errorf("%d parts, %d last, %d acts, failures %v, known until %v, %v", len(entries), len(p.Last), len(p.Acts), p.Failures, p.Known, err)
	}
	if got := guard.Rounded(90*time.Second + 400*time.Millisecond); got != "1m30s" {
		t.Errorf("rounded: %s", got)
	}
}
