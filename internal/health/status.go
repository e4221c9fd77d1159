package health

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
)

// Level is a health level, with the values of resp_health_status.
type Level = levels.Level

// The levels.
const (
	Healthy  = levels.Healthy
	Warning  = levels.Warning
	Critical = levels.Critical
)

// Alert is an alert of the exporter's own rules.
type Alert struct {
	Name      string    `json:"name"` // of the rule, e.g. "error_rate" or "disk /var"
	Severity  Level     `json:"severity"`
	Component string    `json:"component"`
	Summary   string    `json:"summary"` // a sentence without a full stop
	Since     time.Time `json:"since"`   // it is not healthy

	Subject Subject `json:"-"` // what it is about

	inhibited bool // another alert of the same app reports the same fault
}

// Recovery is an alert that has ended within the last two monitoring intervals.
// Its severity is the worst that it had.
type Recovery struct {
	Alert
	Ended time.Time `json:"ended"` // when it was last unhealthy
}

// Status is the health of one app, or, with the app "", of the host and the
// stores, as /api/v1/status has it.
type Status struct {
	App             string           `json:"-"`
	Overall         Level            `json:"overall_status"` // the worst of the components
	Components      map[string]Level `json:"components"`     // those that could be evaluated
	Alerts          []Alert          `json:"alerts"`         // present ones, the worst first
	Recovering      []Recovery       `json:"recovering"`     // ended within the last two monitoring intervals
	Muted           []string         `json:"muted"`          // components that are not judged
	Recommendations []string         `json:"recommendations"`
	LastCheck       time.Time        `json:"last_check"`
}

// Part returns the worst level of the alerts about one part of a component, such as a
// store or disk, by its name; Healthy if there is none.
func (s *Status) Part(component, name string) Level {
	worst := Healthy
	for i := range s.Alerts {
		if a := &s.Alerts[i]; a.Component == component && a.Subject.Of == name {
			worst = max(worst, a.Severity)
		}
	}
	return worst
}

// Evaluation is the health of all apps, stores and the host at one time.
type Evaluation struct {
	At   time.Time // zero: there was no evaluation yet
	Apps []Status  // by name; without apps of which nothing is known
	Host Status    // the host and the stores

	findings   []Finding
	recovering []Ended
	advice     []Advice
}

// Finding is an alert with its app.
type Finding struct {
	App string // "": the host or a store
	Alert
}

// Ended is a finding that has ended, with the time when it was last unhealthy.
type Ended struct {
	Finding
	Ended time.Time
}

// Of returns the status of an app; nil if nothing is known of it.
func (j Evaluation) Of(app string) *Status {
	i := slices.IndexFunc(j.Apps, func(s Status) bool { return s.App == app })
	if i < 0 {
		return nil
	}
	return &j.Apps[i]
}

// Findings returns the alerts that are present and not inhibited, the worst first.
func (j Evaluation) Findings() []Finding { return j.findings }

// Recovering returns the alerts that are over and were present less than two monitoring
// intervals before, the worst first.
func (j Evaluation) Recovering() []Ended { return j.recovering }

// Advice returns the advice for all apps, stores and the host, root causes first.
func (j Evaluation) Advice() []Advice { return j.advice }

// Recommendations returns the lines of [Evaluation.Advice].
func (j Evaluation) Recommendations() []string { return texts(j.advice) }
