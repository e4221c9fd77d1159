package journal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

func hold() action.Hold {
	return action.Hold{Action: "scale_workers", Target: "app:shop/workers", Rule: "busy", Run: "r-1", Since: journaltest.Noon(), For: time.Minute, From: 2, To: 3}
}

// Each value of a temporary setting is accepted at its bound and not beyond, in a line of its
// own and among the guards.
func TestHoldBounds(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		most int
		set  func(h *action.Hold, n int)
	}{
		"action":      {128, func(h *action.Hold, n int) { h.Action = text(n) }},
		"target":      {512, func(h *action.Hold, n int) { h.Target = text(n) }},
		"rule":        {128, func(h *action.Hold, n int) { h.Rule = text(n) }},
		"run":         {128, func(h *action.Hold, n int) { h.Run = text(n) }},
		"fingerprint": {128, func(h *action.Hold, n int) { h.Fingerprint = text(n) }},
		"from":        {1 << 40, func(h *action.Hold, n int) { h.From = n }},
		"to":          {1 << 40, func(h *action.Hold, n int) { h.To = n }},
		"for":         {int(action.MaxHold), func(h *action.Hold, n int) { h.For = time.Duration(n) }},
		"values":      {action.MaxInfo, func(h *action.Hold, n int) { h.Info = keys(n, "x") }},
		"a key":       {128, func(h *action.Hold, n int) { h.Info = map[string]string{text(n): "x"} }},
		"a value":     {action.MaxHoldInfo, func(h *action.Hold, n int) { h.Info = map[string]string{"x": text(n)} }},
	} {
		for n, ok := range map[int]bool{c.most: true, c.most + 1: false} {
			h := hold()
			c.set(&h, n)
			if l := readOne(t, journal.EntryOfHold(h, journal.DecisionHeld, "", journaltest.Noon())); l.OK != ok {
				t.Errorf("%s of %d: %t", name, n, l.OK)
			}
			g := journal.GuardState{Part: 1, Parts: 1, Holds: map[string]action.Hold{"k": h}}
			if l := readOne(t, journal.Entry{At: journaltest.Noon(), Decision: journal.DecisionCarried, Guards: &g}); !l.OK || (len(l.Entry.Guards.Holds) == 1) != ok || (l.Dropped == 0) != ok {
				t.Errorf("%s of %d among the guards: %+v", name, n, l)
			}
		}
	}
}

// A temporary setting has an action and a target, its numbers are not negative, and a line
// about one has nothing else.
func TestHoldShape(t *testing.T) {
	t.Parallel()
	entry := func(change func(*action.Hold)) journal.Entry {
		h := hold()
		change(&h)
		return journal.EntryOfHold(h, journal.DecisionReleased, "", journaltest.Noon())
	}
	none := entry(func(*action.Hold) {})
	none.Hold = nil
	other := entry(func(*action.Hold) {})
	other.Decision = journal.DecisionResolved
	for name, e := range map[string]journal.Entry{
		"no action":     entry(func(h *action.Hold) { h.Action = "" }),
		"no target":     entry(func(h *action.Hold) { h.Target = "" }),
		"from below 0":  entry(func(h *action.Hold) { h.From = -1 }),
		"to below 0":    entry(func(h *action.Hold) { h.To = -1 }),
		"for below 0":   entry(func(h *action.Hold) { h.For = -1 }),
		"no setting":    none,
		"another line":  other,
		"a line broken": entry(func(h *action.Hold) { h.Target = "a\nb" }),
	} {
		if l := readOne(t, e); l.OK {
			t.Errorf("%s: it is accepted", name)
		}
	}
	l := readOne(t, entry(func(h *action.Hold) { h.Since, h.Fired = h.Since.Add(time.Hour), h.Since.Add(2*time.Hour) }))
	if !l.OK || !l.Clamped || !l.Entry.Hold.Since.Equal(journaltest.Noon()) || !l.Entry.Hold.Fired.Equal(journaltest.Noon()) {
		t.Errorf("times in the future: %+v", l.Entry.Hold)
	}
}

// One temporary setting that is not within its bounds, or one too many, takes nothing else of
// its part with it.
func TestHoldDropped(t *testing.T) {
	t.Parallel()
	part := func(holds map[string]action.Hold) journal.Line {
		g := journal.GuardState{Part: 1, Parts: 1, Last: map[string]time.Time{"k": journaltest.Noon()}, Holds: holds}
		return readOne(t, journal.Entry{At: journaltest.Noon(), Decision: journal.DecisionCarried, Guards: &g})
	}
	bad := hold()
	bad.From = -1
	for name, c := range map[string]struct {
		holds      map[string]action.Hold
		left, gone int
	}{
		"none":           {nil, 0, 0},
		"one of two":     {map[string]action.Hold{"a": bad, "b": hold()}, 1, 1},
		"a key too long": {map[string]action.Hold{strings.Repeat("k", 513): hold(), "b": hold()}, 1, 1},
		"too many":       {keys(action.MaxHolds+2, hold()), action.MaxHolds, 2},
	} {
		if l := part(c.holds); !l.OK || len(l.Entry.Guards.Holds) != c.left || l.Dropped != c.gone || len(l.Entry.Guards.Last) != 1 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
