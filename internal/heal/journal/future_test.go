package journal_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// Times of guards that are in the future become the current time: a clock that was set back
// would block an action for as long as it was ahead.
func TestFutureOfGuards(t *testing.T) {
	t.Parallel()
	now := journaltest.Noon()
	for ahead, clamped := range map[time.Duration]bool{-time.Hour: false, 900 * time.Hour: true} {
		at := now.Add(ahead)
		for name, g := range map[string]*journal.GuardState{
			"last":     {Last: map[string]time.Time{"a/x": at}},
			"acts":     {Acts: map[string][]time.Time{"a/x": {now.Add(-time.Minute), at}}},
			"failures": {Failures: map[string][]time.Time{"a": {now.Add(-time.Minute), at}}},
			"applied":  {Applied: []time.Time{at}},
		} {
			g.Part, g.Parts = 1, 1
			line := journaltest.Lines(journal.Entry{At: now.Add(-time.Minute), Decision: journal.DecisionCarried, Guards: g})
			read := 0
			err := journal.ReadLines(bytes.NewReader(line), now, func(l journal.Line) {
				read++
				if !l.OK || l.Clamped != clamped {
					t.Fatalf("%s, %s ahead: OK %v, clamped %v", name, ahead, l.OK, l.Clamped)
				}
				got := l.Entry.Guards
				for _, list := range [][]time.Time{{got.Last["a/x"]}, got.Acts["a/x"], got.Failures["a"], got.Applied} {
					for _, at := range list {
						if at.After(now) {
							t.Errorf("%s, %s ahead: %v", name, ahead, at)
						}
					}
				}
			})
			if err != nil || read != 1 {
				t.Errorf("%s: %d lines, %v", name, read, err)
			}
		}
	}
}
