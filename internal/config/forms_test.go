package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The forms of names are those of expressions that have their bounds in them.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		is   func(string) bool
		want string
	}{
		"app":       {isAppName, `^[A-Za-z0-9._:@/-]{1,64}$`},
		"unit":      {isUnitName, `^[A-Za-z0-9:_.\\@-]{1,255}$`},
		"user":      {isUserName, `^[^\s:/,\x00-\x20-][^\s:/,\x00-\x20]{0,255}$`},
		"key":       {func(s string) bool { return schema.KeyText(s) == s }, `^[A-Za-z0-9_-]{1,64}$`},
		"label":     {isLabelName, `^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`},
		"procedure": {isProcedure, `^[A-Za-z0-9_$]{1,64}\.[A-Za-z0-9_$]{1,64}$`},
		"component": {func(s string) bool { return text.Matches(componentForm, s, 64) }, `^[a-z_]{1,64}$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := regexp.MustCompile(c.want)
			for _, in := range oddNames() {
				if got := c.is(in); got != want.MatchString(in) {
					t.Errorf("%d bytes, %.80q: %v", len(in), in, got)
				}
			}
		})
	}
}

// oddNames returns names at and around each bound, of all kinds of characters.
func oddNames() []string {
	var out []string
	for _, piece := range []string{"a", "A", "_", "0", "-", "$", ".", "@", "/", ":", ",", " ", "\\", "~", "ä", "\xff", "\n", "\x00", "\u00a0"} {
		for _, n := range []int{0, 1, 2, 62, 63, 64, 65, 127, 128, 129, 254, 255, 256, 257} {
			s := strings.Repeat(piece, n)
			out = append(out, s, "a"+s, s+"a", s+".", "."+s, "a."+s, s+".a", s+"."+s, "a."+s+".a", s+".0", "0."+s, s+"\n")
		}
	}
	long := strings.Repeat(strings.Repeat("a", 63)+".", 4)
	return append(out, long, long[:253], long[:252], long[:250]+".a", long+"a")
}
