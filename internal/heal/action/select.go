package action

import (
	"regexp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// plainName matches the label values that may be part of a target. They are only
// compared with known names.
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

// NameFrom returns the name in a setting or, where it is empty, in the alert's label. It
// returns a refusal when both are there and differ.
func NameFrom(a Alert, label, setting string) (name string, refused Refusal) {
	said := a.Labels[label]
	switch {
	case setting == "":
		return said, Refusal{}
	case said != "" && said != setting:
		return "", Refuse(CodeLabelDiffers, "the alert's label %s differs from the rule", label)
	default:
		return setting, Refusal{}
	}
}

// FindApp returns the app of a name, and whether there is one.
func FindApp(apps []config.App, name string) (config.App, bool) {
	for _, a := range apps {
		if a.Name == name && name != "" {
			return a, true
		}
	}
	return config.App{}, false
}

// RoundTenths returns a duration as text, rounded to tenths of a second.
func RoundTenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
