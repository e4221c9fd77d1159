package text

import (
	"strings"
	"unicode"
)

// Clip returns at most the first limit bytes of s, followed by "…" if it was cut. Each
// control character, such as a line break, becomes a space, and invalid UTF-8 becomes "�".
func Clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
