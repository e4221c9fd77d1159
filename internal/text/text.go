// Package text makes what comes from outside fit to be shown: as the value of a
// label, in a sentence, in a log.
package text

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// suffixLen is the length of what marks a changed text: "~" and eight digits.
const suffixLen = 9

// Label returns s as the value of a label: valid UTF-8 of at most limit bytes
// (16 or more) without control characters, line breaks, or characters that
// change the direction of writing or cannot be seen.
//
// A text that has these already is returned as it is, without an allocation. In
// any other each such character becomes "_", what is too long is cut, and "~"
// with a hash of the whole is added, so that two texts do not become one and
// none becomes equal to a sound one by accident.
func Label(s string, limit int) string {
	if len(s) <= limit && sound(s) {
		return s
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	var b strings.Builder
	room := max(limit, 16) - suffixLen
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			c = '_'
		}
		if b.Len()+utf8.RuneLen(c) > room {
			break
		}
		b.WriteRune(c)
	}
	fmt.Fprintf(&b, "~%08x", h.Sum32())
	return b.String()
}

// sound reports whether all characters of s are printable; U+FFFD and invalid UTF-8 are
// not.
func sound(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return soundRunes(s)
		}
	}
	return true
}

// soundRunes reports whether all characters are printable; U+FFFD and invalid UTF-8 are
// not.
func soundRunes(s string) bool {
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}
