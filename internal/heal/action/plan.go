package action

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of a plan in the journal, so that a line is bounded.
const (
	MaxVictims = 100
	MaxInfo    = 12  // values of a victim
	MaxText    = 500 // bytes of a sentence
	MaxValue   = 200 // bytes of a label's value
)

// Key returns 16 hexadecimal digits that identify a victim by its kind, ID and identity.
func (v Victim) Key() string { return Digest(v.Kind, v.ID, v.Identity) }

// SetID sets what an approval refers to: the plan's scope, with the settings of the
// step, and the plan's ID, which changes with its victims.
func (p *Plan) SetID(step config.HealingStep) {
	settings, err := json.Marshal(step) // durations, numbers, names: it cannot fail
	if err != nil {
		settings = nil
	}
	p.Scope = Digest(p.Scope, string(settings))
	parts := []string{p.Action, p.Target, p.Scope, strconv.Itoa(p.Total)}
	for _, v := range p.Victims {
		parts = append(parts, v.Key())
	}
	slices.Sort(parts[4:])
	p.ID = Digest(parts...)
}

// Digest returns the first 16 hexadecimal digits of a hash over a list of texts.
func Digest(parts ...string) string {
	b, err := json.Marshal(parts) // one text for one list
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Bounded returns a copy of the plan whose texts and victims are cut to the bounds of the
// journal: at most MaxVictims victims with MaxInfo values each. Total stays, and Private
// too.
func (p Plan) Bounded() *Plan {
	p.Action, p.Target = text.Clip(p.Action, 64), text.Clip(p.Target, MaxValue)
	p.Summary, p.Refused.Reason = text.Clip(p.Summary, MaxText), text.Clip(p.Refused.Reason, MaxText)
	victims := p.Victims[:min(len(p.Victims), MaxVictims)]
	p.Victims = make([]Victim, len(victims))
	for i, v := range victims {
		info := make(map[string]string)
		for _, k := range slices.Sorted(maps.Keys(v.Info)) {
			if len(info) < MaxInfo {
				info[text.Clip(k, 32)] = text.Clip(v.Info[k], 100)
			}
		}
		p.Victims[i] = Victim{Kind: text.Clip(v.Kind, 32), ID: text.Clip(v.ID, 64), Identity: text.Clip(v.Identity, 64), Info: info}
	}
	return &p
}

// ErrNotPlanned is returned by Apply for a plan that this process has not made.
var ErrNotPlanned = errors.New("the plan was made by another process: make a new plan")
