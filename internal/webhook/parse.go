// Package webhook is what Alertmanager and operators say to the runner of
// actions: the receiver of alerts, and the API to look at runs, to pause and to
// approve. The result of an action is in no answer to an alert.
package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Errors of [Parse].
var (
	ErrJSON    = errors.New("the body is not the JSON of Alertmanager's webhook")
	ErrVersion = errors.New(`the payload's version is not "4"`)
	ErrEmpty   = errors.New("the payload has no alerts")
	ErrAlert   = errors.New("an alert has no labels, or a status other than firing and resolved")
)

// Message is one notification of Alertmanager: a whole group, not only what is new.
type Message struct {
	Alerts    []action.Alert
	Truncated uint64 // alerts of the group that Alertmanager left out
}

// payload is what is read of version 4 of the payload; unknown fields are
// ignored.
type payload struct {
	Version         string `json:"version"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
	Alerts          []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		StartsAt    time.Time         `json:"startsAt"`
		EndsAt      time.Time         `json:"endsAt"`
		Fingerprint string            `json:"fingerprint"`
	} `json:"alerts"`
}

var fingerprint = regexp.MustCompile(`^[0-9a-fA-F]{1,32}$`)

// Parse returns the notification in a body of Alertmanager's webhook, version 4 of its
// payload. Its error is ErrJSON, ErrVersion, ErrEmpty or ErrAlert. A fingerprint that is
// missing or invalid is replaced, and EndsAt is zero unless the alert is resolved.
func Parse(body []byte) (Message, error) {
	var p payload
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&p); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Message{}, fmt.Errorf("%w: unexpected data after it", ErrJSON)
	}
	if p.Version != "4" {
		return Message{}, ErrVersion
	}
	if len(p.Alerts) == 0 {
		return Message{}, ErrEmpty
	}
	m := Message{Truncated: p.TruncatedAlerts, Alerts: make([]action.Alert, len(p.Alerts))}
	for i, a := range p.Alerts {
		if len(a.Labels) == 0 || a.Status != "firing" && a.Status != "resolved" {
			return Message{}, ErrAlert
		}
		m.Alerts[i] = action.Alert{
			Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt.UTC(), Fingerprint: a.Fingerprint, Resolved: a.Status == "resolved",
		}
		if m.Alerts[i].Resolved {
			m.Alerts[i].EndsAt = a.EndsAt.UTC() // else it says when it would end, or year 1
		}
		if !fingerprint.MatchString(a.Fingerprint) {
			m.Alerts[i].Fingerprint = fingerprintOf(a.Labels)
		}
	}
	return m, nil
}

// fingerprintOf returns a substitute for a missing fingerprint: a hash of the labels
// alone, as Alertmanager's own is, in hexadecimal.
func fingerprintOf(labels map[string]string) string {
	h := fnv.New64a()
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		_, _ = io.WriteString(h, strconv.Quote(k)+"="+strconv.Quote(labels[k])+",")
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
