package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

const (
	ratio  = "expected a number from 0 to 1"
	prefix = "environment: RESPONSIVENESS_"
)

var unknown = ": unknown variable; expected RESPONSIVENESS_MONITORING_INTERVAL, RESPONSIVENESS_CLEANUP_ENABLED, or " +
	"RESPONSIVENESS_<X>_WARNING_THRESHOLD or RESPONSIVENESS_<X>_CRITICAL_THRESHOLD with X one of " +
	strings.ToUpper(limitKeys)

// Each threshold has two variables, which set that threshold only.
func TestEnvironmentOfEachThreshold(t *testing.T) {
	config.Default().Thresholds.Each(func(resource string, def config.Limit) {
		t.Run(resource, func(t *testing.T) {
			name := "RESPONSIVENESS_" + strings.ToUpper(resource)
			c, err := config.LoadFile("", []string{name + "_WARNING_THRESHOLD=0.25", name + "_CRITICAL_THRESHOLD=0.25"})
			if err != nil {
				t.Fatal(err)
			}
			before := map[string]config.Limit{}
			config.Default().Thresholds.Each(func(r string, l config.Limit) { before[r] = l })
			c.Thresholds.Each(func(r string, l config.Limit) {
				want := before[r]
				if r == resource {
					want = config.Limit{Warning: 0.25, Critical: 0.25}
				}
				if l != want {
					t.Errorf("%s is %+v, want %+v (the default of %s is %+v)", r, l, want, resource, def)
				}
			})
		})
	})
}

