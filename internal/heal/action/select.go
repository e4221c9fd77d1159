package action

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// plainName is what may stand in a target: no label's value gets further than a
// comparison with known names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9._:@/~-]+$`)

// TargetName returns the part of a target that a setting or, without one, the
// alert's label names; "?" where neither does.
func TargetName(a Alert, label, setting string) string {
	switch v := a.Labels[label]; {
	case setting != "":
		return setting
	case text.Matches(plainName, v, 128):
		return v
	}
	return "?"
}

// NameFrom returns the name that a rule or, without one, the alert's label says. The
// two must not differ: a rule about one app is not for another app's alert.
func NameFrom(a Alert, label, setting string) (name, refused string) {
	said := a.Labels[label]
	switch {
	case setting == "":
		return said, ""
	case said != "" && said != setting:
		return "", fmt.Sprintf("the alert is about another %s than the rule", label)
	default:
		return setting, ""
	}
}

// FindApp finds an app of the configuration.
func FindApp(apps []config.App, name string) (config.App, bool) {
	for _, a := range apps {
		if a.Name == name && name != "" {
			return a, true
		}
	}
	return config.App{}, false
}

// Sleep waits for d; false when ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// RoundTenths shows a time to the tenth of a second.
func RoundTenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
