// Package handover has what call_http and run_command share: the JSON object that
// the other side is given about an alert, and the outcome by what it answered.
package handover

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

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

// Encode makes the object for an alert.
func Encode(run, action, target string, a action.Alert) ([]byte, error) {
	h := payload{RunID: run, Action: action, Target: target, Alert: handedAlert{Name: text.Clip(a.Name(), maxHandedValue), Labels: make(map[string]string)}}
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

// runKey is the key of a run's number in a context.
type runKey struct{}

// WithRun gives a context to [action.Action.Plan] that tells the number of the run, by
// which call_http and run_command let the other side know one run from another.
func WithRun(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runKey{}, id)
}

// actsKey is the key of what was done before in a context.
type actsKey struct{}

// WithActs gives a context to [action.Action.Plan] that tells when the same action was
// done to a target before, the oldest first. It is of the journal, so that it
// outlives the process and a reload.
func WithActs(ctx context.Context, acts func(target string) []time.Time) context.Context {
	return context.WithValue(ctx, actsKey{}, acts)
}

func ActsOf(ctx context.Context, target string) []time.Time {
	if acts, ok := ctx.Value(actsKey{}).(func(string) []time.Time); ok {
		return acts(target)
	}
	return nil
}

// runOf is the run's number in a context; without one, a new number.
func runOf(ctx context.Context) string {
	if id, ok := ctx.Value(runKey{}).(string); ok && id != "" {
		return text.Clip(id, maxHandedName)
	}
	return "r-" + strings.ToLower(rand.Text()[:12])
}

// Handover is what a plan of run_command and call_http keeps for itself.
type Handover struct {
	alert action.Alert
	Run   string
	Body  []byte

	mu sync.Mutex
	ok bool // it was done, and said that it went well
}

func New(ctx context.Context, action, target string, a action.Alert) (*Handover, error) {
	h := &Handover{alert: a, Run: runOf(ctx)}
	var err error
	h.Body, err = Encode(h.Run, action, target, a)
	return h, err
}

func (h *Handover) Succeeded(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok = ok
}

// Outcome is that of a program or a call: only a success counts, and where a
// condition is measured it must be gone too.
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
