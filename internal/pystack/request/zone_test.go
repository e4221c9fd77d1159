package request_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A worker's zone is its own, not the exporter's.
func TestZones(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for zone, place := range map[string]*time.Location{
		"UTC": berlin, "Europe/Berlin": berlin, "America/New_York": berlin, "Australia/Adelaide": time.UTC, "Asia/Kolkata": berlin,
	} {
		t.Run(zone, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			routes := draw(rng, []string{"plain"})
			s := open(t, debian, "sync", routes, "TZ="+zone)
			s.place = place
			s.check("sync", drawAsk(rng, routes[0]), 0)
		})
	}
}
