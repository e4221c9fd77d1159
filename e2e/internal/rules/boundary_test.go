package rules_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

// TestRuleTestsAvoidBoundaries checks that no rule test evaluates at a whole minute with a
// sample there. Prometheus 3 excludes the sample that is exactly as old as the range,
// Prometheus 2 includes it, and all ranges are minutes.
func TestRuleTestsAvoidBoundaries(t *testing.T) {
	files, err := rules.TestFiles("../../../rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Every string `yaml:"evaluation_interval"`
			Tests []struct {
				Name     string
				Interval string
				Alerts   []struct {
					At string `yaml:"eval_time"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		every := duration(t, file.Every)
		for _, test := range file.Tests {
			unit := time.Minute // of the ranges and of the samples
			if step := duration(t, test.Interval); step%unit != 0 {
				unit = 30 * time.Second
				if step%unit != 0 {
					t.Errorf("%s: %s has a sample every %s, want a multiple of 30s", filepath.Base(name), test.Name, step)
				}
			}
			for _, a := range test.Alerts {
				at := duration(t, a.At).Truncate(every)
				if at > 0 && at%unit == 0 {
					t.Errorf("%s: %s looks at %s, where a range of minutes begins at a sample", filepath.Base(name), test.Name, a.At)
				}
			}
		}
	}
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := model.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(d)
}
