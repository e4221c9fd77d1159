package app_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/health"
)

// A component is unwell or well by a current evaluation; with an old one it is unknown.
func TestUnwell(t *testing.T) {
	t.Parallel()
	now := time.Now()
	j := health.Evaluation{
		At:   now.Add(-10 * time.Second),
		Host: health.Status{Components: map[string]health.Level{"disk": health.Critical, "mysql": health.Healthy}},
		Apps: []health.Status{{App: "shop", Components: map[string]health.Level{"disk": health.Healthy, "workers": health.Warning, "cpu": health.Healthy},
			Recovering: []health.Recovery{{Alert: health.Alert{Component: "cpu"}}}}},
	}
	for name, c := range map[string]struct {
		app, component string
		after          time.Duration
		want, known    bool
	}{
		"critical":        {"", "disk", 0, true, true},
		"healthy":         {"", "mysql", 0, false, true},
		"of the app":      {"shop", "disk", 0, false, true},
		"warning":         {"shop", "workers", 0, true, true},
		"well again":      {"shop", "cpu", 0, true, true},
		"not of the app":  {"shop", "mysql", 0, false, false},
		"of no app":       {"blog", "disk", 0, false, false},
		"not of the host": {"", "workers", 0, false, false},
		"too old":         {"", "disk", 11 * time.Second, false, false},
	} {
		if got, err := app.Unwell(j, c.app, c.component, now.Add(c.after)); got != c.want || (err == nil) != c.known {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if _, err := app.Unwell(health.Evaluation{}, "", "disk", now); err == nil {
		t.Error("without a judgement something is known")
	}
}
