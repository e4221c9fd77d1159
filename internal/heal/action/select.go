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

// TargetName returns the name in a setting or, if that is "", in the alert's label; "?" if
// both are "", or the label has no plain name of at most 128 characters. A setting is not
// checked.
func TargetName(a Alert, label, setting string) string {
	switch v := a.Labels[label]; {
	case setting != "":
		return setting
	case text.Matches(plainName, v, 128):
		return v
	}
	return "?"
}

// NameFrom returns the name in a setting or, if that is "", the alert's label as it came,
// which may be "" too. It returns a refusal, and no name, if both are there and differ.
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

// FindApp returns the app of a name; false if there is none, or the name is "".
func FindApp(apps []config.App, name string) (config.App, bool) {
	for _, a := range apps {
		if a.Name == name && name != "" {
			return a, true
		}
	}
	return config.App{}, false
}

// RoundTenths returns a duration as text, rounded to tenths of a second: "1m2.5s".
func RoundTenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
