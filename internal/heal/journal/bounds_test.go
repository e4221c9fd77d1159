package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// readOne returns an entry as it is read from a journal.
func readOne(t *testing.T, e journal.Entry) journal.Line {
	t.Helper()
	var lines []journal.Line
	if err := journal.ReadLines(bytes.NewReader(journaltest.Lines(e)), journaltest.Noon(), func(l journal.Line) { lines = append(lines, l) }); err != nil || len(lines) != 1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	return lines[0]
}

func keys[V any](n int, v V) map[string]V {
	out := make(map[string]V, n)
	for i := range n {
		out[fmt.Sprint("k", i)] = v
	}
	return out
}

// Each value of a run is accepted at its bound and not beyond.
func TestRunBounds(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	step := func(n int, change func(*journal.StepResult, int)) func(*journal.Run, int) {
		return func(r *journal.Run, _ int) {
			b := journal.StepResult{Result: "failed"}
			change(&b, n)
			r.Before = []journal.StepResult{{Result: "failed"}, b}
		}
	}
	of := func(change func(*journal.StepResult, int)) func(*journal.Run, int) {
		return func(r *journal.Run, n int) { step(n, change)(r, n) }
	}
	for name, c := range map[string]struct {
		most int
		set  func(r *journal.Run, n int)
	}{
		"step": {63, func(r *journal.Run, n int) { r.Step = n }},
		"steps before": {63, func(r *journal.Run, n int) {
			r.Before = make([]journal.StepResult, n)
			for i := range n {
				r.Before[i].Result = "failed"
			}
		}},
		"done":                 {1 << 40, func(r *journal.Run, n int) { r.Done = n }},
		"id":                   {64, func(r *journal.Run, n int) { r.ID = text(n) }},
		"rule":                 {128, func(r *journal.Run, n int) { r.Rule = text(n) }},
		"action":               {128, func(r *journal.Run, n int) { r.Action = text(n) }},
		"outcome":              {128, func(r *journal.Run, n int) { r.Outcome = action.Outcome(text(n)) }},
		"target":               {512, func(r *journal.Run, n int) { r.Target = text(n) }},
		"reason":               {4 * action.MaxText, func(r *journal.Run, n int) { r.Reason = text(n) }},
		"alert":                {2 * action.MaxValue, func(r *journal.Run, n int) { r.Alert.Name = text(n) }},
		"fingerprint":          {128, func(r *journal.Run, n int) { r.Alert.Fingerprint = text(n) }},
		"labels":               {32, func(r *journal.Run, n int) { r.Alert.Labels = keys(n, "x") }},
		"name of a label":      {128, func(r *journal.Run, n int) { r.Alert.Labels = map[string]string{text(n): "x"} }},
		"value of a label":     {4 * action.MaxValue, func(r *journal.Run, n int) { r.Alert.Labels = map[string]string{"x": text(n)} }},
		"done of a step":       {1 << 40, of(func(b *journal.StepResult, n int) { b.Done = n })},
		"action of a step":     {128, of(func(b *journal.StepResult, n int) { b.Action = text(n) })},
		"target of a step":     {512, of(func(b *journal.StepResult, n int) { b.Target = text(n) })},
		"reason of a step":     {4 * action.MaxText, of(func(b *journal.StepResult, n int) { b.Reason = text(n) })},
		"summary of a step":    {4 * action.MaxText, of(func(b *journal.StepResult, n int) { b.Summary = text(n) })},
		"total":                {1 << 40, func(r *journal.Run, n int) { r.Plan = &action.Plan{Total: n} }},
		"victims":              {action.MaxVictims, func(r *journal.Run, n int) { r.Plan = &action.Plan{Victims: make([]action.Victim, n), Total: n} }},
		"approved":             {1 << 40, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Total: n} }},
		"approved victims":     {action.MaxVictims, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Victims: make([]string, n)} }},
		"name of a victim":     {512, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Victims: []string{"x", text(n)}} }},
		"approved plan":        {512, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Plan: text(n)} }},
		"approved action":      {512, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Action: text(n)} }},
		"approved target":      {512, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Target: text(n)} }},
		"scope of an approval": {512, func(r *journal.Run, n int) { r.Approved = &journal.Approval{Scope: text(n)} }},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			e := journaltest.RunLine("r-1", "queued", journaltest.Noon(), time.Time{})
			c.set(e.Run, n)
			if l := readOne(t, e); l.OK != (n == c.most) {
				t.Errorf("%s of %d: OK %v", name, n, l.OK)
			}
		}
		for _, zero := range []int{0, -1} {
			if c.most != 1<<40 {
				continue
			}
			e := journaltest.RunLine("r-1", "queued", journaltest.Noon(), time.Time{})
			c.set(e.Run, zero)
			if l := readOne(t, e); l.OK != (zero == 0) {
				t.Errorf("%s of %d: OK %v", name, zero, l.OK)
			}
		}
	}
	e := journaltest.RunLine("r-1", "queued", journaltest.Noon(), time.Time{})
	e.Run.Before = []journal.StepResult{{Result: "unheard"}}
	if readOne(t, e).OK {
		t.Error("a step with an unknown result is accepted")
	}
	for n, kept := range map[int]bool{2*journal.MaxEvidence - 2: true, 2*journal.MaxEvidence - 1: false} {
		e.Run.Before, e.Run.Facts = nil, json.RawMessage(`"`+text(n)+`"`)
		if l := readOne(t, e); !l.OK || (l.Entry.Run.Facts != nil) != kept {
			t.Errorf("evidence of %d bytes: OK %v, %d bytes kept", n+2, l.OK, len(l.Entry.Run.Facts))
		}
	}
	e.Run.Facts, e.Run.Plan = nil, &action.Plan{Summary: text(5 * action.MaxText)}
	if l := readOne(t, e); !l.OK || len(l.Entry.Run.Plan.Summary) > action.MaxText+len("…") {
		t.Errorf("the summary of a plan: OK %v", l.OK)
	}
}

