package guard_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

const poolKey = config.ActionKillLeaked + "/app:shop/pool:main"

// Each broken line is counted, and no run is resumed from it.
func TestBrokenLines(t *testing.T) {
	for name, text := range journaltest.BrokenLines() {
		t.Run(name, func(t *testing.T) {
			p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, []byte(text)})
			if err != nil || p.Bad != 1 || p.Runs != 0 {
				t.Errorf("%d bad, %d runs, %v", p.Bad, p.Runs, err)
			}
		})
	}
}

// An act in a broken line counts for the cooldown of its target, and a run that waited is
// not started if a later line is broken.
func TestBrokenLineAddsGuards(t *testing.T) {
	ago := journaltest.Noon().Add(-time.Minute)
	queued, acts, done := journaltest.RunLine("r-1", "queued", ago, time.Time{}), journaltest.RunLine("r-1", "running", ago, ago), journaltest.RunLine("r-1", "verified", ago, ago)
	lines := func(parts ...any) (out []byte) {
		for _, p := range parts {
			switch p := p.(type) {
			case journal.Entry:
				out = append(out, journaltest.Lines(p)...)
			case string:
				out = append(out, p...)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		journal []byte
		last    time.Time // of the target
		waiting int
		begun   int
		bad     int
	}{
		"a run that waits":                {lines(queued), time.Time{}, 1, 0, 0},
		"its next line is broken":         {lines(queued, journaltest.Broken(acts, `"step":0`, `"step":-1`)), journaltest.Noon(), 0, 0, 1},
		"its next line is rubbish":        {lines(queued, "\x00\x00\n"), journaltest.Noon(), 0, 0, 1},
		"rubbish came before":             {lines("\x00\x00\n", queued), time.Time{}, 1, 0, 1},
		"it acts":                         {lines(queued, acts), ago, 0, 1, 0},
		"it acts, and rubbish":            {lines(queued, acts, "x\n"), ago, 0, 1, 1},
		"it ended, and is told again":     {lines(queued, acts, done, queued), ago, 0, 0, 1},
		"it ended twice":                  {lines(queued, acts, done, journaltest.RunLine("r-1", "failed", ago, ago)), ago, 0, 0, 1},
		"it acts, and waits again":        {lines(queued, acts, queued), ago, 0, 1, 1},
		"it is another one's":             {lines(acts, strings.ReplaceAll(string(lines(done)), `"leaked"`, `"other"`)), ago, 0, 1, 1},
		"only a broken line tells":        {lines(journaltest.Broken(acts, `"step":0`, `"step":-1`)), ago, 0, 0, 1},
		"the future":                      {lines(journaltest.RunLine("r-1", "verified", journaltest.Noon().Add(900*time.Hour), journaltest.Noon().Add(900*time.Hour))), journaltest.Noon(), 0, 0, 0},
		"the future in a broken line":     {lines(journaltest.Broken(journaltest.RunLine("r-1", "verified", journaltest.Noon(), journaltest.Noon().Add(900*time.Hour)), `"step":0`, `"step":-1`)), journaltest.Noon(), 0, 0, 1},
		"the year 1":                      {lines(journaltest.RunLine("r-1", "verified", time.Time{}.Add(time.Hour), time.Time{}.Add(time.Hour))), time.Time{}.Add(time.Hour), 0, 0, 0},
		"it acts and does not say since":  {lines(journaltest.RunLine("r-1", "running", ago, time.Time{})), ago, 0, 1, 0},
		"a run of a rule that is no more": {lines(strings.ReplaceAll(string(lines(queued)), `"leaked"`, `"gone"`)), time.Time{}, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, c.journal})
			if err != nil || !p.Last[poolKey].Equal(c.last) || len(p.Waiting) != c.waiting || len(p.Begun) != c.begun || p.Bad != c.bad {
				t.Errorf("last %v, waiting %v, begun %v, bad %d, %v; want %+v", p.Last[poolKey], p.Waiting, p.Begun, p.Bad, err, c)
			}
		})
	}
}

