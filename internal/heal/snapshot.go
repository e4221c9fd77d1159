package heal

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// Snapshot is the state of healing at one moment, for people.
type Snapshot struct {
	Mode     string         `json:"mode"`          // in force
	Why      string         `json:"why,omitempty"` // it is another one than in the configuration
	Err      error          `json:"-"`             // of the state directory or the journal, from which Why is
	Used     bool           `json:"used"`          // the configuration has rules or a token
	Approve  bool           `json:"-"`             // there is a token to order with
	Paused   *journal.Pause `json:"paused"`        // null: it is not
	Queue    int            `json:"queue_length"`  // runs that wait
	Awaiting int            `json:"awaiting"`      // runs that wait for a person to approve their plan
	Human    []string       `json:"needs_human"`   // rules that could not help
	Firing   []Firing       `json:"firing"`        // the oldest first
	Runs     []journal.Run  `json:"runs"`          // the newest first, without evidence
	Breakers []string       `json:"breakers_open"` // actions whose breaker is open
}

// snapshot implements [Runner.Snapshot].
func (s *state) snapshot() Snapshot {
	now, set := time.Now(), s.settings()
	out := Snapshot{
		Used: set.Used(), Approve: set.TokenFile != "", Human: s.guards.RulesInNeed(), Firing: s.firing.list(), Runs: s.index.list(),
		Breakers: s.guards.OpenBreakers(set, now),
	}
	out.Mode, out.Why, out.Err = s.storage.shownMode(set)
	queue, awaiting := s.runs.waiting()
	out.Queue = queue
	for _, n := range awaiting {
		out.Awaiting += n
	}
	if p := s.pause.Load(); p.Active(now) {
		out.Paused = new(*p)
	}
	return out
}

// stats implements [Runner.Stats].
func (s *state) stats() Stats {
	now, set := time.Now(), s.settings()
	out := s.count.copy()
	out.Mode, _, _ = s.storage.shownMode(set)
	out.Paused, out.JournalBytes = s.pause.Load().Active(now), s.storage.bytes()
	out.Queue, out.Awaiting = s.runs.waiting()
	out.Breakers, out.NeedsHuman = make(map[string]bool), make(map[string]bool)
	inNeed, open := s.guards.RulesInNeed(), s.guards.OpenBreakers(set, now)
	for _, rl := range set.Rules {
		out.NeedsHuman[rl.Name] = slices.Contains(inNeed, rl.Name)
		out.Awaiting[rl.Name] += 0 // a rule for which none waits is in it too
		for i, step := range rl.Steps {
			out.initialize(rl.Name, step.Action, i < len(rl.Steps)-1)
			if step.Action != config.ActionEscalate {
				out.Breakers[step.Action] = slices.Contains(open, step.Action)
			}
		}
	}
	return out
}
