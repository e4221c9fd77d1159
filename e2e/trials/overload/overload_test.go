package overload_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/overload"
)

// TestOverload runs the first case of the trial for a short time: an app gets three times
// the requests that it can serve, and a throttle with a target of 1 s keeps those that it
// accepts quick. Without one their 95th percentile is above 20 s. The figures are for the trial
// to show: its limits do not hold on a machine that has no processor for the app.
func TestOverload(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	exporter, err := run.Exporter(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := overload.Run(t.Context(), overload.Cases()[0], overload.Options{Exporter: exporter, Root: root, Seed: 1, For: 30 * time.Second, Throttle: true, Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	m := r.Settled
	t.Logf("capacity %.1f/s, throttled after %s, released after %s: %+v", r.Capacity, r.Began, r.Released, m)
	high := m.ByPath["/checkout"]
	if r.Began < 0 || r.Released < 0 || m.P95 > 6*time.Second || m.Served < 0.5 || high.Ratio() < 0.9 || high.Sent < 50 || m.Unhealthy > 0 {
		t.Errorf("%+v", r.Settled)
	}
	if low, normal := m.ByPath["/report"].Ratio(), m.ByPath["/"].Ratio(); low >= normal || normal >= high.Ratio() {
		t.Errorf("accepted of low priority %.2f, of normal %.2f", low, normal)
	}
}
