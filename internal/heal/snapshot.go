package heal

import (
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/firing"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
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
	Firing   []firing.Alert `json:"firing"`        // the oldest first
	Runs     []journal.Run  `json:"runs"`          // the newest first, without evidence
	Breakers []string       `json:"breakers_open"` // actions whose breaker is open
	Holds    []action.Hold  `json:"holds"`         // temporary settings in force, by action and target

	Throttles []Throttled `json:"throttles,omitempty"` // apps that are asked to shed requests, by name

	Relay *relay.Summary `json:"relay,omitempty"` // nil: alerts are not relayed
}

// Throttled is an app that is asked to shed requests.
type Throttled struct {
	App     string    `json:"app"`
	Percent float64   `json:"percent"` // of its requests; 0: it follows a target
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // the end of its lease, which is renewed while it is needed
}

// snapshot implements [Runner.Snapshot], without the throttles and the relay.
func (s *state) snapshot() Snapshot {
	now, set := time.Now(), s.settings()
	out := Snapshot{
		Used: set.Used(), Approve: set.TokenFile != "", Human: listed(s.guards.RulesInNeed()), Firing: listed(s.firing.List()), Runs: s.index.list(),
		Breakers: listed(s.guards.OpenBreakers(set, now)), Holds: []action.Hold{},
	}
	out.Mode, out.Why, out.Err = s.storage.shownMode(set)
	queue, awaiting := s.runs.waiting()
	out.Queue = queue
	for _, n := range awaiting {
		out.Awaiting += n
	}
	holds := s.guards.Holds()
	for _, key := range slices.Sorted(maps.Keys(holds)) {
		out.Holds = append(out.Holds, holds[key])
	}
	if p := s.pause.Load(); p.Active(now) {
		out.Paused = new(*p)
	}
	return out
}

// listed returns a list that is [] in JSON when it is empty, not null.
func listed[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// stats implements [Runner.Stats]: a copy of the counters, and the state now, with all rules and their actions.
func (s *state) stats() counts.Stats {
	now, set := time.Now(), s.settings()
	out := s.count.Copy()
	out.Mode, _, _ = s.storage.shownMode(set)
	if set.Coordination.Redis != "" {
		out.StormLeft = new(s.stormLeft(now))
	}
	out.Paused, out.JournalBytes = s.pause.Load().Active(now), s.storage.bytes()
	out.Queue, out.Awaiting = s.runs.waiting()
	out.Holds = make(map[string]int)
	for _, h := range s.guards.Holds() {
		out.Holds[h.Action]++
	}
	out.Breakers, out.NeedsHuman = make(map[string]bool), make(map[string]bool)
	inNeed, open := s.guards.RulesInNeed(), s.guards.OpenBreakers(set, now)
	for _, rl := range set.Rules {
		out.NeedsHuman[rl.Name] = slices.Contains(inNeed, rl.Name)
		out.Awaiting[rl.Name] += 0 // a rule for which none waits is in it too
		for i, step := range rl.Steps {
			out.Initialize(rl.Name, step.Action, i < len(rl.Steps)-1)
			if s.current.Load().holders[step.Action] != nil {
				out.Holds[step.Action] += 0
			}
			if step.Action != config.ActionEscalate {
				out.Breakers[step.Action] = slices.Contains(open, step.Action)
			}
		}
	}
	return out
}
