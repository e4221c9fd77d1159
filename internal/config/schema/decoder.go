package schema

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decoder reads the nodes of a file. The library's own strict decoding names
// neither the path of a value nor what is expected. Its depth is that of the
// schema, however deep the file is nested.
type Decoder struct {
	lines  map[string]int    // where each known path was given
	envs   map[string]string // which variable gave a path, `NAME="value"`
	bad    map[string]bool   // paths whose value was refused
	parts  map[string]bool   // paths with a refused value somewhere inside
	faults []Fault
}

// NewDecoder returns a decoder of one file.
func NewDecoder() *Decoder {
	return &Decoder{lines: map[string]int{"": 1}, envs: map[string]string{}, bad: map[string]bool{}, parts: map[string]bool{}}
}

// Add adds faults.
func (d *Decoder) Add(fs ...Fault) { d.faults = append(d.faults, fs...) }

// SetVariable records which environment variable gave the value at a path, as
// `NAME="value"`.
func (d *Decoder) SetVariable(path, variable string) { d.envs[path] = variable }

// Err returns one error for all faults (the first hundred and how many more), with file
// as the name of the file; nil if there are no faults.
func (d *Decoder) Err(file string) error { return join(file, d.faults) }

// wrong adds the fault that a node is not what is wanted, and refuses the value at the
// path.
func (d *Decoder) wrong(n *yaml.Node, path, want string) {
	d.reject(n.Line, path, "got "+describe(n), want)
}

// reject adds a fault and marks the value at the path as refused.
func (d *Decoder) reject(line int, path, got, want string) {
	d.Refuse(path)
	d.fault(line, path, got, want)
}

// fault adds a fault at a line.
func (d *Decoder) fault(line int, path, got, want string) {
	d.Add(Fault{Path: path, Got: got, Want: want, Line: line})
}

// Refuse marks the value at a path as wrong and not taken over, so that Check reports no
// fault for it, for what is inside it or for what is around it. It adds no fault itself.
func (d *Decoder) Refuse(path string) {
	d.bad[path] = true
	for path != "" {
		path = parent(path)
		d.parts[path] = true
	}
}

// refused reports whether the value at a path, or one around it or inside it, was
// refused.
func (d *Decoder) refused(path string) bool {
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

// Check adds faults for values that were read but are wrong, with their lines. A fault is
// left out if its value, or one around or inside it, was refused already.
func (d *Decoder) Check(found []Fault) {
	var wrong []string
	for _, f := range found {
		if d.refused(f.Path) {
			continue
		}
		f.Env, f.Line = d.origin(f.Path)
		d.Add(f)
		wrong = append(wrong, f.Path)
	}
	for _, path := range wrong {
		d.Refuse(path)
	}
}

// origin returns the variable that set the value at a path, or one of its limits "warning"
// and "critical", and line 0; without a variable "" and the line of the value or, if that
// has none, of the nearest value around it.
func (d *Decoder) origin(path string) (env string, line int) {
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

// duplicate reports whether the mapping had the key before; then it adds a fault. If not,
// it records the key in seen.
func (d *Decoder) duplicate(key *yaml.Node, path string, seen map[string]int) bool {
	first, ok := seen[key.Value]
	if ok {
		d.fault(key.Line, JoinPath(path, key.Value), fmt.Sprintf("duplicate key, first set on line %d", first), "it once")
		return true
	}
	seen[key.Value] = key.Line
	return false
}

// is reports whether the node has one of these tags; if not, it adds a fault.
// It refuses anchors and aliases: a file this small needs none, and without
// them it cannot grow while it is read.
func (d *Decoder) is(n *yaml.Node, path, want string, tags ...string) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.wrong(n, path, "a value without anchors and aliases")
		return false
	}
	for _, t := range tags {
		if n.ShortTag() == t && kindOf(t) == n.Kind {
			return true
		}
	}
	d.wrong(n, path, want)
	return false
}
