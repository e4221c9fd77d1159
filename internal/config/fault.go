package config

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

// fault is a problem with the place where it was written.
type fault struct {
	problem
	line int    // of the file, from 1; 0: not known
	env  string // `RESPONSIVENESS_X="value"` if it was an environment variable
}

// in returns the fault as one line of text; file is the name of the file.
func (f fault) in(file string) error {
	var parts []string
	switch {
	case f.env != "":
		parts = append(parts, "environment", f.env)
	case f.line > 0:
		parts = append(parts, file+":"+strconv.Itoa(f.line))
	default:
		parts = append(parts, file)
	}
	if f.env == "" && f.path != "" {
		parts = append(parts, f.path)
	}
	switch {
	case f.want == "":
		parts = append(parts, f.got)
	case f.got == "":
		parts = append(parts, "expected "+f.want)
	default:
		parts = append(parts, f.got+"; expected "+f.want)
	}
	return errors.New(strings.Join(parts, ": "))
}

// join returns one error for all faults: those of the file by line, then those
// of the environment by name; nil if there are none.
func join(file string, faults []fault) error {
	slices.SortStableFunc(faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.env, b.env), cmp.Compare(a.line, b.line))
	})
	var errs []error
	for _, f := range faults[:min(len(faults), maxFaults)] {
		errs = append(errs, f.in(file))
	}
	if more := len(faults) - maxFaults; more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more errors", file, more))
	}
	return errors.Join(errs...)
}

// quote returns a value for an error: in quotes, on one line, shortened.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// shorten cuts s, without cutting a character in two.
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

// oneLine shortens s and replaces whatever would break a line of text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, shorten(s))
}
