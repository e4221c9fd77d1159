package statement

import (
	"bytes"
	"strings"
)

// maxKeyword is the longest of the keywords.
const maxKeyword = len("OPTIMIZE")

// Keyword is the first word of a statement, if it is one of a few; 0 for none,
// and for any other.
type Keyword uint8

// String returns the word in capitals; "" for 0 and for a number that is none.
func (k Keyword) String() string {
	if words := keywords(); int(k) < len(words) {
		return words[k]
	}
	return ""
}

// keywords returns the first words of statements. Only these are published of a
// statement.
func keywords() [14]string {
	return [...]string{
		"", "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "ALTER", "CALL", "LOAD", "OPTIMIZE", "CREATE", "DROP", "TRUNCATE", "ANALYZE",
	}
}

// KeywordOf returns the first word of a statement after comments and brackets; 0 if it is
// none of the known, or behind a comment that the server executes. It allocates nothing
// and stores no part of the text.
func KeywordOf(statement []byte) Keyword {
	s := withoutComments(statement)
	n := 0
	for n < len(s) && n <= maxKeyword && isLetter(s[n]) {
		n++
	}
	if n == 0 || n > maxKeyword || n < len(s) && isWord(s[n]) {
		return 0
	}
	for i, k := range keywords() {
		if len(k) == n && strings.EqualFold(k, string(s[:n])) {
			return Keyword(i)
		}
	}
	return 0
}

// isLetter reports whether a byte is an ASCII letter.
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWord reports whether a byte can go on with a word, beside letters.
func isWord(c byte) bool { return c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80 }

// withoutComments returns a statement from its first word on, behind comments, white
// space and "("; empty if there is none. A comment that the server executes (/*! … */)
// ends the search, so that the result is nil.
func withoutComments(s []byte) []byte {
	for {
		s = bytes.TrimLeft(s, " \t\r\n\f\v(")
		var end []byte
		switch {
		case bytes.HasPrefix(s, []byte("/*!")), bytes.HasPrefix(s, []byte("/*M!")):
			return nil
		case bytes.HasPrefix(s, []byte("/*")):
			s, end = s[2:], []byte("*/")
		case bytes.HasPrefix(s, []byte("-- ")), bytes.HasPrefix(s, []byte("#")):
			end = []byte("\n")
		default:
			return s
		}
		_, rest, found := bytes.Cut(s, end)
		if !found {
			return nil
		}
		s = rest
	}
}