// A step that was interrupted counts as one that acted, though no victim is known: as the
// current step of a run, as an earlier one, and in the journal of an old version, in
// which the beginning of the reason shows it.
func TestInterruptedStepCounts(t *testing.T) {
	t.Parallel()
	const oldReason = "the exporter ended in the middle of it; the step was not repeated; no improvement within 1m0s"
	ago := journaltest.Noon().Add(-time.Minute)
	for name, c := range map[string]struct {
		change func(*journal.StepResult)
		want   int
	}{
		"it failed":           {func(*journal.StepResult) {}, 0},
		"interrupted":         {func(s *journal.StepResult) { s.Interrupted = true }, 1},
		"of an old version":   {func(s *journal.StepResult) { s.Reason = oldReason }, 1},
		"another old reason":  {func(s *journal.StepResult) { s.Reason = "it failed: " + oldReason }, 0},
		"a victim, and ended": {func(s *journal.StepResult) { s.Done = 1 }, 1},
	} {
		step := journal.StepResult{Action: config.ActionKillLeaked, Target: "app:shop/pool:main", Result: journal.DecisionFailed, Applied: ago, Ended: ago}
		c.change(&step)
		current := journaltest.RunLine("r-1", "failed", ago, ago)
		current.Run.Interrupted, current.Run.Reason, current.Run.Done = step.Interrupted, step.Reason, step.Done
		earlier := journaltest.RunLine("r-1", "escalated", ago, time.Time{})
		earlier.Run.Step, earlier.Run.Action, earlier.Run.Before = 2, config.ActionEscalate, []journal.StepResult{step}
		for place, line := range map[string]journal.Entry{"current": current, "earlier": earlier} {
			p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(line)})
			if err != nil || p.Bad != 0 || p.Acts[poolKey] != c.want || p.Spent != 1 {
				t.Errorf("%s, %s step: acts %v, %d spent, %d bad, %v; want %d acts", name, place, p.Acts, p.Spent, p.Bad, err, c.want)
			}
		}
	}
}

// A step that was refused when it was applied, or could not be done here, is no failure:
// neither for the breaker nor of the action for the cause, also after a restart.
func TestNothingDoneIsNoFailure(t *testing.T) {
	t.Parallel()
	ago := journaltest.Noon().Add(-time.Minute)
	for d, want := range map[journal.Decision]int{journal.DecisionRefused: 0, journal.DecisionUnavailable: 0, journal.DecisionFailed: 1} {
		g := guard.NewGuards()
		for i := range 3 {
			settled(g, d, after(time.Duration(i)*time.Second))
		}
		row, open := g.FailedInRow(config.ActionKillLeaked, journal.Subject{}.Cause()), g.OpenBreakers(compiled(t, nil), after(time.Minute))
		if row != 3*want || len(open) != want {
			t.Errorf("%s: %d in a row, open are %v", d, row, open)
		}
		earlier := journaltest.RunLine("r-1", "escalated", ago, time.Time{})
		earlier.Run.Step, earlier.Run.Action = 2, config.ActionEscalate
		earlier.Run.Before = []journal.StepResult{{Action: config.ActionKillLeaked, Target: "app:shop/pool:main", Result: d, Applied: ago, Ended: ago}}
		for place, line := range map[string]journal.Entry{"current": journaltest.RunLine("r-1", d, ago, ago), "earlier": earlier} {
			p, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(line)})
			if err != nil || p.Bad != 0 || len(p.Failures) != want || p.InRow != want || p.Spent != 1 {
				t.Errorf("%s, %s step: failures %v, %d in a row, %d spent, %d bad, %v", d, place, p.Failures, p.InRow, p.Spent, p.Bad, err)
			}
		}
	}
}

