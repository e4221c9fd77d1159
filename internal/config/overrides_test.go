package config_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// An app's own thresholds beat the environment, which beats the section; what is off or
// muted has no limit, and other apps have the common ones.
func TestLimitsOf(t *testing.T) {
	const file = `
thresholds: {memory: {warning: 0.5, critical: 0.6}, cpu: {warning: 0.5, critical: 0.6}, task_age: {warning: 10, critical: 20}}
apps:
  - name: shop
    match: {user: shop}
    thresholds: {memory: {warning: 0.7}, response_time: off, error_rate: {critical: off}}
    mute: [tasks, pool]
  - {name: blog, match: {user: blog}}
`
	c, err := config.Load(strings.NewReader(file), "x.yml", []string{
		"RESPONSIVENESS_MEMORY_WARNING_THRESHOLD=0.9", "RESPONSIVENESS_MEMORY_CRITICAL_THRESHOLD=0.95", "RESPONSIVENESS_CPU_WARNING_THRESHOLD=0.55",
	})
	if err != nil {
		t.Fatal(err)
	}
	off := config.Limit{Warning: config.Off(), Critical: config.Off()}
	want := c.Thresholds
	want.Memory = config.Limit{Warning: 0.7, Critical: 0.95}
	want.CPU = config.Limit{Warning: 0.55, Critical: 0.6}
	want.ResponseTime, want.TaskAge, want.ConnectionPool = off, off, off
	want.ErrorRate.Critical = config.Off()
	if got := c.LimitsOf("shop"); got != want {
		t.Errorf("shop has %+v\nwant %+v", got, want)
	}
	for _, app := range []string{"blog", "discovered"} {
		if got := c.LimitsOf(app); got != c.Thresholds {
			t.Errorf("%s has %+v\nwant the common %+v", app, got, c.Thresholds)
		}
	}
	if c.Thresholds.Memory.Warning != 0.9 || config.IsOff(c.Thresholds.TaskAge.Warning) {
		t.Errorf("the common thresholds became %+v", c.Thresholds)
	}
}

// Each resource of an app belongs to a component that may be muted.
func TestComponentsOfResources(t *testing.T) {
	known := make(map[string]bool)
	for _, c := range config.Components() {
		known[c] = true
	}
	n := 0
	config.Default().Thresholds.EachOfApps(func(resource, component string, l config.Limit) {
		if n++; !known[component] || l == (config.Limit{}) {
			t.Errorf("%s belongs to %q, with %+v", resource, component, l)
		}
	})
	if n != len(ofApps) {
		t.Errorf("%d resources, want %v", n, ofApps)
	}
}
