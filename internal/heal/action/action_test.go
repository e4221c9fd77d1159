package action_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// plan returns a plan with victims of these ids.
func plan(ids ...string) action.Plan {
	p := action.Plan{Action: "a", Target: "t", Scope: "s", Total: len(ids)}
	for _, id := range ids {
		p.Victims = append(p.Victims, action.Victim{Kind: "worker", ID: id, Identity: id + ":1"})
	}
	return p
}

// The ID of a plan changes with everything that an approval covers, and with nothing else.
func TestSetID(t *testing.T) {
	t.Parallel()
	step := config.NewHealingStep(config.ActionRecycle)
	id := func(p action.Plan, step config.HealingStep) string {
		p.SetID(step)
		return p.ID
	}
	first := id(plan("1", "2"), step)
	if len(first) != 16 || strings.Trim(first, "0123456789abcdef") != "" {
		t.Errorf("id %q", first)
	}
	same := plan("2", "1")
	same.Summary, same.Measure, same.Cleared, same.Victims[0].Info = "other words", 7, true, map[string]string{"age": "3"}
	if got := id(same, step); got != first {
		t.Error("another order, number or sentence is another plan")
	}
	otherStep := step
	otherStep.Timeout++
	for name, got := range map[string]string{
		"other settings": id(plan("1", "2"), otherStep),
		"another victim": id(plan("1", "3"), step),
		"one less":       id(plan("1"), step),
		"an identity":    id(func() action.Plan { p := plan("1", "2"); p.Victims[1].Identity = "2:2"; return p }(), step),
		"a kind":         id(func() action.Plan { p := plan("1", "2"); p.Victims[1].Kind = "process"; return p }(), step),
		"the total":      id(func() action.Plan { p := plan("1", "2"); p.Total = 3; return p }(), step),
		"the action":     id(func() action.Plan { p := plan("1", "2"); p.Action = "b"; return p }(), step),
		"the target":     id(func() action.Plan { p := plan("1", "2"); p.Target = "u"; return p }(), step),
		"the scope":      id(func() action.Plan { p := plan("1", "2"); p.Scope = "r"; return p }(), step),
	} {
		if got == first {
			t.Errorf("%s: the same id", name)
		}
	}
}

// The digest of a list depends on its elements, not only on their joined text.
func TestDigest(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, parts := range [][]string{{"a", "b"}, {"ab"}, {"a", "b", ""}, {"b", "a"}, {}, {""}} {
		d := action.Digest(parts...)
		if len(d) != 16 || seen[d] != "" {
			t.Errorf("%q: %q, as of %s", parts, d, seen[d])
		}
		if again := action.Digest(parts...); again != d {
			t.Errorf("%q: %q, then %q", parts, d, again)
		}
		seen[d] = fmt.Sprintf("%q", parts)
	}
}

// A plan in the journal is shortened, and the plan itself does not change.
func TestBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1000)
	p := action.Plan{Action: long, Target: long, Summary: long, Refused: action.Refusal{Code: action.CodeOverFraction, Reason: long}, Total: 150, Measure: 3, Private: 1}
	for i := range 150 {
		v := action.Victim{Kind: long, ID: long, Identity: long, Info: make(map[string]string)}
		for k := range 20 {
			v.Info[fmt.Sprintf("%02d%s", k, long)] = long
		}
		if i == 0 {
			v = action.Victim{Kind: "worker", ID: "7", Identity: "7:8", Info: map[string]string{"pid": "7"}}
		}
		p.Victims = append(p.Victims, v)
	}
	b := p.Bounded()
	if len(b.Victims) != action.MaxVictims || b.Total != 150 || b.Measure != 3 || len(p.Victims) != 150 || p.Action != long || len(p.Victims[1].Info) != 20 {
		t.Errorf("%d victims of %d", len(b.Victims), b.Total)
	}
	if v := b.Victims[0]; v.Kind != "worker" || v.ID != "7" || v.Identity != "7:8" || v.Info["pid"] != "7" {
		t.Errorf("a short victim became %+v", v)
	}
	v := b.Victims[1]
	for name, c := range map[string]struct {
		text string
		max  int
	}{
		"action": {b.Action, 64}, "target": {b.Target, action.MaxValue}, "summary": {b.Summary, action.MaxText}, "refused": {b.Refused.Reason, action.MaxText},
		"kind": {v.Kind, 32}, "id": {v.ID, 64}, "identity": {v.Identity, 64},
	} {
		if len(c.text) > c.max+len("…") || len(c.text) < c.max/2 || !utf8.ValidString(c.text) {
			t.Errorf("%s has %d bytes of at most %d", name, len(c.text), c.max)
		}
	}
	if len(v.Info) != 12 {
		t.Errorf("%d values", len(v.Info))
	}
	for k, text := range v.Info {
		if len(k) > 32+len("…") || len(text) > 100+len("…") || k[:2] > "11" {
			t.Errorf("%s: %d bytes", k, len(text))
		}
	}
}