// The same for an entry and for the parts of what a file begins with.
func TestGuardBounds(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	times := func(n int) []time.Time { return make([]time.Time, n) }
	for name, c := range map[string]struct {
		most int
		set  func(g *journal.GuardState, n int)
	}{
		"open runs":           {1 << 40, func(g *journal.GuardState, n int) { g.Open = n }},
		"part":                {2, func(g *journal.GuardState, n int) { g.Part = n }},
		"applied":             {journal.MaxApplied, func(g *journal.GuardState, n int) { g.Applied = times(n) }},
		"a key of last":       {512, func(g *journal.GuardState, n int) { g.Last = map[string]time.Time{text(n): {}} }},
		"a key of known":      {512, func(g *journal.GuardState, n int) { g.Known = map[string]time.Time{text(n): {}} }},
		"a key of acts":       {512, func(g *journal.GuardState, n int) { g.Acts = map[string][]time.Time{text(n): nil} }},
		"a key of failures":   {512, func(g *journal.GuardState, n int) { g.Failures = map[string][]time.Time{text(n): nil} }},
		"acts of a key":       {journal.MaxActs, func(g *journal.GuardState, n int) { g.Acts = map[string][]time.Time{"k": times(n)} }},
		"failures of a key":   {journal.MaxActs, func(g *journal.GuardState, n int) { g.Failures = map[string][]time.Time{"k": times(n)} }},
		"a rule in need":      {128, func(g *journal.GuardState, n int) { g.Calls = map[string][]string{text(n): {"f"}} }},
		"the alert of a rule": {128, func(g *journal.GuardState, n int) { g.Calls = map[string][]string{"r": {text(n)}} }},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			g := &journal.GuardState{Part: 1, Parts: 2}
			c.set(g, n)
			if l := readOne(t, journal.Entry{Decision: journal.DecisionCarried, Guards: g}); l.OK != (n == c.most) {
				t.Errorf("%s of %d: OK %v", name, n, l.OK)
			}
		}
	}
	for name, e := range map[string]journal.Entry{
		"open runs below 0":       {Decision: "carried", Guards: &journal.GuardState{Part: 1, Parts: 1, Open: -1}},
		"part 0":                  {Decision: "carried", Guards: &journal.GuardState{Parts: 1}},
		"carried, no guards":      {Decision: "carried"},
		"guards, not carried":     {Decision: "queued", Guards: &journal.GuardState{Part: 1, Parts: 1}},
		"guards and an alert":     {Decision: "carried", Guards: &journal.GuardState{Part: 1, Parts: 1}, Alert: &journal.Subject{}},
		"an alert out of bounds":  {Decision: "resolved", Alert: &journal.Subject{Fingerprint: text(129)}},
		"a rule out of bounds":    {Decision: "resolved", Rule: text(129)},
		"an action out of bounds": {Decision: "resolved", Action: text(129)},
		"a target out of bounds":  {Decision: "resolved", Target: text(513)},
		"a reason out of bounds":  {Decision: "resolved", Reason: text(4*action.MaxText + 1)},
	} {
		if readOne(t, e).OK {
			t.Errorf("%s is accepted", name)
		}
	}
	if e := (journal.Entry{Decision: "resolved", Rule: text(128), Action: text(128), Target: text(512), Reason: text(4 * action.MaxText), Alert: &journal.Subject{}}); !readOne(t, e).OK {
		t.Error("an entry at its bounds is not accepted")
	}
}

