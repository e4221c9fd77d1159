package rules

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// Scaling describes how the times of rules become shorter.
type Scaling struct {
	// By is what every for, keep_firing_for, group interval, range, step and
	// offset is divided by; 1 or more.
	By float64
	// Least is the shortest range, and the shortest interval of a group, that is
	// written. Two scrapes must fit in, or rate and its kin give nothing.
	Least time.Duration
}

// ScaleDir writes the rule files of from, scaled, to the directory to, which
// is made if it is missing, under their own names.
func (s Scaling) ScaleDir(from, to string) error {
	names, err := Files(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("rules: %w", err)
		}
		scaled, err := s.Scale(text)
		if err != nil {
			return fmt.Errorf("rules: %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), scaled, 0o644); err != nil {
			return fmt.Errorf("rules: %w", err)
		}
	}
	return nil
}

// Scale returns the text of a rule file with shorter times. Names, thresholds,
// labels and annotations stay, so that the windows in the names of recording
// rules, and the times in annotations, are those of the unscaled ones.
func (s Scaling) Scale(text []byte) ([]byte, error) {
	if s.By < 1 || s.Least < 0 {
		return nil, fmt.Errorf("scale by %v, at least %s: expected 1 or more, and 0 or more", s.By, s.Least)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if err := s.walk(&doc); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// walk scales the values of the keys that hold durations or expressions.
func (s Scaling) walk(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			if err := s.walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		var err error
		switch key {
		case "for", "keep_firing_for":
			value.Value, err = s.divide(value.Value, 0)
		case "interval":
			value.Value, err = s.divide(value.Value, s.Least)
		case "expr":
			value.Value, err = s.expr(value.Value)
		case "labels", "annotations":
		default:
			err = s.walk(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const durationText = `(?:[0-9]+(?:ms|[smhdwy]))+`

var (
	rangeText  = regexp.MustCompile(`\[(` + durationText + `)(?::(` + durationText + `))?\]`)
	offsetText = regexp.MustCompile(`\boffset (` + durationText + `)`)
	partText   = regexp.MustCompile(`([0-9]+)(ms|[smhdwy])`)
)

// expr returns an expression with scaled ranges, steps of subqueries and offsets.
func (s Scaling) expr(text string) (string, error) {
	var fault error
	divide := func(d string, least time.Duration) string {
		out, err := s.divide(d, least)
		fault = errors.Join(fault, err)
		return out
	}
	text = rangeText.ReplaceAllStringFunc(text, func(m string) string {
		parts := rangeText.FindStringSubmatch(m)
		if parts[2] == "" {
			return "[" + divide(parts[1], s.Least) + "]"
		}
		return "[" + divide(parts[1], s.Least) + ":" + divide(parts[2], s.Least) + "]"
	})
	text = offsetText.ReplaceAllStringFunc(text, func(m string) string {
		return "offset " + divide(offsetText.FindStringSubmatch(m)[1], 0)
	})
	return text, fault
}

// divide returns a scaled duration: at least a millisecond, and at least least unless it
// was shorter.
func (s Scaling) divide(text string, least time.Duration) (string, error) {
	d, err := parse(text)
	if err != nil || d == 0 || s.By == 1 {
		return text, err
	}
	scaled := time.Duration(float64(d) / s.By)
	scaled = max(scaled, min(least, d), time.Millisecond)
	if scaled%time.Second == 0 {
		return fmt.Sprintf("%ds", scaled/time.Second), nil
	}
	return fmt.Sprintf("%dms", scaled.Milliseconds()), nil
}

// parse returns a duration that is written as in Prometheus, "1h30m" or "3d".
func parse(text string) (time.Duration, error) {
	units := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
	}
	var sum time.Duration
	rest := text
	for rest != "" {
		m := partText.FindStringSubmatchIndex(rest)
		if m == nil || m[0] != 0 {
			return 0, fmt.Errorf("%q is no duration", text)
		}
		n, err := strconv.ParseInt(rest[m[2]:m[3]], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration: %w", text, err)
		}
		sum += time.Duration(n) * units[rest[m[4]:m[5]]]
		rest = rest[m[1]:]
	}
	return sum, nil
}
