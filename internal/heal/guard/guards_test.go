package guard_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/escalate"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// compiled returns the settings of the section after change.
func compiled(t *testing.T, change func(*config.Healing)) *guard.Settings {
	t.Helper()
	h := section()
	h.Breaker = config.Breaker{Failures: 3, Window: 10 * time.Minute, Hold: 20 * time.Minute}
	h.Budgets = config.Budgets{MaxRuns: 4, Per: time.Hour}
	if change != nil {
		change(&h)
	}
	set, err := guard.Compile(h, func(config.HealingStep) (action.Action, error) { return escalate.New(nil), nil })
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// after returns the time that long after noon.
func after(d time.Duration) time.Time { return journaltest.Noon().Add(d) }

// settled adds the end of a step of an action of a rule to guards.
func settled(g *guard.Guards, d journal.Decision, at time.Time) {
	g.Settled(journal.Run{Rule: "leaked", Action: config.ActionKillLeaked, Alert: journal.Subject{Fingerprint: "f3"}}, d, d == journal.DecisionVerified, at)
}

// An action on a key is allowed again after the longest cooldown of the rules with the action.
func TestCooldown(t *testing.T) {
	t.Parallel()
	set := compiled(t, func(h *config.Healing) {
		long := h.Rules[0]
		long.Name, long.Cooldown, long.Steps = "long", 7*time.Minute, long.Steps[:1]
		h.Rules = append(h.Rules, long)
	})
	g := guard.NewGuards()
	g.Began(set, poolKey, after(0))
	recycleKey := config.ActionRecycle + "/app:shop/workers"
	g.Began(set, recycleKey, after(0))
	for _, c := range []struct {
		key    string
		action string
		at     time.Duration
		want   journal.Decision
	}{
		{poolKey, config.ActionKillLeaked, 0, journal.DecisionCooldown},
		{poolKey, config.ActionKillLeaked, 7*time.Minute - 1, journal.DecisionCooldown},
		{poolKey, config.ActionKillLeaked, 7 * time.Minute, ""},
		{recycleKey, config.ActionRecycle, 5*time.Minute - 1, journal.DecisionCooldown},
		{recycleKey, config.ActionRecycle, 5 * time.Minute, ""},
		{config.ActionKillLeaked + "/app:shop/pool:other", config.ActionKillLeaked, 0, ""},
	} {
		got, why := g.Check(set, c.action, c.key, after(c.at))
		if got != c.want || (why == "") != (got == "") {
			t.Errorf("%s after %s: %q, %q", c.key, c.at, got, why)
		}
	}
	g.Escalated("escalate/:leaked", after(0))
	if got, _ := g.Check(set, config.ActionEscalate, "escalate/:leaked", after(time.Minute)); got != journal.DecisionCooldown {
		t.Errorf("after a call for a person: %q", got)
	}
}

// A breaker opens for its hold time at the number of failures within its window, and a
// success closes it.
func TestBreaker(t *testing.T) {
	t.Parallel()
	set := compiled(t, nil)
	check := func(g *guard.Guards, at time.Time) bool {
		t.Helper()
		got, _ := g.Check(set, config.ActionKillLeaked, poolKey, at)
		open := g.OpenBreakers(set, at)
		if (got == journal.DecisionBreaker) != slices.Equal(open, []string{config.ActionKillLeaked}) || got != journal.DecisionBreaker && len(open) > 0 {
			t.Errorf("%q, open are %v", got, open)
		}
		if other, _ := g.Check(set, config.ActionRecycle, "x/y", at); other != "" {
			t.Errorf("another action: %q", other)
		}
		return got == journal.DecisionBreaker
	}
	for name, c := range map[string]struct {
		failures []time.Duration
		at       time.Duration
		open     bool
	}{
		"none":                       {nil, 0, false},
		"two of three":               {[]time.Duration{0, time.Minute}, 2 * time.Minute, false},
		"three":                      {[]time.Duration{0, time.Minute, 2 * time.Minute}, 2 * time.Minute, true},
		"three at once":              {[]time.Duration{0, 0, 0}, 0, true},
		"three within the window":    {[]time.Duration{0, time.Minute, 10 * time.Minute}, 11 * time.Minute, true},
		"three, of which one is old": {[]time.Duration{0, time.Minute, 10*time.Minute + 1}, 11 * time.Minute, false},
		"the last three of four":     {[]time.Duration{0, 15 * time.Minute, 16 * time.Minute, 17 * time.Minute}, 18 * time.Minute, true},
		"until the end":              {[]time.Duration{0, 0, 0}, 20*time.Minute - 1, true},
		"no longer":                  {[]time.Duration{0, 0, 0}, 20 * time.Minute, false},
		"over the window, and held":  {[]time.Duration{0, time.Minute, 9 * time.Minute}, 29*time.Minute - 1, true},
		"over the window, and ended": {[]time.Duration{0, time.Minute, 9 * time.Minute}, 29 * time.Minute, false},
		"one more, long after it":    {[]time.Duration{0, 0, 0, 30 * time.Minute}, 31 * time.Minute, false},
	} {
		g := guard.NewGuards()
		for _, f := range c.failures {
			settled(g, journal.DecisionFailed, after(f))
		}
		if got := check(g, after(c.at)); got != c.open {
			t.Errorf("%s: open %v", name, got)
		}
		settled(g, journal.DecisionRefused, after(c.at))
		if got := check(g, after(c.at)); got != c.open {
			t.Errorf("%s, and a refusal: open %v", name, got)
		}
		settled(g, journal.DecisionVerified, after(c.at))
		if check(g, after(c.at)) {
			t.Errorf("%s, and a success: open", name)
		}
	}
}

// The budget counts the acts of all actions within its time.
func TestBudget(t *testing.T) {
	t.Parallel()
	set := compiled(t, nil)
	g := guard.NewGuards()
	for i := range 4 {
		if got, _ := g.Check(set, "a", "a/new", after(time.Duration(i)*time.Minute)); got != "" {
			t.Errorf("after %d acts: %q", i, got)
		}
		g.Began(set, fmt.Sprint("x/", i), after(time.Duration(i)*time.Minute))
	}
	for at, want := range map[time.Duration]journal.Decision{3 * time.Minute: journal.DecisionBudget, time.Hour - 1: journal.DecisionBudget} {
		if got, why := g.Check(set, "a", "a/new", after(at)); got != want || why == "" {
			t.Errorf("after %s: %q", at, got)
		}
	}
	if got, _ := g.Check(set, "a", "a/new", after(time.Hour)); got != "" {
		t.Errorf("an hour after the first: %q", got)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	g := guard.NewGuards()
	g.Accepted("k", "leaked", after(time.Minute), after(0))
	g.Accepted("l", "leaked", after(time.Hour), after(0))
	for at, want := range map[time.Duration]bool{0: true, time.Minute - 1: true, time.Minute: false} {
		if got := g.IsDuplicate("k", after(at)); got != want {
			t.Errorf("after %s: %v", at, got)
		}
	}
	if g.IsDuplicate("other", after(0)) || g.DedupSize() != 2 {
		t.Errorf("%d are known", g.DedupSize())
	}
	g.Prune(after(time.Minute))
	if g.DedupSize() != 1 || !g.IsDuplicate("l", after(time.Minute)) {
		t.Errorf("%d are known after the first one's time", g.DedupSize())
	}
}

// Dry-run makes 60 plans an hour for one rule.
func TestPlansLeft(t *testing.T) {
	t.Parallel()
	g := guard.NewGuards()
	if got := g.PlansLeft("leaked", after(0)); got != guard.MaxPlans {
		t.Errorf("%d at the start", got)
	}
	for i := range 100 {
		g.Accepted(fmt.Sprint(i), "leaked", after(time.Hour), after(time.Duration(i)*time.Second))
	}
	for at, want := range map[time.Duration]int{100 * time.Second: 0, time.Hour + 39*time.Second: 0} {
		if got := g.PlansLeft("leaked", after(at)); got != want {
			t.Errorf("after %s: %d left, want %d", at, got, want)
		}
	}
	if got := g.PlansLeft("leaked", after(time.Hour+41*time.Second)); got != 2 { // the newest 60 are kept
		t.Errorf("when two are an hour old: %d left", got)
	}
	if got := g.PlansLeft("other", after(100*time.Second)); got != guard.MaxPlans {
		t.Errorf("%d of another rule", got)
	}
}

// A rule needs a person for each of its alerts, until that is resolved, a step for it is
// verified, or the rule is gone.
func TestRulesInNeed(t *testing.T) {
	t.Parallel()
	set := compiled(t, nil)
	g := guard.NewGuards()
	g.NeedPerson("leaked", "f1")
	g.NeedPerson("gone", "f2")
	if got := g.RulesInNeed(); !slices.Equal(got, []string{"gone", "leaked"}) {
		t.Errorf("%v", got)
	}
	if g.Resolved("leaked", "f2") || g.Resolved("other", "f1") || g.Resolved("other", "") {
		t.Error("resolved by another alert")
	}
	g.KeepRules(set)
	if got := g.RulesInNeed(); !slices.Equal(got, []string{"leaked"}) {
		t.Errorf("%v, after a reload", got)
	}
	if !g.Resolved("leaked", "f1") || g.Resolved("leaked", "f1") || len(g.RulesInNeed()) != 0 {
		t.Errorf("%v, after it was resolved", g.RulesInNeed())
	}
	g.NeedPerson("leaked", "f3")
	settled(g, journal.DecisionFailed, after(0))
	if len(g.RulesInNeed()) != 1 {
		t.Error("a failure needs nobody")
	}
	g.NeedPerson("leaked", "f4")
	settled(g, journal.DecisionVerified, after(0)) // for f3
	if len(g.RulesInNeed()) != 1 {
		t.Error("the success for one app ends the call for another")
	}
	if !g.Resolved("leaked", "f4") || g.Resolved("leaked", "f3") || len(g.RulesInNeed()) != 0 {
		t.Error("somebody is needed after a success")
	}
	for i := range 2000 {
		g.NeedPerson("leaked", strconv.Itoa(i))
	}
	for i := range 2000 {
		g.Resolved("leaked", strconv.Itoa(i))
	}
	if len(g.RulesInNeed()) != 0 {
		t.Error("more alerts than are kept leave a call behind")
	}
}

// The earlier acts on a target are listed by action, in order, each once.
func TestActsOf(t *testing.T) {
	t.Parallel()
	g := guard.NewGuards()
	for _, at := range []time.Duration{2 * time.Minute, 0, time.Minute, 0} {
		g.Did(poolKey, after(at))
	}
	g.Did(config.ActionRecycle+"/app:shop/workers", after(0))
	got := g.ActsOf(config.ActionKillLeaked)
	if len(got) != 1 || !slices.EqualFunc(got["app:shop/pool:main"], []time.Duration{0, time.Minute, 2 * time.Minute}, func(a time.Time, d time.Duration) bool { return a.Equal(after(d)) }) {
		t.Errorf("%v", got)
	}
	for i := range 2 * journal.MaxActs {
		g.Did(poolKey, after(time.Hour+time.Duration(i)*time.Second))
	}
	list := g.ActsOf(config.ActionKillLeaked)["app:shop/pool:main"]
	if len(list) != journal.MaxActs || !list[len(list)-1].Equal(after(time.Hour+time.Duration(2*journal.MaxActs-1)*time.Second)) {
		t.Errorf("%d acts, the last at %v", len(list), list[len(list)-1])
	}
}

// The state at the beginning of a journal restores the guards that are still in force.
func TestEntriesRestore(t *testing.T) {
	t.Parallel()
	set := compiled(t, nil)
	g := guard.NewGuards()
	for i := range 2000 { // more than one line holds
		g.Accepted(fmt.Sprintf("key-%d", i), "leaked", after(time.Minute), after(0))
	}
	g.Accepted("over", "leaked", after(-1), after(-time.Hour))
	g.Began(set, poolKey, after(0))
	g.Did(poolKey, after(0))
	g.Did("old/x", after(-3*time.Hour))
	for range 3 {
		settled(g, journal.DecisionFailed, after(0))
	}
	g.NeedPerson("leaked", "f1")
	entries := g.Entries(set, after(0))
	if len(entries) < 2 {
		t.Errorf("%d lines", len(entries))
	}
	for i, e := range entries {
		if e.Guards.Part != i+1 || e.Guards.Parts != len(entries) || e.Decision != journal.DecisionCarried || !e.At.Equal(after(0)) {
			t.Errorf("line %d: part %d of %d, %s", i, e.Guards.Part, e.Guards.Parts, e.Decision)
		}
		if n := len(journaltest.Lines(e)); n > journal.LineSize {
			t.Errorf("line %d has %d bytes", i, n)
		}
	}
	p, err := guard.Recall(section(), after(0), [2][]byte{nil, journaltest.Lines(entries...)})
	if err != nil || p.Bad != 0 || len(p.Known) != 2000 || p.Spent != 1 || p.Failures[config.ActionKillLeaked] != 1 || !slices.Equal(p.Human, []string{"leaked"}) || !p.Last[poolKey].Equal(after(0)) {
		t.Errorf("%d known, spent %d, failures %v, human %v, last %v, %d bad, %v", len(p.Known), p.Spent, p.Failures, p.Human, p.Last[poolKey], p.Bad, err)
	}
}

// The state at the beginning of a journal has only what is still in force.
func TestEntriesKeep(t *testing.T) {
	t.Parallel()
	set := compiled(t, func(h *config.Healing) { h.Rules[0].Cooldown = 10 * 24 * time.Hour })
	day := 24 * time.Hour
	g := guard.NewGuards()
	for key, at := range map[string]time.Duration{
		config.ActionKillLeaked + "/in cooldown": -8 * day, config.ActionKillLeaked + "/long past": -10 * day,
		"other/within a week": -7*day + 1, "other/a week ago": -7 * day,
	} {
		g.Escalated(key, after(at))
	}
	for key, at := range map[string]time.Duration{"a/two hours ago": -2 * time.Hour, "a/longer ago": -2*time.Hour - 1} {
		g.Did(key, after(at-time.Minute))
		g.Did(key, after(at))
	}
	g.Began(set, "b/a day ago", after(-day))
	g.Began(set, "b/within a day", after(-day+1))
	var last, acts []string
	applied := 0
	for _, e := range g.Entries(set, after(0)) {
		last = slices.AppendSeq(last, maps.Keys(e.Guards.Last))
		acts = slices.AppendSeq(acts, maps.Keys(e.Guards.Acts))
		applied += len(e.Guards.Applied)
	}
	slices.Sort(last)
	want := []string{"b/a day ago", "b/within a day", config.ActionKillLeaked + "/in cooldown", "other/within a week"}
	if !slices.Equal(last, want) || !slices.Equal(acts, []string{"a/two hours ago"}) || applied != 1 {
		t.Errorf("last %q, acts %q, %d applied", last, acts, applied)
	}
}

// A rule is found by all of its labels; one without any matches nothing.
func TestRuleFor(t *testing.T) {
	t.Parallel()
	set := compiled(t, func(h *config.Healing) {
		none, both := h.Rules[0], h.Rules[0]
		none.Name, none.Match = "none", nil
		both.Name, both.Match = "both", map[string]string{"alertname": "RespPoolLeak", "app": "shop"}
		h.Rules = []config.HealingRule{none, both, h.Rules[0]}
	})
	for _, c := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"alertname": "RespPoolLeak", "app": "shop"}, "both"},
		{map[string]string{"alertname": "RespPoolLeak", "app": "till"}, "leaked"},
		{map[string]string{"app": "shop"}, ""},
		{nil, ""},
	} {
		got := ""
		if r := set.RuleFor(action.Alert{Labels: c.labels}); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.labels, got, c.want)
		}
	}
	if set.RuleNamed("both") != set.Rules[1] || set.RuleNamed("other") != nil {
		t.Error("a rule has another name")
	}
	if got := set.Rules[0].Escalation(); got != 2 {
		t.Errorf("escalate is step %d", got)
	}
	if got := set.Rules[0].DedupWindow(); got != 7*time.Minute {
		t.Errorf("an alert is a duplicate for %s", got)
	}
}

func TestUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules int
		token string
		want  bool
	}{{1, "", true}, {0, "/run/token", true}, {0, "", false}} {
		set := compiled(t, func(h *config.Healing) { h.Rules, h.TokenFile = h.Rules[:c.rules], c.token })
		if set.Used() != c.want {
			t.Errorf("%+v: %v", c, set.Used())
		}
	}
}

// A section with an unreadable pattern or step has no settings.
func TestCompileFails(t *testing.T) {
	t.Parallel()
	failing := errors.New("no such step")
	if _, err := guard.Compile(section(), func(config.HealingStep) (action.Action, error) { return nil, failing }); !errors.Is(err, failing) {
		t.Errorf("%v", err)
	}
	h := section()
	h.Rules[0].Match = map[string]string{"alertname": "~["}
	if _, err := guard.Compile(h, func(config.HealingStep) (action.Action, error) { return nil, nil }); err == nil {
		t.Error("a pattern that is none")
	}
}

func TestTargetKey(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"app:shop": "a/app:shop", "url": "a/url:r", "command": "a/command:r", "": "a/:r"} {
		if got := guard.TargetKey("r", "a", target); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
}
