package config_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestParseListen(t *testing.T) {
	long := "/" + strings.Repeat("x", 106)
	good := map[string]struct {
		want config.Listen
		text string // the one form
	}{
		":8000":               {config.Listen{Port: 8000}, ":8000"},
		":08000":              {config.Listen{Port: 8000}, ":8000"},
		":65535":              {config.Listen{Port: 65535}, ":65535"},
		"127.0.0.1:8000":      {config.Listen{Host: "127.0.0.1", Port: 8000}, "127.0.0.1:8000"},
		"0.0.0.0:80":          {config.Listen{Host: "0.0.0.0", Port: 80}, "0.0.0.0:80"},
		"[::1]:8000":          {config.Listen{Host: "::1", Port: 8000}, "[::1]:8000"},
		"[0:0::1]:8000":       {config.Listen{Host: "::1", Port: 8000}, "[::1]:8000"},
		"[::ffff:10.0.0.1]:1": {config.Listen{Host: "10.0.0.1", Port: 1}, "10.0.0.1:1"},
		"localhost:8000":      {config.Listen{Host: "localhost", Port: 8000}, "localhost:8000"},
		"unix:/run/x.sock":    {config.Listen{Unix: "/run/x.sock"}, "unix:/run/x.sock"},
		"unix:@abstract":      {config.Listen{Unix: "@abstract"}, "unix:@abstract"},
		"unix:" + long:        {config.Listen{Unix: long}, "unix:" + long},
	}
	for s, test := range good {
		got, err := config.ParseListen(s)
		if err != nil || got != test.want || got.String() != test.text {
			t.Errorf("%q is %+v, %q, %v; want %+v, %q", s, got, got, err, test.want, test.text)
		}
		if again, err := config.ParseListen(got.String()); err != nil || again != got {
			t.Errorf("%q reads back as %+v, %v; want %+v", got, again, err, got)
		}
	}
	for _, s := range []string{
		"", "8000", ":", ":0", ":-1", ":65536", ":http", ":+80", "*:8000", "shop:8000", "10.0.0.999:80", "::1:8000", "[::1]", "[fe80::1%eth0]:80",
		"unix:", "unix:/", "unix:run/x.sock", "unix:/run/", "unix:@", "unix:" + long + "x", "unix:/a\x00b", "unix:///run/../", "http://127.0.0.1:80", "127.0.0.1:80 ",
	} {
		if got, err := config.ParseListen(s); err == nil || got != (config.Listen{}) {
			t.Errorf("%q is %+v, %v; want an error", s, got, err)
		}
	}
}

func TestParseStatsDListen(t *testing.T) {
	long := "/" + strings.Repeat("x", 106)
	good := map[string][2]string{
		"udp://127.0.0.1:9125":  {"udp", "127.0.0.1:9125"},
		"udp://:9125":           {"udp", ":9125"},
		"udp://0.0.0.0:09125":   {"udp", "0.0.0.0:9125"},
		"udp://[::1]:9125":      {"udp", "[::1]:9125"},
		"udp://[fe80::1%lo]:1":  {"udp", "[fe80::1%lo]:1"},
		"udp://localhost:9125":  {"udp", "localhost:9125"},
		"udp://a-b.example.:1":  {"udp", "a-b.example.:1"},
		"udp://127.0.0.1:0":     {"udp", "127.0.0.1:0"},
		"unixgram:///run/s":     {"unixgram", "/run/s"},
		"unixgram:///run/a b?c": {"unixgram", "/run/a b?c"},
		"unixgram://" + long:    {"unixgram", long},
	}
	for s, want := range good {
		network, address, err := config.ParseStatsDListen(s)
		if err != nil || network != want[0] || address != want[1] {
			t.Errorf("%q is %q, %q, %v; want %q", s, network, address, err, want)
		}
	}
	for _, s := range []string{
		"", "udp", "udp://", "udp://127.0.0.1", "udp://127.0.0.1:", "udp://127.0.0.1:65536", "udp://127.0.0.1:-1", "udp://127.0.0.1:9125/", "udp://10.0.0.999:1",
		"udp://a b:1", "udp://-:1", "udp://a..b:1", "udp://::1:9125", "UDP://127.0.0.1:9125", "udp:127.0.0.1:9125", "tcp://127.0.0.1:9125", "127.0.0.1:9125",
		"unixgram://run/s", "unixgram:///", "unixgram://", "unixgram:/run/s", "unix:///run/s", "unixgram:///run/", "unixgram://" + long + "x", "unixgram:///a\x00b",
	} {
		if network, address, err := config.ParseStatsDListen(s); err == nil {
			t.Errorf("%q is %q, %q, %v; want an error", s, network, address, err)
		}
	}
}

func TestStatsDSendTo(t *testing.T) {
	tests := map[string]string{ // addresses separated by spaces
		"": "", "udp://127.0.0.1:9126": "127.0.0.1:9126", "udp://10.0.0.3:9125": "10.0.0.3:9125", "udp://:9125": "127.0.0.1:9125",
		"udp://0.0.0.0:9125": "127.0.0.1:9125", "udp://[::]:9125": "127.0.0.1:9125", "udp://[::1]:9125": "[::1]:9125", "udp://localhost:8125": "localhost:8125",
		"unixgram:///run/s": "unix:///run/s", "udp://127.0.0.1:0": "", "udp://127.0.0.1:0 unixgram:///run/s": "unix:///run/s",
		"tcp://127.0.0.1:1 udp://127.0.0.1:9127 udp://127.0.0.1:9128": "127.0.0.1:9127",
	}
	for listen, want := range tests {
		if got := (config.StatsD{Listen: strings.Fields(listen)}).SendTo(); got != want {
			t.Errorf("%q: got %q, want %q", listen, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	tests := map[string]string{ // "": refused
		"1s": "1s", "1m30s": "1m30s", "1.5h": "1h30m0s", "250ms": "250ms", "+5s": "5s", "1d": "24h0m0s", "1w": "168h0m0s", "2w3d12h": "420h0m0s",
		"1d1ms": "24h0m0.001s", "999w9999d": "407808h0m0s", "2562047h": "2562047h0m0s",
		"30": "", "s": "", "1": "", "5 s": "", "1y": "", "1.5d": "", "1d2w": "", "1h1d": "", "1d-1h": "", "1d+1h": "", "-1d": "", "1d\n": "", "1d0x": "",
		"9999999d": "", "2562048h": "", "999w2562047h": "", "0": "", "-5s": "", "0d": "",
	}
	for s, want := range tests {
		c, err := config.Load(strings.NewReader("slow_request: '"+strings.ReplaceAll(s, "\n", "\n\n")+"'"), "f", nil)
		got := ""
		if err == nil {
			got = c.SlowRequest.String()
		}
		if got != want {
			t.Errorf("%q is %q (%v), want %q", s, got, err, want)
		}
	}
}
