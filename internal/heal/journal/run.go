package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of a run in the journal, so that a line is bounded.
const (
	maxLabels   = 32
	maxCause    = 100      // bytes
	MaxEvidence = 64 << 10 // bytes
)

// Run is the processing of one alert by the steps of its rule. A published Run is never
// changed.
type Run struct {
	ID          string          `json:"id"`
	Rule        string          `json:"rule"`
	Alert       Subject         `json:"alert"`
	State       Decision        `json:"state"`
	Reason      string          `json:"reason,omitempty"`
	Created     time.Time       `json:"created"`
	Updated     time.Time       `json:"updated"`
	Step        int             `json:"step"` // of the rule, from 0
	Action      string          `json:"action"`
	Target      string          `json:"target,omitempty"`
	Applied     time.Time       `json:"applied,omitzero"`      // when this step began to act
	Settled     time.Time       `json:"settled,omitzero"`      // when this step ended
	Plan        *action.Plan    `json:"plan,omitempty"`        // of this step
	Done        int             `json:"done,omitempty"`        // victims that it was done to
	Interrupted bool            `json:"interrupted,omitempty"` // the exporter ended in this step: what was done of it is not known
	Outcome     action.Outcome  `json:"outcome,omitempty"`
	Approved    *Approval       `json:"approved,omitempty"` // of this step; nil: not approved
	Before      []StepResult    `json:"before,omitempty"`
	Facts       json.RawMessage `json:"evidence,omitempty"` // evidence from right before the act, as JSON
}

// Subject is what is kept of an alert.
type Subject struct {
	Name        string            `json:"name"`
	Fingerprint string            `json:"fingerprint"`
	StartsAt    time.Time         `json:"starts_at"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// StepResult is the result of one step of a run.
type StepResult struct {
	Action      string    `json:"action"`
	Target      string    `json:"target,omitempty"`
	Result      Decision  `json:"result"`
	Reason      string    `json:"reason,omitempty"`
	Summary     string    `json:"summary,omitempty"` // of its plan
	Applied     time.Time `json:"applied,omitzero"`
	Ended       time.Time `json:"ended"`
	Done        int       `json:"done,omitempty"`
	Interrupted bool      `json:"interrupted,omitempty"` // as in [Run]
}

// NewRunID returns a new id of a run: "r-" and twelve random letters or digits.
func NewRunID() string { return "r-" + strings.ToLower(rand.Text()[:12]) }

// SubjectOf returns the part of an alert that is needed to act on it after a restart. Labels
// with a name or a value beyond its bound are left out, then all but the first 32 by name;
// name and fingerprint are cut.
func SubjectOf(a action.Alert) Subject {
	s := Subject{Name: text.Clip(a.Name(), action.MaxValue), Fingerprint: text.Clip(a.Fingerprint, 64), StartsAt: a.StartsAt, Labels: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if len(s.Labels) == maxLabels {
			break
		}
		// A shortened value would be another one, and could name something else.
		if v := a.Labels[name]; len(name) <= 64 && len(v) <= action.MaxValue {
			s.Labels[name] = v
		}
	}
	return s
}

// Alert returns the alert for an action, with a copy of the labels; it lacks the
// annotations, which are not stored, and its end.
func (s Subject) Alert() action.Alert {
	return action.Alert{Labels: maps.Clone(s.Labels), StartsAt: s.StartsAt, Fingerprint: s.Fingerprint}
}

// Cause returns what an alert is about, by which it is counted what helps against it: the
// label cause, or without one the alert's name, cut to 100 bytes.
func (s Subject) Cause() string {
	if c := s.Labels["cause"]; c != "" {
		return text.Clip(c, maxCause)
	}
	return text.Clip(s.Name, maxCause)
}

// Acted reports whether this step or one before may have changed anything.
func (r *Run) Acted() bool {
	acted := func(s StepResult) bool { return !s.Applied.IsZero() || s.Interrupted }
	return !r.Applied.IsZero() || r.Interrupted || slices.ContainsFunc(r.Before, acted)
}

// Terminal reports whether the run has ended; true too for a state that no run has.
func (r *Run) Terminal() bool { return !r.State.Open() }

// DedupKey returns the key by which an alert is a duplicate, 32 hexadecimal digits: a hash
// of its fingerprint and its start, the rule, and the key of the rule's first target.
func (s Subject) DedupKey(rule, what string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{rule, what, s.Fingerprint, strconv.FormatInt(s.StartsAt.UnixNano(), 10)}, " ")))
	return hex.EncodeToString(sum[:16])
}
