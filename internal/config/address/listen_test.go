package address_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
)

func TestParseListen(t *testing.T) {
	long := "/" + strings.Repeat("x", 106)
	good := map[string]struct {
		want address.Listen
		text string // the one form
	}{
		":8000":               {address.Listen{Port: 8000}, ":8000"},
		":08000":              {address.Listen{Port: 8000}, ":8000"},
		":65535":              {address.Listen{Port: 65535}, ":65535"},
		"127.0.0.1:8000":      {address.Listen{Host: "127.0.0.1", Port: 8000}, "127.0.0.1:8000"},
		"0.0.0.0:80":          {address.Listen{Host: "0.0.0.0", Port: 80}, "0.0.0.0:80"},
		"[::1]:8000":          {address.Listen{Host: "::1", Port: 8000}, "[::1]:8000"},
		"[0:0::1]:8000":       {address.Listen{Host: "::1", Port: 8000}, "[::1]:8000"},
		"[::ffff:10.0.0.1]:1": {address.Listen{Host: "10.0.0.1", Port: 1}, "10.0.0.1:1"},
		"localhost:8000":      {address.Listen{Host: "localhost", Port: 8000}, "localhost:8000"},
		"unix:/run/x.sock":    {address.Listen{Unix: "/run/x.sock"}, "unix:/run/x.sock"},
		"unix:@abstract":      {address.Listen{Unix: "@abstract"}, "unix:@abstract"},
		"unix:" + long:        {address.Listen{Unix: long}, "unix:" + long},
	}
	for s, test := range good {
		got, ok := address.ParseListen(s)
		if !ok || got != test.want || got.String() != test.text {
			t.Errorf("%q is %+v, %q, %v; want %+v, %q", s, got, got, ok, test.want, test.text)
		}
		if again, ok := address.ParseListen(got.String()); !ok || again != got {
			t.Errorf("%q reads back as %+v, %v; want %+v", got, again, ok, got)
		}
	}
	for _, s := range []string{
		"", "8000", ":", ":0", ":-1", ":65536", ":http", ":+80", "*:8000", "shop:8000", "10.0.0.999:80", "::1:8000", "[::1]", "[fe80::1%eth0]:80",
		"unix:", "unix:/", "unix:run/x.sock", "unix:/run/", "unix:@", "unix:" + long + "x", "unix:/a\x00b", "unix:///run/../", "http://127.0.0.1:80", "127.0.0.1:80 ",
	} {
		if got, ok := address.ParseListen(s); ok || got != (address.Listen{}) {
			t.Errorf("%q is %+v, %v; want nothing", s, got, ok)
		}
	}
}
