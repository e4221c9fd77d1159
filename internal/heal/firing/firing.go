// Package firing has the alerts that Alertmanager has reported and not resolved. It keeps a
// bounded number of them, and starts nothing.
package firing

import (
	"cmp"
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
	// firesFor is for how long an alert that is not reported again counts as firing.
	firesFor = 5 * time.Hour
	// severityNone is the severity of alerts that report no fault, such as a heartbeat.
	severityNone = "none"
)

// Alert is one alert that Alertmanager has reported and not resolved.
type Alert struct {
	Name     string            `json:"name"`
	Severity string            `json:"severity,omitempty"`
	Summary  string            `json:"summary,omitempty"` // its name, if the alert has none
	Since    time.Time         `json:"since"`
	Labels   map[string]string `json:"labels"`
	Seen     time.Time         `json:"-"`
}

// Alerts has the alerts that fire, by fingerprint. Those of temporary settings are
// followed outside of the bound: a setting stays while its alert fires.
type Alerts struct {
	mu       sync.Mutex
	alerts   map[string]Alert
	followed map[string]time.Time // when reported last; zero: it does not fire
}

// New returns an empty list of alerts.
func New() *Alerts {
	return &Alerts{alerts: make(map[string]Alert), followed: make(map[string]time.Time)}
}

// Follow sets the alerts of the temporary settings in force, by fingerprint. A new one that
// is not in the list counts as firing only if the list is full, since it may have been left
// out.
func (f *Alerts) Follow(holds map[string]action.Hold, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[string]time.Time, len(holds))
	for _, h := range holds {
		seen, ok := f.followed[h.Fingerprint]
		if a, is := f.alerts[h.Fingerprint]; is {
			seen = a.Seen
		} else if !ok && len(f.alerts) >= maxFiring {
			seen = now
		}
		next[h.Fingerprint] = seen
	}
	f.followed = next
}

// Update records an alert as it was reported, and removes one that is not firing.
func (f *Alerts) Update(a action.Alert, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Resolved || strings.EqualFold(a.Labels["severity"], severityNone) {
		delete(f.alerts, a.Fingerprint)
		if _, ok := f.followed[a.Fingerprint]; ok {
			f.followed[a.Fingerprint] = time.Time{}
		}
		return
	}
	if _, ok := f.followed[a.Fingerprint]; ok {
		f.followed[a.Fingerprint] = now
	}
	if _, ok := f.alerts[a.Fingerprint]; !ok && len(f.alerts) >= maxFiring {
		return
	}
	s := journal.SubjectOf(a)
	f.alerts[a.Fingerprint] = Alert{
		Name: s.Name, Severity: s.Labels["severity"], Summary: text.Clip(cmp.Or(a.Annotations["summary"], s.Name), action.MaxText), Since: a.StartsAt, Labels: s.Labels, Seen: now,
	}
}

// Has reports whether an alert is in the list, or counts as firing for a temporary setting
// ([Alerts.Follow]), also where that is not known as the list was full; false for any other
// that was left out because the list was full.
func (f *Alerts) Has(fingerprint string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.alerts[fingerprint]
	return ok || !f.followed[fingerprint].IsZero()
}

// Subject returns what the journal stores of an alert in the list; false if it is not
// there, also where it is only followed for a temporary setting.
func (f *Alerts) Subject(fingerprint string) (journal.Subject, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.alerts[fingerprint]
	return journal.SubjectOf(action.Alert{Labels: a.Labels, StartsAt: a.Since, Fingerprint: fingerprint}), ok
}

// Prune removes the alerts that were not reported for as long as an alert may be silent.
func (f *Alerts) Prune(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.alerts, func(_ string, a Alert) bool { return now.Sub(a.Seen) > firesFor })
	for fingerprint, seen := range f.followed {
		if now.Sub(seen) > firesFor {
			f.followed[fingerprint] = time.Time{}
		}
	}
}

// List returns the alerts in the list, at most maxFiring, the oldest first; one that is
// only followed for a temporary setting is not in it.
func (f *Alerts) List() []Alert {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.alerts), func(a, b Alert) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
