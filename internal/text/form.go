package text

import (
	"regexp"
	"unicode/utf8"
)

// Form is the form of a name: a regular expression, and how many characters the
// name may have. Bounds of hundreds in the expression itself would be compiled to
// hundreds of states, 50 to 100 KiB each, that are kept for good.
type Form struct {
	of   *regexp.Regexp
	most int
}

// NewForm returns the form of names of at most that many characters that match
// an expression; it panics if the expression cannot be compiled.
func NewForm(expression string, most int) Form {
	return Form{regexp.MustCompile(expression), most}
}

// MatchString reports whether s has the form. A byte that is not UTF-8 counts as
// a character.
func (f Form) MatchString(s string) bool {
	return utf8.RuneCountInString(s) <= f.most && f.of.MatchString(s)
}
