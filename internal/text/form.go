package text

import (
	"regexp"
	"unicode/utf8"
)

// Matches reports whether s has at most that many characters and matches an
// expression; a byte that is not UTF-8 counts as a character. Bounds of hundreds
// in the expression itself would be compiled to hundreds of states, 50 to 100 KiB
// each time, that are kept for good.
func Matches(form *regexp.Regexp, s string, most int) bool {
	return utf8.RuneCountInString(s) <= most && form.MatchString(s)
}
