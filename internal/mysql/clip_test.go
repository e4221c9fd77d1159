package mysql

import (
	"strings"
	"testing"
)

// What a server sends is shown without what cannot be printed, also where all of it is ASCII.
func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "Sleep": "Sleep", "a b": "a b", "a\x7fb": "a b", "a\x7fb\u00e9": "a b\u00e9", "a\nb": "a b", "a\xffb": "ab", "a\u202eb": "a b",
		strings.Repeat("a", 300): strings.Repeat("a", 256),
	} {
		if got := clip(in); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}
