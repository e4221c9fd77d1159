package firing_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/firing"
)

func alert(n int, labels map[string]string) action.Alert {
	l := map[string]string{"alertname": "A"}
	maps.Copy(l, labels)
	return action.Alert{Fingerprint: fmt.Sprintf("%016x", n), Labels: l, StartsAt: time.Unix(int64(1000-n), 0)}
}

func resolved(a action.Alert) action.Alert {
	a.Resolved = true
	return a
}

func TestUpdate(t *testing.T) {
	now := time.Unix(2000, 0)
	a := firing.New()
	a.Update(alert(1, nil), now)
	a.Update(alert(2, map[string]string{"severity": "critical"}), now)
	a.Update(alert(3, map[string]string{"severity": "None"}), now)
	list := a.List()
	if len(list) != 2 || list[0].Severity != "critical" || list[1].Name != "A" || list[1].Summary != "A" || !list[0].Since.Before(list[1].Since) {
		t.Errorf("want the two that report a fault, the older one first: %+v", list)
	}
	if !a.Has(alert(1, nil).Fingerprint) || a.Has(alert(3, nil).Fingerprint) {
		t.Error("an alert of severity none fires, or one of the others does not")
	}
	if s, ok := a.Subject(alert(2, nil).Fingerprint); !ok || s.Labels["severity"] != "critical" {
		t.Errorf("%+v, %v", s, ok)
	}
	a.Update(resolved(alert(1, nil)), now)
	if _, ok := a.Subject(alert(1, nil).Fingerprint); ok || a.Has(alert(1, nil).Fingerprint) {
		t.Error("a resolved alert fires")
	}
}

// An alert that Alertmanager has not sent for five hours no longer fires, neither as one of
// the list nor as that of a temporary setting.
func TestPrune(t *testing.T) {
	now := time.Unix(2000, 0)
	a := firing.New()
	old, young := alert(1, nil), alert(2, nil)
	a.Update(old, now)
	a.Update(young, now.Add(time.Second))
	a.Follow(map[string]action.Hold{"k": {Fingerprint: old.Fingerprint}}, now)
	a.Prune(now.Add(5 * time.Hour))
	if !a.Has(old.Fingerprint) {
		t.Error("it does not fire for five hours")
	}
	a.Prune(now.Add(5*time.Hour + time.Nanosecond))
	if a.Has(old.Fingerprint) || !a.Has(young.Fingerprint) || len(a.List()) != 1 {
		t.Errorf("want the younger one only: %+v", a.List())
	}
}

// The alert of a temporary setting is known also beyond the bound, until it is resolved.
func TestFollowBeyondTheBound(t *testing.T) {
	now := time.Unix(2000, 0)
	a := firing.New()
	for n := range 500 {
		a.Update(alert(n, nil), now)
	}
	late := alert(500, nil)
	a.Update(late, now)
	if a.Has(late.Fingerprint) || len(a.List()) != 500 {
		t.Fatalf("%d alerts, more than the bound", len(a.List()))
	}
	holds := map[string]action.Hold{"k": {Fingerprint: late.Fingerprint}}
	a.Follow(holds, now)
	if !a.Has(late.Fingerprint) {
		t.Error("the alert of a new setting counts as ended")
	}
	a.Update(resolved(late), now)
	a.Follow(holds, now)
	if a.Has(late.Fingerprint) {
		t.Error("a resolved alert fires")
	}
	a.Update(late, now)
	if !a.Has(late.Fingerprint) {
		t.Error("an alert that fires again does not")
	}
	a.Follow(nil, now)
	if a.Has(late.Fingerprint) {
		t.Error("the alert of a setting that has ended is still known")
	}
}
