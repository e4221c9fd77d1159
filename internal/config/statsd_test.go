package config_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

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
