package journal

import (
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
}

// clamp sets times in the future to now: a guard that counts from one must end.
func (c *checker) clamp(times ...*time.Time) {
	for _, t := range times {
		if t.After(c.now) {
			*t, c.clamped = c.now, true
		}
	}
}

// checkEntry reports whether every value of a line is within its bounds.
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
	}
	return (e.Alert == nil || e.Alert.bounded()) && (e.Run == nil || e.Decision == e.Run.State && c.checkRun(e.Run))
}

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

// checkGuards checks a part of what a file begins with.
func (c *checker) checkGuards(g *GuardState) bool {
	if g.Part < 1 || g.Parts < g.Part || g.Parts > maxParts || g.Open < 0 || g.Open > maxNumber {
		return false
	}
	c.clampAll(g.Applied)
	for k, t := range g.Last {
		c.clamp(&t)
		g.Last[k] = t
	}
	for k, fingerprint := range g.Human {
		if !AllShort(MaxName, k, fingerprint) {
			return false
		}
	}
	return len(g.Applied) <= MaxApplied && shortKeys(g.Last) && shortKeys(g.Known) && shortKeys(g.Acts) && shortKeys(g.Failures) && c.checkLists(g.Acts) && c.checkLists(g.Failures)
}

// shortKeys reports whether all keys are within their bound.
func shortKeys[V any](m map[string]V) bool {
	for k := range m {
		if !AllShort(MaxKey, k) {
			return false
		}
	}
	return true
}

func (c *checker) checkLists(m map[string][]time.Time) bool {
	for _, list := range m {
		if len(list) > MaxActs {
			return false
		}
		c.clampAll(list)
	}
	return true
}

func (c *checker) clampAll(list []time.Time) {
	for i := range list {
		c.clamp(&list[i])
	}
}

// bounded reports whether an approval is as [ApprovalOf] makes it.
func (a *Approval) bounded() bool {
	return a.Total >= 0 && a.Total <= maxNumber && len(a.Victims) <= action.MaxVictims &&
		AllShort(MaxKey, a.Plan, a.Action, a.Target, a.Scope) && AllShort(MaxKey, a.Victims...)
}

// bounded reports whether a subject is as [SubjectOf] makes it.
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

// Follows reports whether a line of a run may follow another one of it: it must not
// revoke that an action was begun.
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
