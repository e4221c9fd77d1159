package actions

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The bounds of what is kept of one run, so that a journal's line is bounded.
const (
	maxVictims  = 100
	maxInfo     = 12
	maxLabels   = 32
	maxText     = 500 // bytes of a sentence
	maxValue    = 200 // bytes of a label's value
	maxEvidence = 64 << 10
)

// Run is one alert on its way through the steps of its rule. A published Run
// is never changed.
type Run struct {
	ID       string          `json:"id"`
	Rule     string          `json:"rule"`
	Alert    Subject         `json:"alert"`
	State    Decision        `json:"state"`
	Reason   string          `json:"reason,omitempty"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
	Step     int             `json:"step"` // of the rule, from 0
	Action   string          `json:"action"`
	Target   string          `json:"target,omitempty"`
	Applied  time.Time       `json:"applied,omitzero"` // when this step began to act
	Settled  time.Time       `json:"settled,omitzero"` // when this step ended
	Plan     *Plan           `json:"plan,omitempty"`   // of this step
	Done     int             `json:"done,omitempty"`   // victims that it was done to
	Outcome  Outcome         `json:"outcome,omitempty"`
	Approved *Approval       `json:"approved,omitempty"` // of this step; nil: nobody has approved
	Before   []StepResult    `json:"before,omitempty"`
	Facts    json.RawMessage `json:"evidence,omitempty"` // what was seen right before, as JSON
}

// Subject is what is kept of an alert.
type Subject struct {
	Name        string            `json:"name"`
	Fingerprint string            `json:"fingerprint"`
	StartsAt    time.Time         `json:"starts_at"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// StepResult is what one step of a run came to.
type StepResult struct {
	Action  string    `json:"action"`
	Target  string    `json:"target,omitempty"`
	Result  Decision  `json:"result"`
	Reason  string    `json:"reason,omitempty"`
	Summary string    `json:"summary,omitempty"` // of its plan
	Applied time.Time `json:"applied,omitzero"`
	Ended   time.Time `json:"ended"`
	Done    int       `json:"done,omitempty"`
}

func newID() string { return "r-" + strings.ToLower(rand.Text()[:12]) }

// subjectOf keeps what is needed of an alert to act on it after a restart, within bounds.
func subjectOf(a Alert) Subject {
	s := Subject{Name: clip(a.Name(), maxValue), Fingerprint: clip(a.Fingerprint, 64), StartsAt: a.StartsAt, Labels: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if len(s.Labels) == maxLabels {
			break
		}
		// A shortened value would be another one, and could name something else.
		if v := a.Labels[name]; len(name) <= 64 && len(v) <= maxValue {
			s.Labels[name] = v
		}
	}
	return s
}

// alert is what an action is given. Annotations do not survive a restart.
func (s Subject) alert() Alert {
	return Alert{Labels: maps.Clone(s.Labels), StartsAt: s.StartsAt, Fingerprint: s.Fingerprint}
}

// bounded cuts a plan to what may be written down.
func (p Plan) bounded() *Plan {
	p.Action, p.Target = clip(p.Action, 64), clip(p.Target, maxValue)
	p.Summary, p.Refused = clip(p.Summary, maxText), clip(p.Refused, maxText)
	victims := p.Victims[:min(len(p.Victims), maxVictims)]
	p.Victims = make([]Victim, len(victims))
	for i, v := range victims {
		info := make(map[string]string)
		for _, k := range slices.Sorted(maps.Keys(v.Info)) {
			if len(info) < maxInfo {
				info[clip(k, 32)] = clip(v.Info[k], 100)
			}
		}
		p.Victims[i] = Victim{Kind: clip(v.Kind, 32), ID: clip(v.ID, 64), Identity: clip(v.Identity, 64), Info: info}
	}
	return &p
}

// clip shortens text and takes out what would break a line.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// terminal reports whether the run has ended.
func (r *Run) terminal() bool { return !r.State.Open() }
