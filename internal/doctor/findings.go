package doctor

import (
	"fmt"
	"reflect"
	"slices"
)

func (d *doctor) section(name string) *Section {
	s := d.sections[name]
	if s == nil {
		s = &Section{Name: name, Status: "ok", Facts: []string{}, Findings: []Finding{}}
		d.sections[name] = s
	}
	return s
}

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

func (d *doctor) fact(section, format string, args ...any) {
	s := d.section(section)
	s.Facts = append(s.Facts, fmt.Sprintf(format, args...))
}
