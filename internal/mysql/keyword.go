package mysql

import (
	"bytes"
	"strings"
)

// maxKeyword is the longest of the keywords.
const maxKeyword = len("OPTIMIZE")

// keywords are the first words of statements that may be published.
func keywords() [13]string {
	return [...]string{
		"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "ALTER", "CALL", "LOAD", "OPTIMIZE", "CREATE", "DROP", "TRUNCATE", "ANALYZE",
	}
}

// keyword returns the first word of a statement behind comments and brackets if
// it is one of [keywords], else "". It allocates nothing and keeps nothing of the
// text.
func keyword(statement []byte) string {
	s := withoutComments(statement)
	n := 0
	for n < len(s) && n <= maxKeyword && isLetter(s[n]) {
		n++
	}
	if n == 0 || n > maxKeyword || n < len(s) && isWord(s[n]) {
		return ""
	}
	for _, k := range keywords() {
		if len(k) == n && strings.EqualFold(k, string(s[:n])) {
			return k
		}
	}
	return ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWord reports whether a byte behind letters makes them another word.
func isWord(c byte) bool { return c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80 }

// withoutComments returns a statement from its first word on. A comment that the
// server executes (/*! … */) is no comment.
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
