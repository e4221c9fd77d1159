package text

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds a line for a terminal, in bytes.
const maxLine = 8 << 10

// Line returns s as one line for a terminal or a log: what is not printable, such
// as escape sequences, line breaks and characters that change the direction of
// writing, is written as in Go's strings (\x1b, \u202e), and what is beyond 8 KiB
// is cut and ends with "...". A sound text is returned as it is.
func Line(s string) string {
	if len(s) <= maxLine && sound(s) {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		if b.Len() > maxLine-len("\\U00000000...") {
			b.WriteString("...")
			break
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	return b.String()
}

// JSON returns encoded JSON with each character that is not printable, other
// than a line feed, written as \uXXXX. encoding/json leaves DEL, the C1 control
// characters and those that change the direction of writing as they are, which
// it has within strings only.
func JSON(encoded []byte) []byte {
	var out bytes.Buffer
	for _, c := range string(encoded) {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			out.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			const first, half = 0x10000, 0x3ff
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(c-first)>>10, 0xdc00+(c-first)&half)
		}
	}
	return out.Bytes()
}
