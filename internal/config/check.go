package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// The bounds of what is counted.
const (
	minInterval = time.Second
	maxInterval = time.Hour
	maxRoutes   = 10_000
	maxStatsD   = 8
	maxTrust    = 32
	// Samples a second.
	minSampleRate = 0.5
	maxSampleRate = 20
	// Minutes and bytes of the history.
	minHistory, maxHistory           = 5, 24 * 60
	minHistoryBytes, maxHistoryBytes = 1 << 20, 256 << 20

	maxApps = 50 // what is watched and shown; one more would be dropped in silence
)

// problem is one wrong value, without the line where it was written.
type problem struct {
	path string // "apps[0].match.listen"
	got  string // what is there, e.g. `got "x"`
	want string // what is expected; in checks: "" or an addition to the schema's text, see Config.expect
}

func (p problem) String() string { return p.path + ": " + p.got + "; expected " + p.want }

// Check returns everything that is wrong with the values of c, one joined error
// each, as "apps[0].name: got "a b"; expected 1 to 64 letters, …". [Load]
// returns only what Check accepts.
func (c Config) Check() error {
	var errs []error
	for _, p := range slices.Concat(c.valueProblems(), c.orderProblems()) {
		errs = append(errs, errors.New(p.String()))
	}
	return errors.Join(errs...)
}

// valueProblems returns the problems of each value by itself, and of the lists.
func (c *Config) valueProblems() []problem {
	var out []problem
	if c.MonitoringInterval < minInterval || c.MonitoringInterval > maxInterval {
		out = append(out, problem{"monitoring_interval", "got " + c.MonitoringInterval.String(), ""})
	}
	for _, b := range c.Thresholds.bounds() {
		for _, half := range b.halves() {
			if !b.allows(*half.value) {
				out = append(out, problem{half.path, fmt.Sprintf("got %v", *half.value), b.want})
			}
		}
	}
	if c.SlowRequest <= 0 {
		out = append(out, problem{"slow_request", "got " + c.SlowRequest.String(), ""})
	}
	out = append(out, appProblems(c.Apps)...)
	for i := range c.Apps {
		out = append(out, c.partProblems(&c.Apps[i], fmt.Sprintf("apps[%d]", i))...)
		out = append(out, overrideProblems(&c.Apps[i], fmt.Sprintf("apps[%d]", i))...)
	}
	out = append(out, mysqlProblems(c.MySQL)...)
	out = append(out, redisProblems(c.Redis)...)
	out = append(out, statsdProblems(c.StatsD)...)
	if r := c.Diagnosis.SampleRate; !(r >= minSampleRate && r <= maxSampleRate) {
		out = append(out, problem{"diagnosis.sample_rate", fmt.Sprintf("got %v", r), ""})
	}
	if d := c.Diagnosis.HeapCensus; d != CensusOff && d != CensusOnSuspicion {
		out = append(out, problem{"diagnosis.heap_census", "got " + schema.Quote(d), ""})
	}
	out = append(out, historyProblems(c.Diagnosis.History)...)
	return c.expect(append(out, c.healingProblems()...))
}

func historyProblems(h History) (out []problem) {
	if h.Minutes != 0 && (h.Minutes < minHistory || h.Minutes > maxHistory) {
		out = append(out, problem{"diagnosis.history.minutes", fmt.Sprintf("got %d", h.Minutes), ""})
	}
	if h.MaxBytes < minHistoryBytes || h.MaxBytes > maxHistoryBytes {
		out = append(out, problem{"diagnosis.history.max_bytes", "got " + h.MaxBytes.String(), ""})
	}
	return out
}

// orderProblems returns the thresholds, also of apps, whose two numbers are valid but in the wrong order.
func (c *Config) orderProblems() []problem {
	var out []problem
	for _, b := range c.Thresholds.bounds() {
		if got, want := b.disorder(); got != "" && b.allows(b.limit.Warning) && b.allows(b.limit.Critical) {
			out = append(out, problem{b.path(), got, want})
		}
	}
	return append(out, c.overrideOrderProblems()...)
}

func appProblems(apps []App) []problem {
	var out []problem
	if len(apps) > maxApps {
		out = append(out, problem{"apps", fmt.Sprintf("got %d apps", len(apps)), "at most 50"})
	}
	first := make(map[string]int, len(apps))
	for i, a := range apps {
		path := fmt.Sprintf("apps[%d]", i)
		switch j, again := first[a.Name]; {
		case a.Name == "":
			out = append(out, problem{path + ".name", "missing", ""})
		case !isAppName(a.Name):
			out = append(out, problem{path + ".name", "got " + schema.Quote(a.Name), ""})
		case again:
			out = append(out, problem{path + ".name", fmt.Sprintf("%q is already the name of apps[%d]", a.Name, j), "another name"})
		default:
			first[a.Name] = i
		}
		out = append(out, matchProblems(a.Match, path+".match")...)
	}
	return out
}

func matchProblems(m Match, path string) []problem {
	if m == (Match{}) {
		return []problem{{path, "empty", ""}}
	}
	var out []problem
	given := func(key, value string, ok func(string) bool) {
		if value != "" && !ok(value) {
			out = append(out, problem{path + "." + key, "got " + schema.Quote(value), ""})
		}
	}
	if _, err := regexp.Compile(m.Cmdline); err != nil {
		out = append(out, problem{path + ".cmdline", schema.RegexpFault(err), ""})
	}
	given("pid_file", m.PIDFile, schema.IsAbsolute)
	given("listen", m.Listen, func(s string) bool { _, ok := address.ParseListen(s); return ok })
	given("systemd_unit", m.SystemdUnit, isUnitName)
	given("cgroup", m.Cgroup, schema.IsAbsolute)
	given("user", m.User, isUserName)
	return out
}

func statsdProblems(s StatsD) []problem {
	var out []problem
	if len(s.Listen) > maxStatsD {
		out = append(out, problem{"statsd.listen", fmt.Sprintf("got %d addresses", len(s.Listen)), "at most 8"})
	}
	seen := make(map[string]bool, len(s.Listen))
	for i, l := range s.Listen {
		path := fmt.Sprintf("statsd.listen[%d]", i)
		_, addr, err := ParseStatsDListen(l)
		switch {
		case err != nil:
			out = append(out, problem{path, "got " + schema.Quote(l), ""})
		case seen[addr]:
			out = append(out, problem{path, schema.Quote(l) + " is already in the list", "another address"})
		}
		seen[addr] = true
	}
	if len(s.Trust) > maxTrust {
		out = append(out, problem{"statsd.trust", fmt.Sprintf("got %d entries", len(s.Trust)), "at most 32"})
	}
	for i, t := range s.Trust {
		if _, err := ParseTrust(t); err != nil {
			out = append(out, problem{fmt.Sprintf("statsd.trust[%d]", i), "got " + schema.Quote(t), ""})
		}
	}
	if s.MaxRoutes < 1 || s.MaxRoutes > maxRoutes {
		out = append(out, problem{"statsd.max_routes", fmt.Sprintf("got %d", s.MaxRoutes), ""})
	}
	return out
}

// expect returns ps, in which it adds what the schema expects where want is empty or
// begins with a space or a comma.
func (c *Config) expect(ps []problem) []problem {
	for i := range ps {
		if p := &ps[i]; p.want == "" || p.want[0] == ' ' || p.want[0] == ',' {
			p.want = schema.WantAt(c, p.path) + p.want
		}
	}
	return ps
}
