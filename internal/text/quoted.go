package text

import (
	"strconv"
	"strings"
	"unicode"
)

// Quoted returns a name from outside for a sentence: [Label] of it, of at most limit
// bytes, in Go's quotes if it has anything but letters, digits and _ . - @ % $ : (it may
// be made to read like the rest of a sentence).
func Quoted(s string, limit int) string {
	s = Label(s, limit)
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.-@%$:", r)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(s)
	}
	return s
}
