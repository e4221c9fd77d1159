package config

import (
	"fmt"
	"math"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// Overrides are the thresholds of one app, by resource, where they differ from the
// common ones.
type Overrides map[string]Override

// Override is the threshold of one resource of an app.
type Override struct {
	Warning  Number `yaml:"warning,omitempty"`
	Critical Number `yaml:"critical,omitempty"`
}

// Number is a number of an [Override]. The zero value leaves the common one in force.
type Number struct {
	Given bool
	Off   bool // there is no such level
	Value float64
}

// IsZero reports whether the common number stays in force; YAML then leaves it out.
func (n Number) IsZero() bool { return !n.Given }

// MarshalYAML returns the number as the file has it.
func (n Number) MarshalYAML() (any, error) {
	if n.Off {
		return "off", nil
	}
	return n.Value, nil
}

// Off returns the limit that no value reaches: of a threshold that is switched off.
func Off() float64 { return math.Inf(1) }

// IsOff reports whether no value reaches a limit.
func IsOff(limit float64) bool { return math.IsInf(limit, 1) }

// Components returns the components of an app, the values of apps[].mute.
func Components() []string {
	return []string{"workers", "request_queue", "requests", "memory", "cpu", "disk", "pool", "tasks", "sessions"}
}

// LimitKeys implements [schema.LimitsSetter]: the resources of an app.
func (*Overrides) LimitKeys() []schema.Field {
	var out []schema.Field
	for _, b := range new(Thresholds).ofApps() {
		out = append(out, schema.Field{Key: b.resource, Want: b.want})
	}
	return out
}

// SetLimit implements [schema.LimitsSetter].
func (o *Overrides) SetLimit(resource, severity string, v float64, off bool) {
	if *o == nil {
		*o = make(Overrides)
	}
	x, n := (*o)[resource], Number{Given: true, Off: off, Value: v}
	if severity == "warning" {
		x.Warning = n
	} else {
		x.Critical = n
	}
	(*o)[resource] = x
}

// ofApps returns the thresholds of resources of apps.
func (t *Thresholds) ofApps() []bound {
	return slices.DeleteFunc(t.bounds(), func(b bound) bool { return b.component == "" })
}

// EachOfApps calls f for each threshold of a resource of apps, in the order of the
// type's fields, with the component that the resource belongs to.
func (t Thresholds) EachOfApps(f func(resource, component string, l Limit)) {
	for _, b := range t.ofApps() {
		f(b.resource, b.component, *b.limit)
	}
}

// LimitsOf returns the thresholds in force for an app: its own, else the common ones
// of file and environment. What is switched off or muted is [Off].
func (c *Config) LimitsOf(app string) Thresholds {
	i := slices.IndexFunc(c.Apps, func(a App) bool { return a.Name == app })
	if i < 0 {
		return c.Thresholds
	}
	out := c.Thresholds.with(c.Apps[i].Thresholds)
	for _, b := range out.ofApps() {
		if slices.Contains(c.Apps[i].Mute, b.component) {
			*b.limit = Limit{Off(), Off()}
		}
	}
	return out
}

// with returns the thresholds with those of an app in their place.
func (t Thresholds) with(own Overrides) Thresholds {
	for _, b := range t.ofApps() {
		for _, x := range []struct {
			own Number
			to  *float64
		}{{own[b.resource].Warning, &b.limit.Warning}, {own[b.resource].Critical, &b.limit.Critical}} {
			switch {
			case x.own.Off:
				*x.to = Off()
			case x.own.Given:
				*x.to = x.own.Value
			}
		}
	}
	return t
}

// overrideProblems returns what is wrong with the own thresholds and the muted
// components of an app.
func overrideProblems(a *App, path string) []problem {
	var out []problem
	for _, b := range new(Thresholds).ofApps() {
		x := a.Thresholds[b.resource]
		for _, half := range []struct {
			key string
			n   Number
		}{{"warning", x.Warning}, {"critical", x.Critical}} {
			if half.n.Given && !half.n.Off && !b.allows(half.n.Value) {
				out = append(out, problem{path + "." + b.path() + "." + half.key, fmt.Sprintf("got %v", half.n.Value), b.want + ", or off"})
			}
		}
	}
	for i, m := range a.Mute {
		switch at := fmt.Sprintf("%s.mute[%d]", path, i); {
		case !slices.Contains(Components(), m):
			out = append(out, problem{at, "got " + schema.Quote(m), ""})
		case slices.Index(a.Mute, m) < i:
			out = append(out, problem{at, schema.Quote(m) + " is already in the list", "another component"})
		}
	}
	return out
}

// overrideOrderProblems returns the thresholds of apps whose two numbers in force are
// in the wrong order.
func (c *Config) overrideOrderProblems() []problem {
	var out []problem
	for i := range c.Apps {
		in := c.Thresholds.with(c.Apps[i].Thresholds)
		for _, b := range in.ofApps() {
			if _, own := c.Apps[i].Thresholds[b.resource]; !own || IsOff(b.limit.Warning) || IsOff(b.limit.Critical) {
				continue
			}
			if got, want := b.disorder(); got != "" && b.allows(b.limit.Warning) && b.allows(b.limit.Critical) {
				out = append(out, problem{fmt.Sprintf("apps[%d].%s", i, b.path()), got, want})
			}
		}
	}
	return out
}