// Each decision is accepted where it belongs: of an alert without a run, of a run with it.
func TestDecisionsAreKnown(t *testing.T) {
	t.Parallel()
	alerts := map[journal.Decision]bool{}
	for _, d := range journal.AlertDecisions() {
		alerts[d] = true
		if !readOne(t, journal.Entry{Decision: d}).OK {
			t.Errorf("%s of an alert is not accepted", d)
		}
	}
	if len(alerts) != 15 || !alerts["not_mine"] || !alerts["unmatched"] || !alerts["duplicate"] || !alerts["queue_full"] || !alerts["lease"] {
		t.Errorf("decisions on alerts: %v", alerts)
	}
	open, inflight := "queued awaiting_approval running verifying step_failed unwritten", "running verifying"
	for d := range strings.FieldsSeq(open + " paused off warmup breaker cooldown budget fleet lease dry_run cleared refused unplanned unavailable cancelled expired verified failed escalated not_mine unmatched duplicate resolved queue_full carried x") {
		of := journal.Decision(d)
		isRun := !strings.Contains(" not_mine unmatched duplicate resolved queue_full carried x ", " "+d+" ")
		if l := readOne(t, journaltest.RunLine("r-1", of, journaltest.Noon(), time.Time{})); l.OK != isRun {
			t.Errorf("%s of a run: OK %v", d, l.OK)
		}
		isOpen, isInflight := strings.Contains(" "+open+" ", " "+d+" "), strings.Contains(" "+inflight+" ", " "+d+" ")
		if run := (journal.Run{State: of}); of.Open() != isOpen || run.Terminal() == isOpen || of.Inflight() != isInflight {
			t.Errorf("%s: open %v, in flight %v", d, of.Open(), of.Inflight())
		}
	}
}

