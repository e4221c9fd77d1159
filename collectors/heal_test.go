package collectors_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

func TestHeal(t *testing.T) {
	at := time.Unix(1767323045, 500e6)
	s := heal.Stats{
		Alerts:      map[journal.Decision]uint64{journal.DecisionQueued: 3, journal.DecisionCooldown: 4, journal.DecisionUnmatched: 0},
		Blocked:     map[journal.Decision]uint64{journal.DecisionCooldown: 5, journal.DecisionFleet: 0},
		Runs:        map[heal.RunKey]uint64{{Rule: "leaked", Action: "kill_leaked_connections", Result: journal.DecisionVerified}: 2},
		Dropped:     0,
		Durations:   heal.Durations{Buckets: []uint64{0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, Sum: 4007.5, Count: 3},
		Victims:     map[string]uint64{"kill_leaked_connections": 17},
		LastSuccess: map[string]time.Time{"kill_leaked_connections": at},
		Queue:       1, Paused: true, Mode: "enforce", JournalBytes: 4096, BadLines: 3,
		Breakers:   map[string]bool{"kill_leaked_connections": false, "recycle_worker": true},
		NeedsHuman: map[string]bool{"leaked": true},
		Awaiting:   map[string]int{"leaked": 0, "sessions": 1},
	}
	golden(t, collectors.NewHeal(func() collectors.HealStats {
		return collectors.HealStats{Actions: s, Requests: map[int]uint64{202: 7, 401: 1}, Truncated: 2}
	}))
}

// Before the first alert every gauge has its value, and those without a value are absent.
func TestHealNothingYet(t *testing.T) {
	r := heal.New(heal.Options{})
	goldenAs(t, collectors.NewHeal(func() collectors.HealStats { return collectors.HealStats{Actions: r.Stats()} }), "heal_nothing_yet")
}
