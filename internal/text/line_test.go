package text_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "shop is healthy": "shop is healthy", "läden 商店": "läden 商店", `a\b`: `a\b`,
		"\x1b]0;PWN\x07\nx": `\x1b]0;PWN\x07\x0ax`, "a\u202eb": `a\u202eb`, "\u009b31m": `\u009b31m`, "\xff": `\xff`, "\x7f": `\x7f`,
		"a\ufffd": "a\ufffd", "\U000e0041": `\U000e0041`, "a\r\tb": `a\x0d\x09b`,
	} {
		if got := text.Line(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := text.Line(strings.Repeat("\n", 1<<20)); len(got) > 8<<10 || !strings.HasSuffix(got, "...") {
		t.Errorf("a long text has %d bytes", len(got))
	}
}

// FuzzLine: no control character for a terminal is left in any text.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "shop", "\xff", "a\u202eb", "\x1b[2J", "\u009b", strings.Repeat("商", 9000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Line(s)
		if !utf8.ValidString(got) || len(got) > 8<<10 || strings.ContainsFunc(got, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q became %q", s, got)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		clean := text.JSON(b.Bytes())
		if bytes.ContainsFunc(clean, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) {
			t.Errorf("%q became %q", s, clean)
		}
		var before, after string
		if err := json.Unmarshal(b.Bytes(), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(clean, &after); err != nil || before != after {
			t.Errorf("%q became %q (%v)", before, after, err)
		}
	})
}
