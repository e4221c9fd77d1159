package text_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestQuoted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                      "",
		"shop":                  "shop",
		"shop_ro@10.0.0.7":      "shop_ro@10.0.0.7",
		"\u00e9t\u00e9":         "\u00e9t\u00e9",
		"ann, or (KILL 7)":      `"ann, or (KILL 7)"`,
		"a\"b\\c\nd":            `"a\"b\\c_d~0c3fcc83"`,
		"u' from 10.0.0.7 ends": `"u' from 10.0.0.7 ends"`,
	} {
		if got := text.Quoted(name, 100); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}