func TestEnvironmentWins(t *testing.T) {
	file := "monitoring_interval: 10s\nthresholds: {cpu: {warning: 0.1, critical: 0.2}, disk: {warning: 0.3}}\n"
	env := []string{
		"PATH=/bin",
		"RESPONSIVENESS_MONITORING_INTERVAL=2m",
		"RESPONSIVENESS_CPU_CRITICAL_THRESHOLD=0.7",
		"RESPONSIVENESS_CPU_CRITICAL_THRESHOLD=nonsense", // the second of two is not seen
		"RESPONSIVENESS_REQUEST_QUEUE_CRITICAL_THRESHOLD=1e3",
		"RESPONSIVENESS_CLEANUP_ENABLED=false",
		"XRESPONSIVENESS_NONSENSE=1",
	}
	want := config.Default()
	want.MonitoringInterval = 2 * time.Minute
	want.Thresholds.CPU = config.Limit{Warning: 0.1, Critical: 0.7}
	want.Thresholds.Disk.Warning = 0.3
	want.Thresholds.RequestQueue.Critical = 1000
	want.Healing.Mode = config.HealOff
	got, err := config.Load(strings.NewReader(file), "f.yml", env)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Kubernetes sets these in every pod of the namespace of a service whose name begins
// with "responsiveness"; the exporter must start nevertheless.
func TestEnvironmentOfKubernetes(t *testing.T) {
	got, err := config.LoadFile("", []string{
		"RESPONSIVENESS_SERVICE_HOST=10.0.0.1",
		"RESPONSIVENESS_SERVICE_PORT=9868",
		"RESPONSIVENESS_SERVICE_PORT_HTTP=9868",
		"RESPONSIVENESS_PORT=tcp://10.0.0.1:9868",
		"RESPONSIVENESS_PORT_9868_TCP=tcp://10.0.0.1:9868",
		"RESPONSIVENESS_PORT_9868_TCP_PROTO=tcp",
		"RESPONSIVENESS_EXPORTER_PORT_9868_TCP_ADDR=10.0.0.1",
	})
	if err != nil || !reflect.DeepEqual(got, config.Default()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEnvironmentFaults(t *testing.T) {
	tests := []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"no number", "", []string{"CPU_WARNING_THRESHOLD=x"}, []string{prefix + `CPU_WARNING_THRESHOLD="x": ` + ratio}},
		{"empty", "", []string{"CPU_WARNING_THRESHOLD="}, []string{prefix + `CPU_WARNING_THRESHOLD="": ` + ratio}},
		{"a percentage", "", []string{"CPU_WARNING_THRESHOLD=80"}, []string{prefix + `CPU_WARNING_THRESHOLD="80": ` + ratio}},
		{"no number at all", "", []string{"CPU_WARNING_THRESHOLD=nan", "CPU_CRITICAL_THRESHOLD=inf"}, []string{
			prefix + `CPU_CRITICAL_THRESHOLD="inf": ` + ratio,
			prefix + `CPU_WARNING_THRESHOLD="nan": ` + ratio,
		}},
		{"negative", "", []string{"TASK_AGE_WARNING_THRESHOLD=-1"}, []string{prefix + `TASK_AGE_WARNING_THRESHOLD="-1": expected a number of seconds, 0 or more`}},
		{"no unit", "", []string{"MONITORING_INTERVAL=30"}, []string{prefix + `MONITORING_INTERVAL="30": expected a duration from 1s to 1h`}},
		{"too long", "", []string{"MONITORING_INTERVAL=1d"}, []string{prefix + `MONITORING_INTERVAL="1d": expected a duration from 1s to 1h`}},
		{"no boolean", "", []string{"CLEANUP_ENABLED=maybe", "CPU_WARNING_THRESHOLD=0.95"}, []string{
			prefix + `CLEANUP_ENABLED="maybe": expected true or false`,
			prefix + `CPU_WARNING_THRESHOLD="0.95": warning 0.95 is above critical 0.9; expected warning at or below critical`,
		}},
		{"a typo", "", []string{"CPU_WARN_THRESHOLD=0.5"}, []string{prefix + "CPU_WARN_THRESHOLD" + unknown}},
		{"lower case", "", []string{"Cpu_WARNING_THRESHOLD=0.5"}, []string{prefix + "Cpu_WARNING_THRESHOLD" + unknown}},
		{"a name of two lines", "", []string{"A\nB=0.5"}, []string{prefix + "A\ufffdB" + unknown}},
		{"order", "", []string{"CACHE_HIT_RATE_CRITICAL_THRESHOLD=0.9"}, []string{
			prefix + `CACHE_HIT_RATE_CRITICAL_THRESHOLD="0.9": warning 0.8 is below critical 0.9; expected warning at or above critical, because this threshold warns about low values`,
		}},
		{"order against the file", "thresholds:\n  cpu: {critical: 0.85}\n", []string{"CPU_WARNING_THRESHOLD=0.86"}, []string{
			prefix + `CPU_WARNING_THRESHOLD="0.86": warning 0.86 is above critical 0.85; expected warning at or below critical`,
		}},
		{"after the file's own", "slow_request: 5\nthresholds: {cpu: {warning: 2}}\n", []string{"CPU_WARNING_THRESHOLD=0.5", "X=1"}, []string{
			"f.yml:1: slow_request: got 5; expected a duration such as 5s",
			"f.yml:2: thresholds.cpu.warning: got 2; expected a number from 0 to 1",
			prefix + "X" + unknown,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var env []string
			for _, e := range test.env {
				env = append(env, "RESPONSIVENESS_"+e)
			}
			c, err := config.Load(strings.NewReader(test.file), "f.yml", env)
			if err == nil {
				t.Fatalf("loaded as %+v", c)
			}
			if want := strings.Join(test.want, "\n"); err.Error() != want {
				t.Errorf("got\n%s\nwant\n%s", err, want)
			}
		})
	}
}

// The environment can repair what contradicts itself in the file.
func TestEnvironmentRepairsAnOrder(t *testing.T) {
	file := "thresholds: {cpu: {warning: 0.95}}\n"
	c, err := config.Load(strings.NewReader(file), "f.yml", []string{"RESPONSIVENESS_CPU_CRITICAL_THRESHOLD=0.99"})
	if err != nil || c.Thresholds.CPU != (config.Limit{Warning: 0.95, Critical: 0.99}) {
		t.Errorf("got %+v, %v", c.Thresholds.CPU, err)
	}
}
