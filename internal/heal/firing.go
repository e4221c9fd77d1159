package heal

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	maxFiring = 500
	// firingFor is for how long an alert that is not reported again counts as firing.
	firingFor = 5 * time.Hour
	// severityNone is the severity of alerts that report no fault, such as a heartbeat.
	severityNone = "none"
)

// Firing is one alert that Alertmanager reported and has not resolved.
type Firing struct {
	Name     string            `json:"name"`
	Severity string            `json:"severity,omitempty"`
	Summary  string            `json:"summary,omitempty"`
	Since    time.Time         `json:"since"`
	Labels   map[string]string `json:"labels"`
	Seen     time.Time         `json:"-"`
}

// firingAlerts has the alerts that fire, by fingerprint.
type firingAlerts struct {
	mu     sync.Mutex
	alerts map[string]Firing
}

func newFiringAlerts() *firingAlerts { return &firingAlerts{alerts: make(map[string]Firing)} }

// update records an alert as it was reported. What is no alert is removed.
func (f *firingAlerts) update(a action.Alert, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Resolved || strings.EqualFold(a.Labels["severity"], severityNone) {
		delete(f.alerts, a.Fingerprint)
		return
	}
	if _, ok := f.alerts[a.Fingerprint]; !ok && len(f.alerts) >= maxFiring {
		return
	}
	s := journal.SubjectOf(a)
	f.alerts[a.Fingerprint] = Firing{
		Name: s.Name, Severity: s.Labels["severity"], Summary: text.Clip(a.Annotations["summary"], action.MaxText), Since: a.StartsAt, Labels: s.Labels, Seen: now,
	}
}

// prune removes the alerts that were not reported for long.
func (f *firingAlerts) prune(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.alerts, func(_ string, a Firing) bool { return now.Sub(a.Seen) > firingFor })
}

// list returns the alerts, the oldest first.
func (f *firingAlerts) list() []Firing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.alerts), func(a, b Firing) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
