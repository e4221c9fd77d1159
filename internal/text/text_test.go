package text_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestLabel(t *testing.T) {
	for _, s := range []string{"", "shop", ":8000", "unix:/run/shop.sock", `unix:@a "b" \ c`, "läden", "商店", strings.Repeat("a", 64)} {
		if got := text.Label(s, 64); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	for name, c := range map[string]struct{ in, prefix string }{
		"not UTF-8":         {"unix:@\xff", "unix:@_~"},
		"line break":        {"a\nb", "a_b~"},
		"control":           {"a\x00\x1b[31mb", "a__[31mb~"},
		"right to left":     {"a\u202eb", "a_b~"},
		"zero width":        {"a\u200bb", "a_b~"},
		"line separator":    {"a\u2028b", "a_b~"},
		"too long":          {strings.Repeat("a", 65), strings.Repeat("a", 55) + "~"},
		"a rune at the cut": {strings.Repeat("a", 54) + "商商商商", strings.Repeat("a", 54) + "~"},
		"replacement":       {"a\ufffdb", "a_b~"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text.Label(c.in, 64); !strings.HasPrefix(got, c.prefix) || len(got) != len(c.prefix)+8 {
				t.Errorf("%q became %q", c.in, got)
			}
		})
	}
	if text.Label("a\x01", 64) == text.Label("a\x02", 64) {
		t.Error("two texts became one")
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"", "shop", "\xff", "a\u202eb", strings.Repeat("商", 100), "a\r\nb", "\x00\xff"} {
		f.Add(s, 64)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 16 + max(0, limit)%500
		got := text.Label(s, limit)
		if !utf8.ValidString(got) || len(got) > limit {
			t.Fatalf("%q is not valid or has %d bytes, limit %d", got, len(got), limit)
		}
		for _, c := range got {
			if !unicode.IsPrint(c) {
				t.Fatalf("%q has %U", got, c)
			}
		}
		if text.Label(got, limit) != got {
			t.Fatalf("%q changes again", got)
		}
	})
}

func BenchmarkLabel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if text.Label("unix:/run/shop/shop.sock", 128) == "" {
			b.Fatal("empty")
		}
	}
}
