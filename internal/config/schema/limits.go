package schema

import "gopkg.in/yaml.v3"

// off is the value of a threshold that is switched off.
const off = "off"

// Number is a number of a [Pair]. The zero value is one that was left out.
type Number struct {
	Given bool
	Off   bool // there is no such level
	Value float64
}

// IsZero reports whether the number was left out; YAML then leaves it out too.
func (n Number) IsZero() bool { return !n.Given }

// MarshalYAML returns the number as the file has it: "off" or its value.
func (n Number) MarshalYAML() (any, error) {
	if n.Off {
		return off, nil
	}
	return n.Value, nil
}

// Pair is a threshold of which each number may be left out or switched off.
type Pair struct {
	Warning  Number `yaml:"warning,omitempty"`
	Critical Number `yaml:"critical,omitempty"`
}

// isOff reports whether a node is the word off, in quotes or not, as text and without an anchor.
func isOff(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagStr && n.Value == off
}
