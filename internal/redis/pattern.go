package redis

import "strings"

// KeyPattern returns the pattern, for SCAN and ACL rules, of all keys that begin with
// prefix.
func KeyPattern(prefix string) string {
	var b strings.Builder
	for _, c := range []byte(prefix) {
		if strings.IndexByte(`*?[]\`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('*')
	return b.String()
}
