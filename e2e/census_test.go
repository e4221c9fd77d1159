package e2e_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/census"
)

// TestCensusSmall is one case of `make trial-census`: the list that leaks is named, with
// the detector's time passing 240 times faster.
func TestCensusSmall(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "gunicorn", python)
	r, err := census.Run(t.Context(), &census.Case{Seed: 1, Way: "list", Exporter: binary, Workers: 1, Rate: 8, Scale: 240, Longest: scaled(3 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if !r.Right || r.Type != "leakapp.Order" {
		t.Errorf("named %q and %q, want %q", r.Got, r.Type, r.Want)
	}
}
