package discovery

import (
	"net/netip"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func TestLastingBind(t *testing.T) {
	tcp := func(port uint16) sockdiag.Listener {
		return sockdiag.Listener{Network: sockdiag.TCP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
	}
	for name, c := range map[string]struct {
		p    process
		l    []sockdiag.Listener
		want string
	}{
		"a script's own port":     {process{ident: cmdline.Program{Server: cmdline.Script}, argv: []string{"python3", "a.py"}}, []sockdiag.Listener{tcp(40001)}, ""},
		"that it was told":        {process{ident: cmdline.Program{Server: cmdline.Script}, argv: []string{"python3", "a.py", "--port=40001"}}, []sockdiag.Listener{tcp(40001)}, ":40001"},
		"that is like another's":  {process{ident: cmdline.Program{Server: cmdline.Script}, argv: []string{"python3", "a.py", "140001"}}, []sockdiag.Listener{tcp(40001)}, ""},
		"a low one":               {process{ident: cmdline.Program{Server: cmdline.Script}, argv: []string{"python3", "a.py"}}, []sockdiag.Listener{tcp(8000)}, ":8000"},
		"a server's":              {process{ident: cmdline.Program{Server: cmdline.Gunicorn}, argv: []string{"gunicorn: master [a]"}}, []sockdiag.Listener{tcp(40001)}, ":40001"},
		"not seen":                {process{ident: cmdline.Program{Server: cmdline.Gunicorn}, argv: []string{"gunicorn", "-b", "0.0.0.0:80", "a:app"}}, nil, ":80"},
		"not seen and not told":   {process{ident: cmdline.Program{Server: cmdline.Gunicorn}, argv: []string{"gunicorn", "a:app"}}, nil, ""},
		"the first of its labels": {process{ident: cmdline.Program{Server: cmdline.Gunicorn}}, []sockdiag.Listener{tcp(8001), tcp(8000)}, ":8000"},
	} {
		if got := lastingBind(&c.p, c.l); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
