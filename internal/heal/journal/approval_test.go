package journal_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// An approval covers the victims that were shown, not their number.
func TestApprovalCovers(t *testing.T) {
	t.Parallel()
	plan := func(total int, ids ...string) action.Plan {
		p := action.Plan{Action: "a", Target: "t", Scope: "s", Total: total}
		for _, id := range ids {
			p.Victims = append(p.Victims, action.Victim{Kind: "worker", ID: id[:1], Identity: id[1:]})
		}
		return p
	}
	other := plan(1, "1a")
	other.Scope = "x"
	for name, c := range map[string]struct {
		approved, now action.Plan
		ok            bool
	}{
		"the same":                {plan(2, "1a", "2b"), plan(2, "2b", "1a"), true},
		"fewer":                   {plan(2, "1a", "2b"), plan(1, "2b"), true},
		"another":                 {plan(1, "2b"), plan(1, "0c"), false},
		"one more":                {plan(1, "1a"), plan(2, "1a", "2b"), false},
		"the same place, another": {plan(1, "1a"), plan(1, "1b"), false},
		"counted, as many":        {plan(5), plan(5), true},
		"counted, more":           {plan(5), plan(6), false},
		"named, then counted":     {plan(2, "1a", "2b"), plan(2), false},
		"named, and one counted":  {plan(2, "1a", "2b"), plan(2, "1a"), false},
		"counted, then named":     {plan(5), plan(1, "1a"), false},
		"other settings":          {plan(1, "1a"), other, false},
	} {
		if why := journal.Covers(c.approved, c.now); (why == "") != c.ok {
			t.Errorf("%s: %q", name, why)
		}
	}
}
