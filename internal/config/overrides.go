package config

import (
	"fmt"
	"math"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// Overrides are the thresholds of one app, by resource, where they differ from the common ones.
type Overrides map[string]schema.Pair

// Off returns the limit of a threshold that is switched off, which no value reaches.
func Off() float64 { return math.Inf(1) }

// IsOff reports whether a limit is [Off], so that no value reaches it.
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
func (o *Overrides) SetLimit(resource string, p schema.Pair) {
	if *o == nil {
		*o = make(Overrides)
	}
	(*o)[resource] = p
}

// ofApps returns the thresholds that an app can have of its own, those that belong to a
// component of an app. Their limits point into t.
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
	out := c.Thresholds
	for i := range c.Apps {
		if a := &c.Apps[i]; a.Name == app {
			out = out.with(a.Thresholds, a.Mute)
		}
	}
	return out
}

// MutedOf returns the components of an app that are not judged; nil if the app is not
// configured.
func (c *Config) MutedOf(app string) []string {
	if i := slices.IndexFunc(c.Apps, func(a App) bool { return a.Name == app }); i >= 0 {
		return c.Apps[i].Mute
	}
	return nil
}

// each calls f for the warning and for the critical number that an app has of its own,
// each with the number of b that it replaces.
func (b bound) each(own schema.Pair, f func(severity string, n schema.Number, to *float64)) {
	f("warning", own.Warning, &b.limit.Warning)
	f("critical", own.Critical, &b.limit.Critical)
}

// with returns the thresholds with those of an app in their place, and those of muted
// components off.
func (t Thresholds) with(own Overrides, muted []string) Thresholds {
	for _, b := range t.ofApps() {
		b.each(own[b.resource], func(_ string, n schema.Number, to *float64) {
			if n.Off {
				*to = Off()
			} else if n.Given {
				*to = n.Value
			}
		})
		if slices.Contains(muted, b.component) {
			*b.limit = Limit{Off(), Off()}
		}
	}
	return t
}

// overrideProblems returns the problems of an app's own thresholds and muted components.
func overrideProblems(a *App, path string) []problem {
	var out []problem
	for _, b := range new(Thresholds).ofApps() {
		b.each(a.Thresholds[b.resource], func(severity string, n schema.Number, _ *float64) {
			if n.Given && !n.Off && !b.allows(n.Value) {
				out = append(out, problem{path + "." + b.path() + "." + severity, fmt.Sprintf("got %v", n.Value), b.want + ", or off"})
			}
		})
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

// overrideOrderProblems returns the thresholds that apps set, whose two numbers in force (one may
// be the common one) are in the wrong order, except where one is off or not allowed.
func (c *Config) overrideOrderProblems() []problem {
	var out []problem
	for i := range c.Apps {
		in := c.Thresholds.with(c.Apps[i].Thresholds, nil)
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
