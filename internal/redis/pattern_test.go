package redis_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// FuzzKeyPattern: only the end of the pattern is special, and it matches the prefix.
func FuzzKeyPattern(f *testing.F) {
	f.Add("session:")
	f.Add(`a*b?[c]\d^-`)
	f.Fuzz(func(t *testing.T, prefix string) {
		pattern, ok := strings.CutSuffix(redis.KeyPattern(prefix), "*")
		if !ok {
			t.Fatal("no * at its end")
		}
		var plain []byte
		for i := 0; i < len(pattern); i++ {
			c := pattern[i]
			if c == '\\' {
				i++ // there is one more, or this panics
				c = pattern[i]
			} else if strings.IndexByte("*?[]", c) >= 0 {
				t.Fatalf("%q is bare in %q", c, pattern)
			}
			plain = append(plain, c)
		}
		if string(plain) != prefix {
			t.Errorf("%q for %q", plain, prefix)
		}
	})
}
