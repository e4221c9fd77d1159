package actions

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The bounds of what an alert may hand to a program or a server.
const (
	maxHandedLabels = 32
	maxHandedName   = 64  // bytes
	maxHandedValue  = 256 // bytes
)

var handedLabel = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// handover is what call_http sends and run_command gets: one JSON object. What
// comes from the alert is in its strings only.
type handover struct {
	RunID  string      `json:"run_id"`
	Action string      `json:"action"`
	Target string      `json:"target"`
	Alert  handedAlert `json:"alert"`
}

type handedAlert struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// hand makes the object for an alert.
func hand(run, action, target string, a Alert) ([]byte, error) {
	h := handover{RunID: run, Action: action, Target: target, Alert: handedAlert{Name: clip(a.Name(), maxHandedValue), Labels: make(map[string]string)}}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if len(h.Alert.Labels) == maxHandedLabels {
			break
		}
		if len(name) <= maxHandedName && handedLabel.MatchString(name) {
			h.Alert.Labels[name] = clip(a.Labels[name], maxHandedValue)
		}
	}
	return json.Marshal(h)
}

// runKey is the key of a run's number in a context.
type runKey struct{}

// WithRun gives a context to [Action.Plan] that tells the number of the run, by
// which call_http and run_command let the other side know one run from another.
func WithRun(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runKey{}, id)
}

// actsKey is the key of what was done before in a context.
type actsKey struct{}

// WithActs gives a context to [Action.Plan] that tells when the same action was
// done to a target before, the oldest first. It is of the journal, so that it
// outlives the process and a reload.
func WithActs(ctx context.Context, acts func(target string) []time.Time) context.Context {
	return context.WithValue(ctx, actsKey{}, acts)
}

func actsOf(ctx context.Context, target string) []time.Time {
	if acts, ok := ctx.Value(actsKey{}).(func(string) []time.Time); ok {
		return acts(target)
	}
	return nil
}

// runOf is the run's number in a context; without one, a new number.
func runOf(ctx context.Context) string {
	if id, ok := ctx.Value(runKey{}).(string); ok && id != "" {
		return clip(id, maxHandedName)
	}
	return "r-" + strings.ToLower(rand.Text()[:12])
}
