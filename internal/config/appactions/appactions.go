// Package appactions has the settings of the healing actions that ask something of an app by
// its control file, collect_garbage, trace_memory and throttle, with the checks of their values.
package appactions

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/hostactions"
)

const (
	// collectMargin is how long after the last worker has begun to collect garbage the result
	// may be measured.
	collectMargin = 10 * time.Second
	// traceMargin is the same of a trace of memory, of which a snapshot is made at its end.
	traceMargin = 20 * time.Second
	maxHold     = 30 * time.Minute // of a throttle
)

// Collect are the settings of collect_garbage. App may be empty where the alert's label names
// it, here and in [Trace] and [Throttle].
type Collect struct {
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// Each worker begins at a random time within it.
	Stagger time.Duration `yaml:"stagger" want:"a duration from 0s to 1m, 10s or more below verify_within"`
	// Of the memory of the workers that must be free afterwards; 0: that they collected is enough.
	MinFreed float64 `yaml:"min_freed" want:"a number from 0 to 1"`
}

// Trace are the settings of trace_memory.
type Trace struct {
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// One worker is slow for that long.
	Duration time.Duration `yaml:"duration" want:"a duration from 1s to 1m, 20s or more below verify_within"`
	// That report themselves, the traced one included.
	MinWorkers int `yaml:"min_workers" want:"a whole number from 1 to 1000"`
}

// Throttle are the settings of throttle.
type Throttle struct {
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// Of the requests that are shed; 0: Target is set.
	Percent int `yaml:"percent,omitempty" want:"a whole number from 1 to 95, or target instead"`
	// Time that requests may wait in the proxy's queue; 0: Percent is set.
	Target time.Duration `yaml:"target,omitempty" want:"a duration from 10ms to 1m, or percent instead"`
	// Of the exporter's judgement; requests are shed while it is unwell; "": while they wait
	// for longer than Target, or are shed for it.
	Component string `yaml:"component,omitempty" want:"a component of an app in resp_health_status other than requests, such as request_queue"`
	// Requests are shed for that long after the exporter has ended.
	TTL time.Duration `yaml:"ttl" want:"a duration from 5s to 30m"`
	// Between two shares, up and down; 0: the whole share at once.
	Ramp time.Duration `yaml:"ramp" want:"a duration from 0s to 5m"`
	// Then a person is called, and all requests are served again.
	MaxTime time.Duration `yaml:"max_time" want:"a duration from 10s to 30m"`
}

// NewCollect returns the settings with their defaults.
func NewCollect() *Collect { return &Collect{Stagger: 10 * time.Second, MinFreed: 0.05} }

// NewTrace returns the defaults.
func NewTrace() *Trace { return &Trace{Duration: 30 * time.Second, MinWorkers: 2} }

// NewThrottle returns the defaults.
func NewThrottle() *Throttle {
	return &Throttle{TTL: time.Minute, Ramp: 30 * time.Second, MaxTime: 30 * time.Minute}
}

// Check calls need for each setting except the app. Stagger must also leave collectMargin
// of verifyWithin.
func (s *Collect) Check(need hostactions.Need, verifyWithin time.Duration) {
	need(within(s.Stagger, 0, time.Minute) && s.Stagger <= verifyWithin-collectMargin, "stagger", s.Stagger, "")
	need(s.MinFreed >= 0 && s.MinFreed <= 1, "min_freed", s.MinFreed, "")
}

// Check reports what is wrong, but for the app.
func (s *Trace) Check(need hostactions.Need, verifyWithin time.Duration) {
	need(within(s.Duration, time.Second, time.Minute) && s.Duration <= verifyWithin-traceMargin, "duration", s.Duration, "")
	need(s.MinWorkers >= 1 && s.MinWorkers <= 1000, "min_workers", s.MinWorkers, "")
}

// Check reports what is wrong, but for the app; components are those of an app.
func (s *Throttle) Check(need hostactions.Need, components []string) {
	need(s.Percent == 0 || s.Percent >= 1 && s.Percent <= 95, "percent", s.Percent, "")
	need(s.Target == 0 || within(s.Target, 10*time.Millisecond, time.Minute), "target", s.Target, "")
	need(s.Percent != 0 || s.Target != 0, "percent", nil, "")
	need(s.Percent == 0 || s.Target == 0, "target", s.Target, "percent or target, not both")
	// Failed requests are not fewer if less is requested of the app: a throttle is no remedy.
	byTarget := s.Component == "" && s.Target != 0
	need(byTarget || s.Component != "requests" && slices.Contains(components, s.Component), "component", s.Component, "")
	need(within(s.TTL, 5*time.Second, maxHold), "ttl", s.TTL, "")
	need(within(s.Ramp, 0, 5*time.Minute), "ramp", s.Ramp, "")
	need(within(s.MaxTime, 10*time.Second, maxHold), "max_time", s.MaxTime, "")
}

// within reports whether d is from least to most.
func within(d, least, most time.Duration) bool { return d >= least && d <= most }
