package text_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "shop": "shop", "s:@-/._9": "s:@-/._9", "my shop": "my_shop", "a b{c}\n": "a_b_c__", "españa": "espa_a",
		"espa\xf1a": "espa_a", "商店": "__", "ümlaut": "_mlaut", " ": "_", "a|b~2": "a_b_2", "\x00\u202e\xff\xfe": "____",
		strings.Repeat("x", 64):            strings.Repeat("x", 64),
		strings.Repeat("x", 100):           strings.Repeat("x", 64),
		strings.Repeat("商", 100):           strings.Repeat("_", 64),
		strings.Repeat("x", 63) + "商y":     strings.Repeat("x", 63) + "_",
		" " + strings.Repeat("abcd", 1000): "_" + strings.Repeat("abcd", 15) + "abc",
	} {
		var room [text.MaxName]byte
		if got := text.Name(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if got := text.NameBytes([]byte(in), &room); string(got) != want {
			t.Errorf("bytes %q became %q, want %q", in, got, want)
		}
	}
}

// FuzzName: a name is clean and within its bound, does not change when it is cleaned
// again, has one character for each character of the text up to the bound, and is the
// same for bytes and for a string.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", "shop", "my shop", "españa", "\xff\xfe", strings.Repeat("商", 70), "a~2", "prod/x:1@2"} {
		f.Add(s)
	}
	clean := regexp.MustCompile(`^[A-Za-z0-9._:@/-]{0,64}$`)
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Name(s)
		if !clean.MatchString(got) || len(got) != min(len([]rune(s)), text.MaxName) {
			t.Errorf("%q became %q", s, got)
		}
		if again := text.Name(got); again != got {
			t.Errorf("%q became %q, then %q", s, got, again)
		}
		var room [text.MaxName]byte
		if b := text.NameBytes([]byte(s), &room); string(b) != got {
			t.Errorf("bytes %q became %q, want %q", s, b, got)
		}
	})
}

func BenchmarkNameBytes(b *testing.B) {
	for name, in := range map[string]string{
		"clean": "shop", "space": "my shop", "long": strings.Repeat("shop-frontend ", 10),
	} {
		b.Run(name, func(b *testing.B) {
			var room [text.MaxName]byte
			s := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				if len(text.NameBytes(s, &room)) == 0 {
					b.Fatal("empty")
				}
			}
		})
	}
}
