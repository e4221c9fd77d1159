package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// statusJSON is what /api/v1/status reports, as far as tests read it.
type statusJSON struct {
	Recommendations []string
	Apps            []struct {
		Name     string
		Health   healthJSON
		Reported *struct {
			Traces []traceJSON `json:"memory_traces"`
		}
	}
	Health      healthJSON // of the host and the servers
	Unavailable []lackJSON
	Notes       []lackJSON // optional lacks
}

// traceJSON is which lines of a worker have kept memory during a trace.
type traceJSON struct {
	PID   int
	Lines []struct {
		File  string
		Line  int
		Bytes float64
	}
}

// healthJSON is the health of an app, or of the host and the servers.
type healthJSON struct {
	Overall string `json:"overall_status"`
	Alerts  []alertJSON
}

// alertJSON is one unhealthy component.
type alertJSON struct {
	Name, Severity, Component, Summary string
	Since                              time.Time
}

// lackJSON is what a collector cannot read.
type lackJSON struct {
	Collector, Of, Reason, Detail string
}

// status reads /api/v1/status.
func (x *exporter) status() (s statusJSON, err error) {
	code, body, err := x.get("/api/v1/status")
	if err != nil {
		return s, err
	}
	if code != http.StatusOK {
		return s, fmt.Errorf("status %d", code)
	}
	return s, json.Unmarshal([]byte(body), &s)
}

// lacks returns an error unless the API reports that a collector lacks something for that
// reason, with a detail that has all of the values: names, numbers or commands.
func (s *statusJSON) lacks(collector, reason string, values ...string) error {
	for _, l := range append(s.Unavailable, s.Notes...) {
		if l.Collector == collector && l.Reason == reason && l.Detail != "" && hasAll(l.Detail, values) {
			return nil
		}
	}
	return fmt.Errorf("%s does not lack anything for the reason %s with %q: %+v", collector, reason, values, append(s.Unavailable, s.Notes...))
}

// alert returns the first alert of an app; of the host and the servers with "". It returns
// an error unless the alert has that severity and name.
func (s *statusJSON) alert(app, severity, name string) (alertJSON, error) {
	health := s.Health
	for _, a := range s.Apps {
		if a.Name == app {
			health = a.Health
		}
	}
	if len(health.Alerts) == 0 || health.Alerts[0].Severity != severity || health.Alerts[0].Name != name {
		return alertJSON{}, fmt.Errorf("the first alert of %q is not %s %s: %+v", app, severity, name, health.Alerts)
	}
	return health.Alerts[0], nil
}

// advises returns an error unless one recommendation has all of the values: names, numbers
// or commands.
func (s *statusJSON) advises(values ...string) error {
	if slices.ContainsFunc(s.Recommendations, func(line string) bool { return hasAll(line, values) }) {
		return nil
	}
	return fmt.Errorf("no recommendation has %q: %q", values, s.Recommendations)
}

func hasAll(text string, values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !strings.Contains(text, v) })
}

// lackLines counts the lines of the log that report any lack of a collector.
func (x *exporter) lackLines(collector string) int {
	return strings.Count(x.Output(1<<20), " collector="+collector+" reason=")
}

// loggedLacks counts the lines of the log that report a lack of a collector for a reason.
func (x *exporter) loggedLacks(collector, reason string) int {
	return strings.Count(x.Output(1<<20), " collector="+collector+" reason="+reason+" ")
}