// A line of a run may follow another one only if it does not revoke that an action began.
func TestFollows(t *testing.T) {
	t.Parallel()
	run := func(state journal.Decision, step, before int, change func(*journal.Run)) journal.Run {
		r := journal.Run{Rule: "r", Action: fmt.Sprint("a", step), State: state, Step: step, Before: make([]journal.StepResult, before), Alert: journal.Subject{Fingerprint: "f"}, Applied: journaltest.Noon()}
		if change != nil {
			change(&r)
		}
		return r
	}
	unapplied := func(r *journal.Run) { r.Applied = time.Time{} }
	for name, c := range map[string]struct {
		before, now journal.Run
		want        bool
	}{
		"the same":                       {run("queued", 0, 0, nil), run("queued", 0, 0, nil), true},
		"another rule":                   {run("queued", 0, 0, nil), run("queued", 0, 0, func(r *journal.Run) { r.Rule = "s" }), false},
		"another alert":                  {run("queued", 0, 0, nil), run("queued", 0, 0, func(r *journal.Run) { r.Alert.Fingerprint = "g" }), false},
		"a step back":                    {run("queued", 1, 1, nil), run("queued", 0, 1, nil), false},
		"a step back, with another end":  {run("queued", 1, 1, nil), run("queued", 0, 2, nil), false},
		"an end is missing":              {run("queued", 1, 1, nil), run("queued", 1, 0, nil), false},
		"an end is missing a step later": {run("queued", 1, 1, nil), run("queued", 2, 0, nil), false},
		"the next step":                  {run("step_failed", 0, 0, nil), run("queued", 1, 1, nil), true},
		"the next step, never ended":     {run("running", 0, 0, nil), run("queued", 1, 0, nil), false},
		"the next step, ended":           {run("running", 0, 0, nil), run("queued", 1, 1, nil), true},
		"the next step, not begun":       {run("queued", 0, 0, nil), run("queued", 1, 0, nil), true},
		"another action":                 {run("queued", 0, 0, nil), run("queued", 0, 0, func(r *journal.Run) { r.Action = "b" }), false},
		"it acts and is checked":         {run("running", 0, 0, nil), run("verifying", 0, 0, nil), true},
		"it acts and has ended":          {run("running", 0, 0, nil), run("verified", 0, 0, nil), true},
		"it acts and waits":              {run("running", 0, 0, nil), run("queued", 0, 0, nil), false},
		"it acts, then never did":        {run("running", 0, 0, nil), run("verified", 0, 0, unapplied), false},
		"it is checked, then never did":  {run("verifying", 0, 0, nil), run("running", 0, 0, unapplied), false},
		"it waits, then acts":            {run("queued", 0, 0, unapplied), run("running", 0, 0, nil), true},
	} {
		if got := c.now.Follows(&c.before); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What is kept of an alert: labels whose names and values are short, in their order.
func TestSubjectOf(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	a := action.Alert{StartsAt: journaltest.Noon(), Fingerprint: text(65), Labels: map[string]string{"alertname": "Leak", text(64): "a", text(65): "b", "v": text(action.MaxValue), "w": text(action.MaxValue + 1)}}
	s := journal.SubjectOf(a)
	if s.Name != "Leak" || len(s.Fingerprint) > 64+len("…") || len(s.Labels) != 3 || s.Labels[text(64)] != "a" || s.Labels["v"] == "" || !s.StartsAt.Equal(a.StartsAt) {
		t.Errorf("%+v", s)
	}
	back := s.Alert()
	if back.Fingerprint != s.Fingerprint || !back.StartsAt.Equal(s.StartsAt) || len(back.Labels) != 3 {
		t.Errorf("%+v", back)
	}
	a.Labels = keys(40, "x")
	if s := journal.SubjectOf(a); len(s.Labels) != 32 || s.Labels["k0"] != "x" || s.Labels["k9"] != "" {
		t.Errorf("%d labels of 40: %v", len(s.Labels), s.Labels)
	}
	seen := make(map[string]bool)
	for range 50 {
		id := journal.NewRunID()
		if seen[id] || len(id) != 14 || id[:2] != "r-" || strings.ToLower(id) != id {
			t.Errorf("id %q", id)
		}
		seen[id] = true
	}
	one := journal.Subject{Fingerprint: "f", StartsAt: journaltest.Noon()}
	later := journal.Subject{Fingerprint: "f", StartsAt: journaltest.Noon().Add(1)}
	other := journal.Subject{Fingerprint: "g", StartsAt: journaltest.Noon()}
	set := map[string]bool{one.DedupKey("r", "k"): true, later.DedupKey("r", "k"): true, other.DedupKey("r", "k"): true, one.DedupKey("s", "k"): true, one.DedupKey("r", "l"): true}
	if len(set) != 5 || !set[one.DedupKey("r", "k")] || len(one.DedupKey("r", "k")) != 32 {
		t.Errorf("keys of duplicates: %v", set)
	}
}

func TestTooDeep(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		strings.Repeat("[", 64):  false,
		strings.Repeat("[", 65):  true,
		strings.Repeat("{", 65):  true,
		strings.Repeat("[]", 99): false, strings.Repeat("{}", 99): false,
		`"` + strings.Repeat("[", 99) + `"`:   false,
		`"\"` + strings.Repeat("[", 99) + `"`: false,
		`"\\"` + strings.Repeat("[", 65):      true,
		`"a"` + strings.Repeat(`{"x":`, 65):   true,
	} {
		if got := journal.TooDeep([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// A pause ends; one that says too much, or nothing, is bounded.
func TestPause(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), journaltest.Noon()
	s := openStore(t, dir)
	file := filepath.Join(dir, "pause.json")
	if p := s.Pause(now); p != nil || p.Active(now) {
		t.Errorf("without a file: %+v", p)
	}
	if err := s.SetPause(nil); err != nil {
		t.Errorf("removing none: %v", err)
	}
	for name, c := range map[string]struct {
		set, want journal.Pause
	}{
		"an hour":                {journal.Pause{Reason: "r", By: "b", Since: now, Until: now.Add(time.Hour)}, journal.Pause{Reason: "r", By: "b", Since: now, Until: now.Add(time.Hour)}},
		"30 days":                {journal.Pause{Since: now, Until: now.Add(720 * time.Hour)}, journal.Pause{Since: now, Until: now.Add(720 * time.Hour)}},
		"longer than 30 days":    {journal.Pause{Since: now, Until: now.Add(721 * time.Hour)}, journal.Pause{Since: now, Until: now.Add(720 * time.Hour)}},
		"it begins in an hour":   {journal.Pause{Since: now.Add(time.Hour), Until: now.Add(2 * time.Hour)}, journal.Pause{Since: now, Until: now.Add(2 * time.Hour)}},
		"it began and has ended": {journal.Pause{Since: now.Add(-2 * time.Hour), Until: now}, journal.Pause{Since: now.Add(-2 * time.Hour), Until: now}},
	} {
		if err := s.SetPause(&c.set); err != nil {
			t.Fatal(name, err)
		}
		p := s.Pause(now)
		if p == nil || p.Reason != c.want.Reason || p.By != c.want.By || !p.Since.Equal(c.want.Since) || !p.Until.Equal(c.want.Until) {
			t.Fatalf("%s: %+v, want %+v", name, p, c.want)
		}
		if p.Active(p.Until) || p.Active(now) != p.Until.After(now) || !p.Active(p.Until.Add(-1)) {
			t.Errorf("%s: active at the end %v, now %v", name, p.Active(p.Until), p.Active(now))
		}
	}
	for _, text := range []string{"", "{", "{}", `{"reason":"no end"}`, "[]", strings.Repeat(" ", 1<<20)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p := s.Pause(now); p == nil || !p.Since.Equal(now) || !p.Until.Equal(now.Add(time.Hour)) || p.Reason == "" || p.By == "" {
			t.Errorf("%.20q: %+v", text, p)
		}
	}
	long := journal.Pause{Reason: strings.Repeat("x", 9*action.MaxText), By: strings.Repeat("y", 2*action.MaxValue), Until: now.Add(time.Hour)}
	if b, err := json.Marshal(long); err != nil || os.WriteFile(file, b, 0o600) != nil {
		t.Fatal(err)
	}
	if p := s.Pause(now); p == nil || len(p.Reason) > action.MaxText+len("…") || len(p.By) > action.MaxValue+len("…") {
		t.Errorf("%+v", p)
	}
	if err := s.SetPause(nil); err != nil || s.Pause(now) != nil {
		t.Errorf("after its removal: %v, %+v", err, s.Pause(now))
	}
}

// Inspect counts broken lines of both files of the journal, and refuses other files.
func TestInspectCounts(t *testing.T) {
	t.Parallel()
	now := journaltest.Noon()
	good := string(journaltest.Lines(journaltest.RunLine("r-1", "queued", now, time.Time{})))
	for name, c := range map[string]struct {
		files map[string]string
		bad   int
		fails bool
	}{
		"empty":           {nil, 0, false},
		"good":            {map[string]string{"journal.jsonl": good, "journal.1.jsonl": good}, 0, false},
		"broken":          {map[string]string{"journal.jsonl": "x\n" + good + "y\n", "journal.1.jsonl": good + "z\n"}, 3, false},
		"lines elsewhere": {map[string]string{"lock": "x\ny\n", "pause.json": "x\ny\n"}, 0, false},
		"a long pause":    {map[string]string{"pause.json": strings.Repeat("x", 1<<20)}, 0, true},
		"a long journal":  {map[string]string{"journal.jsonl": strings.Repeat(good, 9000)}, 0, false},
	} {
		dir := t.TempDir()
		try(t, os.Chmod(dir, 0o700)) //nolint:gosec // a directory
		for name, text := range c.files {
			try(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		bad, err := journal.Inspect(dir, now)
		if bad != c.bad || (err != nil) != c.fails {
			t.Errorf("%s: %d broken, %v", name, bad, err)
		}
	}
	if bad, err := journal.Inspect(filepath.Join(t.TempDir(), "state"), now); bad != 0 || err != nil {
		t.Errorf("a directory that can be made: %d, %v", bad, err)
	}
	if _, err := journal.Inspect(filepath.Join(t.TempDir(), "a", "b"), now); err == nil {
		t.Error("a directory that cannot be made: no error")
	}
}
