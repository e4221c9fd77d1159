// Package rules reads Prometheus rule files and their tests, and writes rule
// files with shorter times, for demos and tests that cannot wait for hours.
package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Rule is one rule of a file: an alert, or a recording rule.
type Rule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
	File, Group         string        `yaml:"-"` // the base name of its file, and its group's name
	Interval            time.Duration `yaml:"-"` // of its group; 0: Prometheus' evaluation_interval
}

// Key identifies an alert among those of the same name, by severity and tier.
func (r Rule) Key() string { return Key(r.Alert, r.Labels) }

// Key returns the key of the alert with this name and these labels.
func Key(alert string, labels map[string]string) string {
	return strings.Join([]string{alert, labels["severity"], labels["tier"]}, "/")
}

// Load returns the rules of all files *.rules.yml of dir. None is an error.
func Load(dir string) ([]Rule, error) {
	names, err := Files(dir)
	if err != nil {
		return nil, err
	}
	var out []Rule
	for _, name := range names {
		var file struct {
			Groups []struct {
				Name, Interval string
				Rules          []Rule
			}
		}
		if err := decode(name, &file); err != nil {
			return nil, err
		}
		for _, group := range file.Groups {
			every, err := parse(group.Interval)
			if err != nil {
				return nil, fmt.Errorf("rules: %s: group %s: %w", name, group.Name, err)
			}
			for _, r := range group.Rules {
				r.File, r.Group, r.Interval = filepath.Base(name), group.Name, every
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// Files lists the rule files of dir; it is an error if there are none.
func Files(dir string) ([]string, error) { return list(dir, "*.rules.yml") }

// TestFiles returns the files of dir with tests for promtool. None is an error.
func TestFiles(dir string) ([]string, error) { return list(dir, "*.rules_test.yml") }

// list returns the files of a directory that match a pattern. None is an error.
func list(dir, pattern string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("rules: no %s in %s", pattern, dir)
	}
	return names, nil
}

// Test is one test of a test file: series that go in, and what alerts there
// must be at some times.
type Test struct {
	Name        string
	InputSeries []struct{ Series, Values string } `yaml:"input_series"`
	Alerts      []Expectation                     `yaml:"alert_rule_test"`
}

// Expectation lists the alerts of a name that fire at a time. No others may.
type Expectation struct {
	EvalTime  string `yaml:"eval_time"`
	Alertname string
	Alerts    []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

// LoadTests returns the tests of all test files of dir.
func LoadTests(dir string) ([]Test, error) {
	names, err := TestFiles(dir)
	if err != nil {
		return nil, err
	}
	var out []Test
	for _, name := range names {
		var file struct{ Tests []Test }
		if err := decode(name, &file); err != nil {
			return nil, err
		}
		out = append(out, file.Tests...)
	}
	return out, nil
}

// decode decodes a YAML file.
func decode(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("rules: %s: %w", name, err)
	}
	return nil
}
