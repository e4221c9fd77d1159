package collectors_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
)

func TestHeal(t *testing.T) {
	at := time.Unix(1767323045, 500e6)
	s := counts.Stats{
		Alerts:      map[journal.Decision]uint64{journal.DecisionQueued: 3, journal.DecisionCooldown: 4, journal.DecisionUnmatched: 0},
		Blocked:     map[journal.Decision]uint64{journal.DecisionCooldown: 5, journal.DecisionFleet: 0},
		Runs:        map[counts.RunKey]uint64{{Rule: "leaked", Action: "kill_leaked_connections", Result: journal.DecisionVerified}: 2},
		Dropped:     0,
		Durations:   counts.Durations{Buckets: []uint64{0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, Sum: 4007.5, Count: 3},
		Victims:     map[string]uint64{"kill_leaked_connections": 17},
		LastSuccess: map[string]time.Time{"kill_leaked_connections": at},
		Queue:       1, Paused: true, Mode: "enforce", JournalBytes: 4096, BadLines: 3,
		Breakers:   map[string]bool{"kill_leaked_connections": false, "recycle_worker": true},
		NeedsHuman: map[string]bool{"leaked": true},
		Awaiting:   map[string]int{"leaked": 0, "sessions": 1},
		Holds:      map[string]int{"scale_workers": 2},
		StormLeft:  new(90 * time.Second), Storms: 2,
	}
	relayed := relay.Stats{
		On: true, Up: true, Alerts: map[relay.Outcome]uint64{relay.Accepted: 9, relay.Delivered: 7, relay.Lost: 0}, Entries: map[relay.Outcome]uint64{relay.Taken: 5, relay.Forged: 1},
		Bounds: map[relay.Bound]uint64{relay.BoundPending: 2}, Sends: 12, Resends: 3, Waiting: 2, Oldest: 90 * time.Second,
	}
	golden(t, collectors.NewHeal(func() collectors.HealStats {
		return collectors.HealStats{Actions: s, Relay: relayed, Requests: map[int]uint64{202: 7, 401: 1}, Truncated: 2, Throttles: map[string]float64{"shop": 30, "blog": 0}, Control: control.Stats{Files: 2, Failures: 1, Restored: 3}, Keys: controlkey.Stats{On: true, Keys: 2, Writes: map[controlkey.Outcome]uint64{controlkey.Written: 40, controlkey.Held: 3, controlkey.Failed: 0}}}
	}))
}

// Before the first alert every gauge has its value, and those without a value are absent.
func TestHealNothingYet(t *testing.T) {
	r := heal.New(heal.Options{})
	goldenAs(t, collectors.NewHeal(func() collectors.HealStats { return collectors.HealStats{Actions: r.Stats()} }), "heal_nothing_yet")
}
