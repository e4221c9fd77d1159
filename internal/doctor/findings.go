package doctor

import (
	"fmt"
	"reflect"
	"slices"
)

// section returns the section of a name, a new one at the first call.
func (d *doctor) section(name string) *Section {
	s := d.sections[name]
	if s == nil {
		s = &Section{Name: name, Status: "ok", Facts: []string{}, Findings: []Finding{}}
		d.sections[name] = s
	}
	return s
}

// add adds a finding to a section, unless it is there, and sets the section's status.
func (d *doctor) add(section string, f Finding) {
	s := d.section(section)
	if f.Remedy == nil {
		f.Remedy = []string{}
	}
	if slices.ContainsFunc(s.Findings, func(have Finding) bool { return reflect.DeepEqual(have, f) }) {
		return
	}
	s.Findings = append(s.Findings, f)
	switch {
	case f.Fault:
		s.Status = "fault"
	case s.Status == "ok":
		s.Status = "note"
	}
}

// fact adds a line to the facts of a section.
func (d *doctor) fact(section, format string, args ...any) {
	s := d.section(section)
	s.Facts = append(s.Facts, fmt.Sprintf(format, args...))
}
