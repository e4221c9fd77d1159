package model

import (
	"iter"
	"maps"
	"slices"
)

// Reading is one number of one gather, under the name of the metric that
// carries it. Names that start with "page." exist as readings only: they are
// for the status page and have no series.
type Reading struct {
	Name   string
	Labels []string // values, in the order of the metric's label names
	Value  float64
}

// Readings is all that one gather read.
type Readings struct {
	byName map[string][]Reading
}

// NewReadings indexes rs by name; the order within a name is kept.
func NewReadings(rs []Reading) Readings {
	m := make(map[string][]Reading)
	for _, r := range rs {
		m[r.Name] = append(m[r.Name], r)
	}
	return Readings{byName: m}
}

// Each returns every reading, by name.
func (r Readings) Each() iter.Seq[Reading] {
	return func(yield func(Reading) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.byName)) {
			for _, x := range r.byName[name] {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// All returns every reading of that name. The caller must not change it.
func (r Readings) All(name string) []Reading { return r.byName[name] }

// With returns the readings of that name whose leading labels are these.
func (r Readings) With(name string, labels ...string) []Reading {
	var out []Reading
	for _, x := range r.byName[name] {
		if len(x.Labels) >= len(labels) && slices.Equal(x.Labels[:len(labels)], labels) {
			out = append(out, x)
		}
	}
	return out
}

// Get returns the one reading of that name with exactly these labels, and
// whether it exists. What could not be read does not.
func (r Readings) Get(name string, labels ...string) (float64, bool) {
	for _, x := range r.byName[name] {
		if slices.Equal(x.Labels, labels) {
			return x.Value, true
		}
	}
	return 0, false
}
