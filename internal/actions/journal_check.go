package actions

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Bounds of what a line of the journal may hold beside those of [Run].
const (
	maxStep   = 63      // of a rule, from 0
	maxNumber = 1 << 40 // of anything that is counted
	maxName   = 128     // bytes of a rule, an action, a fingerprint
	maxKey    = 512     // bytes of what a guard goes by
)

var runID = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// checker checks one line against all bounds.
type checker struct {
	now     time.Time
	clamped bool
}

// past sets a time in the future to now: a guard that counts from it must end.
func (c *checker) past(times ...*time.Time) {
	for _, t := range times {
		if t.After(c.now) {
			*t, c.clamped = c.now, true
		}
	}
}

// entry reports whether every value of a line is within its bounds.
func (c *checker) entry(e *Entry) bool {
	c.past(&e.At)
	if !e.Decision.known() || !short(maxName, e.Rule, e.Action) || !short(maxKey, e.Target) || !short(4*action.MaxText, e.Reason) {
		return false
	}
	switch {
	case (e.Decision == decisionCarried) != (e.Guards != nil), e.Guards != nil && (e.Run != nil || e.Alert != nil):
		return false
	case e.Guards != nil:
		return c.guards(e.Guards)
	}
	return (e.Alert == nil || e.Alert.bounded()) && (e.Run == nil || e.Decision == e.Run.State && c.run(e.Run))
}

func (c *checker) run(r *Run) bool {
	c.past(&r.Created, &r.Updated, &r.Applied, &r.Settled)
	switch {
	case !text.Matches(runID, r.ID, 64), !r.State.ofRun(), r.Step < 0 || r.Step > maxStep, len(r.Before) > maxStep:
		return false
	case r.Done < 0 || r.Done > maxNumber, r.Approved != nil && !r.Approved.bounded():
		return false
	case !short(maxName, r.Rule, r.Action, string(r.Outcome)), !short(maxKey, r.Target), !short(4*action.MaxText, r.Reason), !r.Alert.bounded():
		return false
	}
	for i := range r.Before {
		b := &r.Before[i]
		c.past(&b.Applied, &b.Ended)
		if !b.Result.known() || b.Done < 0 || b.Done > maxNumber ||
			!short(maxName, b.Action) || !short(maxKey, b.Target) || !short(4*action.MaxText, b.Reason, b.Summary) {
			return false
		}
	}
	if p := r.Plan; p != nil {
		if len(p.Victims) > action.MaxVictims || p.Total < 0 || p.Total > maxNumber {
			return false
		}
		r.Plan = p.Bounded()
	}
	if len(r.Facts) > 2*maxEvidence {
		r.Facts = nil
	}
	return true
}

// guards checks a part of what a file begins with.
func (c *checker) guards(g *Carried) bool {
	if g.Part < 1 || g.Parts < g.Part || g.Parts > maxParts || g.Open < 0 || g.Open > maxNumber {
		return false
	}
	c.all(g.Applied)
	for k, t := range g.Last {
		c.past(&t)
		g.Last[k] = t
	}
	for k, fingerprint := range g.Human {
		if !short(maxName, k, fingerprint) {
			return false
		}
	}
	return len(g.Applied) <= maxApplied && keys(g.Last) && keys(g.Known) && keys(g.Acts) && keys(g.Failures) && c.lists(g.Acts) && c.lists(g.Failures)
}

// keys reports whether what guards go by is as short as it is written.
func keys[V any](m map[string]V) bool {
	for k := range m {
		if !short(maxKey, k) {
			return false
		}
	}
	return true
}

func (c *checker) lists(m map[string][]time.Time) bool {
	for _, list := range m {
		if len(list) > maxActs {
			return false
		}
		c.all(list)
	}
	return true
}

func (c *checker) all(list []time.Time) {
	for i := range list {
		c.past(&list[i])
	}
}

// bounded reports whether an approval is as [approvalOf] makes it.
func (a *Approval) bounded() bool {
	return a.Total >= 0 && a.Total <= maxNumber && len(a.Victims) <= action.MaxVictims &&
		short(maxKey, a.Plan, a.Action, a.Target, a.Scope) && short(maxKey, a.Victims...)
}

// bounded reports whether a subject is as [subjectOf] makes it.
func (s *Subject) bounded() bool {
	if !short(2*action.MaxValue, s.Name) || !short(maxName, s.Fingerprint) || len(s.Labels) > maxLabels {
		return false
	}
	for k, v := range s.Labels {
		if len(k) > maxName || len(v) > 4*action.MaxValue {
			return false
		}
	}
	return true
}

// short reports whether texts are at most limit bytes long each and have no
// control characters. Invalid UTF-8 was replaced when the JSON was read.
func short(limit int, texts ...string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool { return len(s) > limit || strings.ContainsFunc(s, unicode.IsControl) })
}

// follows reports whether a line of a run may come after another one of it: it
// must not take back what the one before says was begun.
func (r *Run) follows(before *Run) bool {
	switch {
	case r.Rule != before.Rule || r.Alert.Fingerprint != before.Alert.Fingerprint:
		return false
	case r.Step < before.Step || len(r.Before) < len(before.Before):
		return false
	case r.Step > before.Step && before.State.begun() && len(r.Before) == len(before.Before):
		return false
	case r.Step == before.Step && r.Action != before.Action:
		return false
	case r.Step == before.Step && before.State.begun():
		return !r.Applied.IsZero() && (r.State.begun() || r.terminal())
	}
	return true
}
