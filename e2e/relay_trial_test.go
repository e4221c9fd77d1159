package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	relaytrial "github.com/resp-exporter/resp-exporter/e2e/trials/relay"
)

// TestRelayOfFleet makes a small case of `make trial-relay`: alerts go through a pair of
// Alertmanagers, two receivers and a Redis that is killed, and each is run once.
func TestRelayOfFleet(t *testing.T) {
	t.Parallel()
	need(t, "prometheus-alertmanager", "redis-server")
	csv := filepath.Join(t.TempDir(), "relay.csv")
	o := relaytrial.Options{Exporter: binary, CSV: csv, Seed: 1, Hosts: 30, Real: 2, Each: 2, Spread: 3 * time.Second, Down: 3 * time.Second, Linger: time.Second, Logf: t.Logf}
	r, err := relaytrial.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	r.Print(&table)
	if s := r.All(); s.Sent != 60 || s.Once != 60 || r.Store.Commands == 0 {
		t.Errorf("%+v\n%s", s, table.String())
	}
	if n := r.Receivers[`resp_heal_relay_alerts_total{outcome="lost"}`] + r.Receivers[`resp_heal_relay_alerts_total{outcome="unregistered"}`]; n != 0 {
		t.Errorf("%g alerts were dropped\n%s", n, table.String())
	}
	// A later run with the same seed has nothing left to do, and another seed is refused.
	began := time.Now()
	again, err := relaytrial.Resume(o)
	if err != nil || again.All().Once != 60 || len(again.Alerts) != 60 || time.Since(began) > scaled(time.Second) {
		t.Errorf("continued: %+v, %v", again.All(), err)
	}
	o.Seed = 2
	if _, err := relaytrial.Resume(o); err == nil {
		t.Error("results of another seed were continued")
	}
}
