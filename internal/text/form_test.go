package text_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestForm(t *testing.T) {
	f := text.NewForm(`^[^ ]+$`, 4)
	for in, want := range map[string]bool{
		"a": true, "abcd": true, "ääää": true, "\xff\xff\xff\xff": true,
		"": false, "abcde": false, "äääää": false, "\xff\xff\xff\xff\xff": false, "a b": false, "ab\n": true, "    ": false,
	} {
		if got := f.MatchString(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	if long := strings.Repeat("a", 1<<20); f.MatchString(long) {
		t.Error("a very long one matches")
	}
}
