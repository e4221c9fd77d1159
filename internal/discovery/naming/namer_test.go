package naming

import (
	"net/netip"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func TestLastingBind(t *testing.T) {
	tcp := func(port uint16) sockdiag.Listener {
		return sockdiag.Listener{Network: sockdiag.TCP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
	}
	for name, c := range map[string]struct {
		p    table.Process
		l    []sockdiag.Listener
		want string
	}{
		"a script's own port":     {table.Process{Program: cmdline.Program{Server: cmdline.Script}, Argv: []string{"python3", "a.py"}}, []sockdiag.Listener{tcp(40001)}, ""},
		"that it was told":        {table.Process{Program: cmdline.Program{Server: cmdline.Script}, Argv: []string{"python3", "a.py", "--port=40001"}}, []sockdiag.Listener{tcp(40001)}, ":40001"},
		"that is like another's":  {table.Process{Program: cmdline.Program{Server: cmdline.Script}, Argv: []string{"python3", "a.py", "140001"}}, []sockdiag.Listener{tcp(40001)}, ""},
		"a low one":               {table.Process{Program: cmdline.Program{Server: cmdline.Script}, Argv: []string{"python3", "a.py"}}, []sockdiag.Listener{tcp(8000)}, ":8000"},
		"a server's":              {table.Process{Program: cmdline.Program{Server: cmdline.Gunicorn}, Argv: []string{"gunicorn: master [a]"}}, []sockdiag.Listener{tcp(40001)}, ":40001"},
		"not seen":                {table.Process{Program: cmdline.Program{Server: cmdline.Gunicorn}, Argv: []string{"gunicorn", "-b", "0.0.0.0:80", "a:app"}}, nil, ":80"},
		"not seen and not told":   {table.Process{Program: cmdline.Program{Server: cmdline.Gunicorn}, Argv: []string{"gunicorn", "a:app"}}, nil, ""},
		"the first of its labels": {table.Process{Program: cmdline.Program{Server: cmdline.Gunicorn}}, []sockdiag.Listener{tcp(8001), tcp(8000)}, ":8000"},
	} {
		if got := StableBind(&c.p, c.l); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
