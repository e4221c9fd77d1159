package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder reads the nodes of a file. The library's own strict decoding names
// neither the path of a value nor what is expected. Its depth is that of the
// schema, however deep the file is nested.
type decoder struct {
	lines  map[string]int    // where each known path was given
	envs   map[string]string // which variable gave a path, `NAME="value"`
	bad    map[string]bool   // paths whose value was refused
	parts  map[string]bool   // paths with a refused value somewhere inside
	faults []fault
}

func newDecoder() *decoder {
	return &decoder{lines: map[string]int{"": 1}, envs: map[string]string{}, bad: map[string]bool{}, parts: map[string]bool{}}
}

// wrong adds the fault that a node is not what is expected.
func (d *decoder) wrong(n *yaml.Node, path, want string) {
	d.reject(n.Line, problem{path, "got " + describe(n), want})
}

// reject adds the fault that a value was refused.
func (d *decoder) reject(line int, p problem) {
	d.refuse(p.path)
	d.fault(line, p)
}

func (d *decoder) fault(line int, p problem) {
	d.faults = append(d.faults, fault{problem: p, line: line})
}

// refuse records a path whose value is not in the configuration, so that no
// further fault is reported for it.
func (d *decoder) refuse(path string) {
	d.bad[path] = true
	for path != "" {
		path = parent(path)
		d.parts[path] = true
	}
}

// refused reports whether the value at a path, or one around it or inside it, was
// refused.
func (d *decoder) refused(path string) bool {
	if d.parts[path] {
		return true
	}
	for !d.bad[path] {
		if path == "" {
			return false
		}
		path = parent(path)
	}
	return true
}

// problems adds faults for wrong values, except where a fault for the same
// value is reported already.
func (d *decoder) problems(ps []problem) {
	var found []string
	for _, p := range ps {
		if d.refused(p.path) {
			continue
		}
		env, line := d.origin(p.path)
		d.faults = append(d.faults, fault{problem: p, line: line, env: env})
		found = append(found, p.path)
	}
	for _, path := range found {
		d.refuse(path)
	}
}

// origin returns the variable or the line that gave the value at a path, or
// else the nearest line around it.
func (d *decoder) origin(path string) (env string, line int) {
	for _, p := range []string{path, path + ".warning", path + ".critical"} {
		if env = d.envs[p]; env != "" {
			return env, 0
		}
	}
	for {
		if line, ok := d.lines[path]; ok {
			return "", line
		}
		path = parent(path)
	}
}

// parent returns the path of what contains a path; the root's is empty.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }
