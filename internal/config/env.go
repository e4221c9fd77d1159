package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

const envPrefix = "RESPONSIVENESS_"

// serviceLink matches the variables that Kubernetes sets in every pod for a
// service whose name begins with "responsiveness"; they are no typing errors.
var serviceLink = regexp.MustCompile(`^RESPONSIVENESS_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// variable is one environment variable that is read.
type variable struct {
	name string
	path string // what it stands for in the file; empty: nothing yet
	want string
	set  func(value string) bool // false: it is not what is expected
}

// variables returns the environment variables that are understood. Their setters write
// into c (true for CLEANUP_ENABLED writes nothing), and return false for a value that is wrong.
func variables(c *Config) []variable {
	out := []variable{
		{envPrefix + "MONITORING_INTERVAL", "monitoring_interval", schema.Wanted[Config]("monitoring_interval"), func(s string) bool {
			return setInterval(&c.MonitoringInterval, s)
		}},
		{envPrefix + "CLEANUP_ENABLED", "", "true or false", func(s string) bool {
			on, err := strconv.ParseBool(s)
			if err == nil && !on { // it can only switch off: true keeps the file's value
				c.Healing.Mode = HealOff
			}
			return err == nil
		}},
	}
	for _, b := range c.Thresholds.bounds() {
		for _, h := range b.halves() {
			name := envPrefix + strings.ToUpper(b.resource+"_"+h.key) + "_THRESHOLD"
			out = append(out, variable{name, h.path, b.want, func(s string) bool {
				v, err := strconv.ParseFloat(s, 64)
				if err != nil || !b.allows(v) {
					return false
				}
				*h.value = v
				return true
			}})
		}
	}
	return out
}

// setInterval sets a duration; false, and nothing is set, if it is no valid interval.
func setInterval(to *time.Duration, s string) bool {
	v, err := schema.ParseDuration(s)
	if err != nil || v < minInterval || v > maxInterval {
		return false
	}
	*to = v
	return true
}

// environment sets in c what the variables say. Unknown variables of the exporter's
// prefix and wrong values become faults of d.
func environment(d *schema.Decoder, env []string, c *Config) {
	known := make(map[string]variable)
	for _, v := range variables(c) {
		known[v.name] = v
	}
	seen := make(map[string]bool)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || seen[name] || serviceLink.MatchString(name) {
			continue
		}
		seen[name] = true // of two, the first counts, as for os.Getenv
		v, ok := known[name]
		if !ok {
			d.Add(schema.Fault{Got: "unknown variable", Want: wantVariable(c), Env: schema.OneLine(name)})
			continue
		}
		text := fmt.Sprintf("%s=%s", name, schema.Quote(value))
		if !v.set(value) {
			if v.path != "" {
				d.Refuse(v.path)
			}
			d.Add(schema.Fault{Want: v.want, Env: text})
			continue
		}
		if v.path != "" {
			d.SetVariable(v.path, text)
		}
	}
}

// wantVariable returns the names of all variables, those of thresholds as a pattern.
func wantVariable(c *Config) string {
	var resources []string
	c.Thresholds.Each(func(resource string, _ Limit) { resources = append(resources, strings.ToUpper(resource)) })
	return envPrefix + "MONITORING_INTERVAL, " + envPrefix + "CLEANUP_ENABLED, or " + envPrefix + "<X>_WARNING_THRESHOLD or " +
		envPrefix + "<X>_CRITICAL_THRESHOLD with X one of " + strings.Join(resources, ", ")
}
