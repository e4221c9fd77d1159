package schema

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFaults limits the faults that an error lists; the rest are counted.
const maxFaults = 100

// maxQuoted bounds how much of a value, in bytes, an error repeats.
const maxQuoted = 80

// Fault is one wrong value, with the place where it was written.
type Fault struct {
	Path string // "apps[0].match.listen"; "" for the file as a whole
	Got  string // what is there, e.g. `got "x"`
	Want string // what is expected

	Line int    // of the file, from 1; 0: not known
	Env  string // `RESPONSIVENESS_X="value"` if it was an environment variable
}

// In returns the fault as one line of text; file is the name of the file.
func (f Fault) In(file string) error {
	var parts []string
	switch {
	case f.Env != "":
		parts = append(parts, "environment", f.Env)
	case f.Line > 0:
		parts = append(parts, file+":"+strconv.Itoa(f.Line))
	default:
		parts = append(parts, file)
	}
	if f.Env == "" && f.Path != "" {
		parts = append(parts, f.Path)
	}
	switch {
	case f.Want == "":
		parts = append(parts, f.Got)
	case f.Got == "":
		parts = append(parts, "expected "+f.Want)
	default:
		parts = append(parts, f.Got+"; expected "+f.Want)
	}
	return errors.New(strings.Join(parts, ": "))
}

// join returns one error for all faults: those of the file by line, then those of the
// environment by name, the first maxFaults and how many more; nil if there are none.
func join(file string, faults []Fault) error {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Env, b.Env), cmp.Compare(a.Line, b.Line))
	})
	var errs []error
	for _, f := range faults[:min(len(faults), maxFaults)] {
		errs = append(errs, f.In(file))
	}
	if more := len(faults) - maxFaults; more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more errors", file, more))
	}
	return errors.Join(errs...)
}

// Quote returns a value as an error shows it: cut to maxQuoted bytes and "…", in quotes, and
// with escapes so that it is one line.
func Quote(s string) string { return strconv.Quote(shorten(s)) }

// shorten returns s cut to maxQuoted bytes and "…", without cutting a character in two.
func shorten(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// OneLine returns s cut to maxQuoted bytes and "…", with "�" for each character that is
// not printable.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, shorten(s))
}
