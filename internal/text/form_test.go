package text_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestMatches(t *testing.T) {
	f := regexp.MustCompile(`^[^ ]+$`)
	for in, want := range map[string]bool{
		"a": true, "abcd": true, "ääää": true, "\xff\xff\xff\xff": true,
		"": false, "abcde": false, "äääää": false, "\xff\xff\xff\xff\xff": false, "a b": false, "ab\n": true, "    ": false,
	} {
		if got := text.Matches(f, in, 4); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	if long := strings.Repeat("a", 1<<20); text.Matches(f, long, 4) {
		t.Error("a very long one matches")
	}
}
