package census_test

import (
	"errors"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// A walk and a search end soon after the CPU time is used up, also while the process does
// not run.
func TestSpent(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0], "250000")
	target := p.target()
	asked := 0
	spent := false
	target.Spent = func() bool { asked++; return spent || asked >= 3 }
	c := census.New(target)
	p.stand()
	if _, err := c.Walk(t.Context()); !errors.Is(err, census.ErrTooMuch) || asked != 3 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	asked = -1 << 30
	p.stand()
	if h, err := c.Walk(t.Context()); err != nil || h.Objects < 250000 {
		t.Errorf("%v", err)
	}
	spent = true
	p.stand()
	search := c.Search(nil, nil)
	if err := search.Continue(t.Context()); !errors.Is(err, census.ErrTooMuch) && search.Dropped() == 0 {
		t.Errorf("%v", err)
	}
}
