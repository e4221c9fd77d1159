package journal

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of a line of the journal, beside those of [Run].
const (
	maxStep   = 63      // of a rule, from 0
	maxNumber = 1 << 40 // of anything that is counted
	MaxName   = 128     // bytes of a rule, an action, a fingerprint
	MaxKey    = 512     // bytes of the key of a guard
)

// oldInterrupted begins the reason of a step that was interrupted in the journals of
// versions before [Run.Interrupted].
const oldInterrupted = "the exporter ended in the middle of it; "

var runID = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// checker checks one line against all bounds.
type checker struct {
	now     time.Time
	clamped bool
	dropped int // temporary settings that were removed from a part
}

// clamp sets those of the times that are in the future to now, and c.clamped: a guard
// that counts from one must end.
func (c *checker) clamp(times ...*time.Time) {
	for _, t := range times {
		if t.After(c.now) {
			*t, c.clamped = c.now, true
		}
	}
}

// checkEntry reports whether a line has a known decision, what belongs to it and nothing
// else, and every value within its bounds. Times in the future are set to now.
func (c *checker) checkEntry(e *Entry) bool {
	c.clamp(&e.At)
	if !e.Decision.known() || !AllShort(MaxName, e.Rule, e.Action) || !AllShort(MaxKey, e.Target) || !AllShort(4*action.MaxText, e.Reason) {
		return false
	}
	switch {
	case (e.Decision == DecisionCarried) != (e.Guards != nil), e.Guards != nil && (e.Run != nil || e.Alert != nil):
		return false
	case e.Guards != nil:
		return c.checkGuards(e.Guards)
	case e.Decision.ofHold() != (e.Hold != nil), e.Hold != nil && (e.Run != nil || e.Alert != nil || !c.checkHold(e.Hold)):
		return false
	}
	return (e.Alert == nil || e.Alert.bounded()) && (e.Run == nil || e.Decision == e.Run.State && c.checkRun(e.Run))
}

// checkRun reports whether a run has a state of runs and all its values are within their bounds. It
// clamps its times, cuts the texts of its plan, and removes evidence that is too large.
func (c *checker) checkRun(r *Run) bool {
	c.clamp(&r.Created, &r.Updated, &r.Applied, &r.Settled)
	switch {
	case !text.Matches(runID, r.ID, 64), !r.State.ofRun(), r.Step < 0 || r.Step > maxStep, len(r.Before) > maxStep:
		return false
	case r.Done < 0 || r.Done > maxNumber, r.Approved != nil && !r.Approved.bounded():
		return false
	case !AllShort(MaxName, r.Rule, r.Action, string(r.Outcome)), !AllShort(MaxKey, r.Target), !AllShort(4*action.MaxText, r.Reason), !r.Alert.bounded():
		return false
	}
	r.Interrupted = r.Interrupted || strings.HasPrefix(r.Reason, oldInterrupted)
	for i := range r.Before {
		b := &r.Before[i]
		b.Interrupted = b.Interrupted || strings.HasPrefix(b.Reason, oldInterrupted)
		c.clamp(&b.Applied, &b.Ended)
		if !b.Result.known() || b.Done < 0 || b.Done > maxNumber ||
			!AllShort(MaxName, b.Action) || !AllShort(MaxKey, b.Target) || !AllShort(4*action.MaxText, b.Reason, b.Summary) {
			return false
		}
	}
	if p := r.Plan; p != nil {
		if len(p.Victims) > action.MaxVictims || p.Total < 0 || p.Total > maxNumber {
			return false
		}
		r.Plan = p.Bounded()
	}
	if len(r.Facts) > 2*MaxEvidence {
		r.Facts = nil
	}
	return true
}

// checkGuards reports whether one part of the state at the beginning of a file is within
// its bounds. It clamps its times, but not the ends of duplicates, and drops invalid
// temporary settings, which do not count.
func (c *checker) checkGuards(g *GuardState) bool {
	if g.Part < 1 || g.Parts < g.Part || g.Parts > maxParts || g.Open < 0 || g.Open > maxNumber {
		return false
	}
	c.clampAll(g.Applied)
	for k, t := range g.Last {
		c.clamp(&t)
		g.Last[k] = t
	}
	c.dropHolds(g)
	for rule, alerts := range g.Calls {
		if !AllShort(MaxName, rule) || !AllShort(MaxName, alerts...) {
			return false
		}
	}
	return len(g.Applied) <= MaxApplied && shortKeys(g.Last) && shortKeys(g.Known) && shortKeys(g.Acts) && shortKeys(g.Failures) && c.checkLists(g.Acts) && c.checkLists(g.Failures) && shortKeys(g.InRow) && c.checkLists(g.InRow)
}

