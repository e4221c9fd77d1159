package e2e_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/soak"
)

// TestSoakSmall is a small soak: every scrape is answered while workers are recycled, slow
// readers hold connections and a hostile user sends StatsD, and nothing grows. The large
// one is `make trial-soak`.
func TestSoakSmall(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "gunicorn", "setpriv", python)
	r, err := soak.Run(t.Context(), soak.Options{
		Exporter: binary, Scrapes: 200, Parallel: 2, Gap: 100 * time.Millisecond, Readers: 20, Recycle: 500 * time.Millisecond,
		Hostile: 500, Seed: 1, Settle: 6 * time.Second, Limit: 15 * time.Minute,
	}, func(soak.Scrape) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Scrapes) != 200 || soak.Bad(r.Scrapes) > 0 {
		t.Errorf("%d scrapes, %d without an answer of 200", len(r.Scrapes), soak.Bad(r.Scrapes))
	}
	if r.Recycled < 5 || r.Opened < 20 || r.Packets < 100 {
		t.Errorf("%d workers recycled, %d slow readers, %.0f datagrams: nothing was attacked", r.Recycled, r.Opened, r.Packets)
	}
	for _, g := range soak.Growths(r.Scrapes) {
		if g.Grows {
			t.Errorf("%s: from %.0f to %.0f", g.Name, g.First, g.Last)
		}
		if g.First <= 0 {
			t.Errorf("%s was not seen", g.Name)
		}
	}
}
