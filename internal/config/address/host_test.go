package address

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The form of a host name is that of an expression that has its bounds in it.
func TestHostName(t *testing.T) {
	t.Parallel()
	want := regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,62})\.)*([A-Za-z_]([A-Za-z0-9_-]{0,62}))\.?$`)
	for _, in := range oddHosts() {
		if got := text.Matches(hostName, in, 253) && shortLabels(in); got != (want.MatchString(in) && len(in) <= 253) {
			t.Errorf("%d bytes, %.80q: %v", len(in), in, got)
		}
	}
}

// oddHosts returns names at and around each bound, of all kinds of characters.
func oddHosts() []string {
	var out []string
	for _, piece := range []string{"a", "A", "_", "0", "-", "$", ".", "@", "/", ":", ",", " ", "\\", "~", "ä", "\xff", "\n", "\x00", "\u00a0"} {
		for _, n := range []int{0, 1, 2, 62, 63, 64, 65, 252, 253, 254} {
			s := strings.Repeat(piece, n)
			out = append(out, s, "a"+s, s+"a", s+".", "."+s, "a."+s, s+".a", s+"."+s, "a."+s+".a", s+".0", "0."+s, s+"\n")
		}
	}
	long := strings.Repeat(strings.Repeat("a", 63)+".", 4)
	return append(out, long, long[:253], long[:252], long[:250]+".a", long+"a")
}