// dropHolds removes and counts the temporary settings of a part that are out of bounds, and
// those beyond the first MaxHolds valid ones by key; in the others, future times become now.
// The part itself stays valid: an act could begin too early if it were not read.
func (c *checker) dropHolds(g *GuardState) {
	for i, k := range slices.Sorted(maps.Keys(g.Holds)) {
		h := g.Holds[k]
		if i-c.dropped >= action.MaxHolds || !AllShort(MaxKey, k) || !c.checkHold(&h) {
			delete(g.Holds, k)
			c.dropped++
			continue
		}
		g.Holds[k] = h
	}
}

// checkHold reports whether a temporary setting has an action and a target, and every
// value is within its bounds. Times in the future are set to now.
func (c *checker) checkHold(h *action.Hold) bool {
	c.clamp(&h.Since, &h.Fired)
	switch {
	case h.For < 0 || h.For > action.MaxHold, h.From < 0 || h.From > maxNumber, h.To < 0 || h.To > maxNumber, h.Action == "" || h.Target == "":
		return false
	case len(h.Info) > action.MaxInfo || !AllShort(MaxName, h.Action, h.Rule, h.Run, h.Fingerprint) || !AllShort(MaxKey, h.Target):
		return false
	}
	for k, v := range h.Info {
		if !AllShort(MaxName, k) || !AllShort(action.MaxHoldInfo, v) {
			return false
		}
	}
	return true
}

// shortKeys reports whether all keys are at most MaxKey bytes long and without control
// characters.
func shortKeys[V any](m map[string]V) bool {
	for k := range m {
		if !AllShort(MaxKey, k) {
			return false
		}
	}
	return true
}

// checkLists reports whether no list has more than MaxActs times, and clamps them.
func (c *checker) checkLists(m map[string][]time.Time) bool {
	for _, list := range m {
		if len(list) > MaxActs {
			return false
		}
		c.clampAll(list)
	}
	return true
}

// clampAll clamps all times of a list.
func (c *checker) clampAll(list []time.Time) {
	for i := range list {
		c.clamp(&list[i])
	}
}

// bounded reports whether every value of an approval is within the bounds of a line.
func (a *Approval) bounded() bool {
	return a.Total >= 0 && a.Total <= maxNumber && len(a.Victims) <= action.MaxVictims &&
		AllShort(MaxKey, a.Plan, a.Action, a.Target, a.Scope) && AllShort(MaxKey, a.Victims...)
}

// bounded reports whether every value of a subject is within the bounds of a line, which
// are wider than those of [SubjectOf].
func (s *Subject) bounded() bool {
	if !AllShort(2*action.MaxValue, s.Name) || !AllShort(MaxName, s.Fingerprint) || len(s.Labels) > maxLabels {
		return false
	}
	for k, v := range s.Labels {
		if len(k) > MaxName || len(v) > 4*action.MaxValue {
			return false
		}
	}
	return true
}

// AllShort reports whether texts are at most limit bytes long each and have no
// control characters. Invalid UTF-8 was replaced when the JSON was read.
func AllShort(limit int, texts ...string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool { return len(s) > limit || strings.ContainsFunc(s, unicode.IsControl) })
}

// Follows reports whether a line of a run may come after an earlier one of the same run:
// it must have the same rule and alert, no earlier step, in the same step the same
// action, and must not revoke that an action was begun.
func (r *Run) Follows(before *Run) bool {
	switch {
	case r.Rule != before.Rule || r.Alert.Fingerprint != before.Alert.Fingerprint:
		return false
	case r.Step < before.Step || len(r.Before) < len(before.Before):
		return false
	case r.Step > before.Step && before.State.Inflight() && len(r.Before) == len(before.Before):
		return false
	case r.Step == before.Step && r.Action != before.Action:
		return false
	case r.Step == before.Step && before.State.Inflight():
		return !r.Applied.IsZero() && (r.State.Inflight() || r.Terminal())
	}
	return true
}
