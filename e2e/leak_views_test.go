package e2e_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/leakviews"
)

// TestLeakView: the view of a real app that keeps memory for good is named, and no other.
// The time of the detector passes 150 times faster; `make trial-leakviews` has 20 apps, and
// 20 without a leak.
func TestLeakView(t *testing.T) {
	needRoot(t)
	need(t, "gunicorn", python)
	c := leakviews.Case{Seed: uint64(time.Now().UnixNano()), Leak: true, Exporter: binary, Workers: 4, Rate: 25, Bytes: 100_000, Scale: 150, Longest: min(scaled(time.Minute), 4*time.Minute)}
	t.Log("seed", c.Seed)
	r, err := leakviews.Run(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if !r.Right() {
		t.Errorf("%s leaks, named was %q; another one ever: %v", r.Leaks, r.Named, r.Wrong)
	}
}
