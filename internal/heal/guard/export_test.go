package guard

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/escalate"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// Past is the state that a runner restores from a journal.
type Past struct {
	Last, Known map[string]time.Time
	Spent       int
	Failures    map[string]int
	InRow       int            // actions and causes with failures in a row
	Acts        map[string]int // acts that did something, or may have, by key
	Human       []string
	Waiting     []string // runs that would act when their turn comes
	Begun       []string // runs that are only looked after
	Bad, Runs   int
	Rotate      bool
	Evidence    []string             // runs that are kept with evidence
	Ends        map[string]string    // the states of the runs, by their ids
	At          map[string]time.Time // when a run began to act, by its id
	Good        [2][]byte            // the lines of both files that are entries
}

// Recall reads the two files of a journal, the older one first.
func Recall(h config.Healing, now time.Time, files [2][]byte) (p Past, err error) {
	set, err := Compile(h, func(s config.HealingStep) (action.Action, error) {
		if s.KillLeaked != nil {
			return killleakedconnections.New(killleakedconnections.Deps{}, *s.KillLeaked), nil
		}
		return escalate.New(nil), nil
	})
	if err != nil {
		return p, err
	}
	c := NewRecovery(set, now)
	for i, data := range files {
		err := journal.ReadLines(bytes.NewReader(data), now, func(l journal.Line) {
			if l.OK {
				p.Good[i] = append(p.Good[i], l.Text...)
			}
			l.Current = i == 1
			c.Add(l)
		})
		if err != nil {
			return p, err
		}
	}
	p.Ends, p.At = make(map[string]string), make(map[string]time.Time)
	for _, run := range c.Finish() {
		p.Runs++
		p.Ends[run.ID], p.At[run.ID] = string(run.State), run.Applied
		if len(run.Facts) > 0 {
			p.Evidence = append(p.Evidence, run.ID)
		}
		switch {
		case run.Terminal():
		case run.State.Inflight():
			p.Begun = append(p.Begun, run.ID)
		default:
			p.Waiting = append(p.Waiting, run.ID)
		}
	}
	p.Last, p.Known, p.Spent, p.Bad, p.Rotate = c.last, c.dedup, len(c.applied), c.Bad, c.Rotate
	p.InRow = len(c.inRow)
	p.Human = slices.Sorted(maps.Keys(c.calls))
	p.Failures, p.Acts = make(map[string]int), make(map[string]int)
	for key, list := range c.acts {
		p.Acts[key] = len(list)
	}
	for a, list := range c.failures {
		p.Failures[a] = len(list)
	}
	return p, nil
}