// FuzzRecall: any two files are read to their end within limits, and broken lines allow
// nothing that the other lines forbid.
func FuzzRecall(f *testing.F) {
	ago := journaltest.Noon().Add(-time.Minute)
	queued, acts, done := journaltest.RunLine("r-1", "queued", ago, time.Time{}), journaltest.RunLine("r-1", "running", ago, ago), journaltest.RunLine("r-1", "failed", ago, ago)
	head := `{"at":"2026-03-04T11:00:00Z","decision":"carried","guards":{"part":1,"parts":1,"open":1,"last":{"x/y":"2026-03-04T11:59:00Z"},` +
		`"applied":["2026-03-04T11:59:00Z"],"failures":{"x":["2026-03-04T11:59:00Z"]},"calls":{"leaked":["f"]},"known":{"00":"2026-03-04T12:05:00Z"}}}` + "\n"
	f.Add(journaltest.Lines(queued, acts), []byte(head+string(journaltest.Lines(queued))))
	f.Add(journaltest.Lines(queued, acts, done), append([]byte("x\n"), journaltest.Lines(journaltest.RunLine("r-2", "escalated", ago, ago))...))
	f.Add(journaltest.Lines(queued), []byte(strings.Replace(head, `"open":1`, `"open":0`, 1)+journaltest.Broken(acts, `"step":0`, `"step":-1`)))
	f.Add([]byte(nil), bytes.Repeat(journaltest.Lines(queued, done), 3))
	f.Fuzz(func(t *testing.T, older, current []byte) {
		all, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{older, current})
		if err != nil {
			t.Fatal(err)
		}
		good, err := guard.Recall(section(), journaltest.Noon(), all.Good)
		if err != nil {
			t.Fatal(err)
		}
		if all.Runs > 4096 || len(all.Waiting) > 1000 || len(all.Known) > 10_000 || all.Spent > 2000 {
			t.Errorf("%d runs, %d wait, %d known, %d spent", all.Runs, len(all.Waiting), len(all.Known), all.Spent)
		}
		for key, at := range good.Last {
			if all.Last[key].Before(at) || all.Last[key].After(journaltest.Noon()) {
				t.Errorf("%s was acted on at %v, and with broken lines at %v", key, at, all.Last[key])
			}
		}
		for known, until := range good.Known {
			if all.Known[known].Before(until) {
				t.Errorf("%s is known until %v, and with broken lines until %v", known, until, all.Known[known])
			}
		}
		for action, n := range good.Failures {
			if all.Failures[action] < n {
				t.Errorf("%s failed %d times, and with broken lines %d", action, n, all.Failures[action])
			}
		}
		for _, rule := range good.Human {
			if !slices.Contains(all.Human, rule) {
				t.Errorf("%s calls for nobody with broken lines", rule)
			}
		}
		for _, id := range all.Waiting {
			if !slices.Contains(good.Waiting, id) {
				t.Errorf("%s goes on only with broken lines", id)
			}
		}
		if all.Spent < good.Spent {
			t.Errorf("%d acts, and with broken lines %d", good.Spent, all.Spent)
		}
	})
}

// All runs are kept up to the limit; above it the oldest that have ended are dropped until
// half of the limit is left.
func TestRunsAreBounded(t *testing.T) {
	ago := journaltest.Noon().Add(-time.Minute)
	for n, want := range map[int]int{100: 100, 4096: 4096, 4097: 2048} {
		lines := make([]journal.Entry, n)
		for i := range lines {
			lines[i] = journaltest.RunLine(fmt.Sprintf("r-%d", i), "failed", ago, ago)
		}
		past, err := guard.Recall(section(), journaltest.Noon(), [2][]byte{nil, journaltest.Lines(lines...)})
		if err != nil || past.Runs != want || past.Bad != 0 {
			t.Errorf("of %d runs %d are kept, want %d; %d broken, %v", n, past.Runs, want, past.Bad, err)
		}
	}
}

// section is a configuration with one rule.
func section() config.Healing {
	h := config.Default().Healing
	h.Mode, h.TokenFile, h.Warmup = config.HealEnforce, "/run/token", 0
	h.Rules = []config.HealingRule{{
		Name: "leaked", Match: map[string]string{"alertname": "RespPoolLeak"}, Cooldown: 5 * time.Minute,
		Steps: []config.HealingStep{config.NewHealingStep(config.ActionKillLeaked), config.NewHealingStep(config.ActionRecycle), config.NewHealingStep(config.ActionEscalate)},
	}}
	return h
}
