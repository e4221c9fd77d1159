// Package handover has what call_http and run_command share: the JSON object that
// the other side is given about an alert, and the outcome by what it answered.
package handover

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of what an alert may hand to a program or a server.
const (
	maxHandedLabels = 32
	maxHandedName   = 64  // bytes
	maxHandedValue  = 256 // bytes
)

var handedLabel = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// payload is what call_http sends and run_command gets: one JSON object. What
// comes from the alert is in its strings only.
type payload struct {
	RunID  string      `json:"run_id"`
	Action string      `json:"action"`
	Target string      `json:"target"`
	Alert  handedAlert `json:"alert"`
}

type handedAlert struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// encode returns the JSON object that is handed over for an alert, with at most 32 of its
// labels, the first by name. Values are cut to 256 bytes; labels whose names are longer
// than 64 bytes, or have other characters than those of Prometheus, are left out and do not
// count.
func encode(run, name, target string, a action.Alert) ([]byte, error) {
	h := payload{RunID: run, Action: name, Target: target, Alert: handedAlert{Name: text.Clip(a.Name(), maxHandedValue), Labels: make(map[string]string)}}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if len(h.Alert.Labels) == maxHandedLabels {
			break
		}
		if len(name) <= maxHandedName && handedLabel.MatchString(name) {
			h.Alert.Labels[name] = text.Clip(a.Labels[name], maxHandedValue)
		}
	}
	return json.Marshal(h)
}

// Handover is what a plan of run_command and call_http keeps for itself.
type Handover struct {
	alert action.Alert
	Run   string // its id
	Body  []byte // JSON

	mu sync.Mutex
	ok bool // it was done, and succeeded
}

// New returns what a program or a call gets of a request: the id of the run, cut to 64
// bytes, and a body, which is JSON of a bounded size.
func New(req action.PlanRequest, name, target string) (*Handover, error) {
	h := &Handover{alert: req.Alert, Run: text.Clip(req.RunID, maxHandedName)}
	var err error
	h.Body, err = encode(h.Run, name, target, req.Alert)
	return h, err
}

// Succeed records that the program or the call succeeded.
func (h *Handover) Succeed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok = true
}

// Outcome returns Verified if the program or the call succeeded and, if a condition is
// measured, that has gone too; else Unchanged, with the error if the condition cannot be
// measured. After a restart it is Unchanged: how it went is not known any more.
func Outcome(ctx context.Context, c action.Condition, p action.Plan) (action.Outcome, error) {
	h, ours := p.Private.(*Handover)
	if !ours {
		return action.Unchanged, nil // how it went is not known any more
	}
	h.mu.Lock()
	ok := h.ok
	h.mu.Unlock()
	if !ok {
		return action.Unchanged, nil
	}
	if c == nil {
		return action.Verified, nil
	}
	if gone, err := c.Cleared(ctx, h.alert); !gone {
		return action.Unchanged, err
	}
	return action.Verified, nil
}
