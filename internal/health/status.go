package health

import (
	"fmt"
	"slices"
	"time"
)

// Level is how well something is, in the numbers of resp_health_status.
type Level int

// The levels.
const (
	Healthy Level = iota
	Warning
	Critical
)

// String is the word of /api/v1/status.
func (l Level) String() string {
	switch l {
	case Healthy:
		return "healthy"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	default:
		return fmt.Sprintf("level %d", int(l))
	}
}

// MarshalText implements [encoding.TextMarshaler].
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]; a word that is no level
// is an error.
func (l *Level) UnmarshalText(text []byte) error {
	for _, x := range []Level{Healthy, Warning, Critical} {
		if x.String() == string(text) {
			*l = x
			return nil
		}
	}
	return fmt.Errorf("no health level %q", text)
}

// Alert is one finding of the exporter's own: what is not well, how bad, and
// since when.
type Alert struct {
	Name      string    `json:"name"` // of the rule, e.g. "error_rate" or "disk /var"
	Severity  Level     `json:"severity"`
	Component string    `json:"component"`
	Summary   string    `json:"summary"` // a sentence without a full stop
	Since     time.Time `json:"since"`   // it is not healthy

	Subject Subject `json:"-"` // what it is about

	inhibited bool // another alert of the same app says it already
}

// Recovery is an alert that has ended, and not for long enough to be sure of it.
// Its severity is the worst that was seen.
type Recovery struct {
	Alert
	Ended time.Time `json:"ended"` // when it was last seen
}

// Status is the model HealthStatus of /api/v1/status: how one app is, or, with
// the app "", the host and the stores on which no single app has a claim.
type Status struct {
	App             string           `json:"-"`
	Overall         Level            `json:"overall_status"` // the worst of the components
	Components      map[string]Level `json:"components"`     // those that could be judged
	Alerts          []Alert          `json:"alerts"`         // what is present, the worst first
	Recovering      []Recovery       `json:"recovering"`     // what ended within the last two monitoring intervals
	Recommendations []string         `json:"recommendations"`
	LastCheck       time.Time        `json:"last_check"`
}

// Part returns how well one of several things of a component is: a store, a
// pool, a queue or a disk, by its name.
func (s *Status) Part(component, name string) Level {
	worst := Healthy
	for i := range s.Alerts {
		if a := &s.Alerts[i]; a.Component == component && a.Subject.Of == name {
			worst = max(worst, a.Severity)
		}
	}
	return worst
}

// Judgement is all that one look says of everybody's health.
type Judgement struct {
	At   time.Time // zero: there was none yet
	Apps []Status  // by name; an app of which nothing is known is not there
	Host Status    // the host and the stores

	findings   []Finding
	recovering []Ended
	advice     []string
}

// Finding is an alert and whose it is.
type Finding struct {
	App string // "": the host's, or a store's
	Alert
}

// Ended is a finding that has ended, and when it was last seen.
type Ended struct {
	Finding
	Ended time.Time
}

// Of returns the status of that app, or nil where nothing is known of it.
func (j Judgement) Of(app string) *Status {
	i := slices.IndexFunc(j.Apps, func(s Status) bool { return s.App == app })
	if i < 0 {
		return nil
	}
	return &j.Apps[i]
}

// Findings lists what is not well, each once, the worst first.
func (j Judgement) Findings() []Finding { return j.findings }

// Recovering lists what has ended within the last two monitoring intervals, each
// once, the worst first.
func (j Judgement) Recovering() []Ended { return j.recovering }

// Recommendations lists what to do now, each once, the most useful first.
func (j Judgement) Recommendations() []string { return j.advice }