func TestTargetName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ label, setting, want string }{
		{"shop", "", "shop"}, {"shop", "till", "till"}, {"", "till", "till"}, {"", "", "?"}, {"a b", "", "?"}, {"$(id)", "", "?"},
		{strings.Repeat("x", 128), "", strings.Repeat("x", 128)}, {strings.Repeat("x", 129), "", "?"},
	} {
		if got := action.TargetName(action.Alert{Labels: map[string]string{"app": c.label, "other": "x"}}, "app", c.setting); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestNameFrom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label, setting, want string
		refused              action.Code
	}{{"shop", "", "shop", ""}, {"", "shop", "shop", ""}, {"shop", "shop", "shop", ""}, {"till", "shop", "", action.CodeLabelDiffers}, {"", "", "", ""}} {
		got, refused := action.NameFrom(action.Alert{Labels: map[string]string{"app": c.label}}, "app", c.setting)
		if got != c.want || refused.Code != c.refused {
			t.Errorf("%+v: %q, %q", c, got, refused)
		}
	}
}

func TestFindApp(t *testing.T) {
	t.Parallel()
	apps := []config.App{{}, {Name: "shop"}, {Name: "till"}}
	if a, ok := action.FindApp(apps, "till"); !ok || a.Name != "till" {
		t.Errorf("%+v, %v", a, ok)
	}
	for _, name := range []string{"", "other"} {
		if a, ok := action.FindApp(apps, name); ok {
			t.Errorf("%q is %+v", name, a)
		}
	}
}

// A condition is gone only if it could be measured.
func TestCleared(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for name, c := range map[string]struct {
		condition action.Condition
		want      bool
		err       error
	}{
		"none":    {nil, false, nil},
		"holds":   {func(context.Context, action.Alert) (bool, error) { return true, nil }, false, nil},
		"gone":    {func(context.Context, action.Alert) (bool, error) { return false, nil }, true, nil},
		"unknown": {func(context.Context, action.Alert) (bool, error) { return false, down }, false, down},
		"of it":   {func(_ context.Context, a action.Alert) (bool, error) { return a.Name() != "Sick", nil }, true, nil},
	} {
		got, err := c.condition.Cleared(t.Context(), action.Alert{Labels: map[string]string{"alertname": "Sick"}})
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestRoundTenths(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{1234 * time.Millisecond: "1.2s", 50 * time.Millisecond: "100ms", 0: "0s"} {
		if got := action.RoundTenths(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	r := action.Refuse(action.CodeOverFraction, "%d of %d match", 9, 10)
	if got, ok := errors.AsType[action.Refusal](fmt.Errorf("apply: %w", r)); !ok || got != r || r.Reason != "9 of 10 match" || r.IsZero() {
		t.Errorf("%+v, %t", got, ok)
	}
	if got := r.Within("main"); got.Code != r.Code || got.Reason != "main: "+r.Reason {
		t.Errorf("%+v", got)
	}
	if got := (action.Refusal{}).Within("main"); !got.IsZero() {
		t.Errorf("%+v", got)
	}
	if !(action.Refusal{}).IsZero() || (action.Refusal{Reason: "x"}).IsZero() || (action.Refusal{Code: "x"}).IsZero() {
		t.Error("what refuses something is not zero")
	}
}

// In JSON a refusal is its sentence, and one that is zero is left out. Read again, it
// still refuses.
func TestRefusalInJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refused action.Refusal
		want    string
	}{
		{action.Refuse(action.CodeOverFraction, "too many"), `{"action":"","target":"","summary":"","total":0,"refused":"too many","measure":0}`},
		{action.Refusal{}, `{"action":"","target":"","summary":"","total":0,"measure":0}`},
	} {
		text, err := json.Marshal(action.Plan{Refused: c.refused})
		if err != nil || string(text) != c.want {
			t.Errorf("%s, %v; want %s", text, err, c.want)
		}
		var p action.Plan
		if err := json.Unmarshal(text, &p); err != nil || p.Refused != (action.Refusal{Reason: c.refused.Reason}) || p.Refused.IsZero() != c.refused.IsZero() {
			t.Errorf("%s is read as %+v, %v", text, p.Refused, err)
		}
	}
}
