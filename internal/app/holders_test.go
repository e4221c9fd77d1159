package app_test

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// A connection belongs to an app if the server and the kernel report the same two
// ends, and to none if that is not certain.
func TestHoldersOf(t *testing.T) {
	t.Parallel()
	at := func(name, component, local string, pid int, proven bool) conns.Connection {
		return conns.Connection{App: name, PID: pid, Component: component, Local: netip.MustParseAddrPort(local), Proven: proven}
	}
	held := &conns.Sample{
		Errs: map[string]error{"blog": fs.ErrPermission},
		List: []conns.Connection{
			at("shop", "mysql:main", "127.0.0.1:1001", 7, true), at("shop", "mysql:main", "192.0.2.5:1001", 8, true),
			at("blog", "mysql:main", "127.0.0.1:1002", 9, false), at("shop", "mysql:other", "127.0.0.1:1003", 7, true),
			at("shop", "mysql", "127.0.0.1:1004", 7, true), at("blog", "mysql:main", "[2001:db8::1]:1005", 9, true),
			at("shop", "mysql:main", "127.0.0.1:1006", 7, true), at("blog", "mysql:main", "127.0.0.1:1006", 9, true),
			at("shop", "mysql:main", "192.0.2.5:1007", 7, true), at("blog", "mysql:main", "192.0.2.5:1007", 9, false),
			at("blog", "mysql:main", "192.0.2.5:1008", 9, false), {App: "shop", Component: "mysql:main"},
		},
	}
	snap := &discovery.Snapshot{Apps: []discovery.App{{Name: "blog", Up: true}, {Name: "shop", Up: true, Workers: []discovery.Worker{{Process: discovery.Process{PID: 7}, Slot: 3}}}}}
	h := app.NewHolders(held, snap, "mysql:main", map[string]string{"web-1": "192.0.2.5", "web-2": "192.0.2.6"})
	for host, want := range map[string]dbconn.Holder{
		"127.0.0.1:1001":   {App: "shop", Worker: "3"},
		"localhost:1001":   {App: "shop", Worker: "3"},
		"192.0.2.5:1001":   {App: "shop"},
		"web-1:1001":       {App: "shop"},
		"web-1:1007":       {App: "shop", Worker: "3"},
		"2001:db8::1:1005": {App: "blog"},
		"127.0.0.1:1002":   {}, // of a loopback that is another one
		"192.0.2.5:1008":   {}, // of a namespace that anybody may have made
		"127.0.0.1:1003":   {}, // of another server
		"127.0.0.1:1004":   {}, // of some server
		"127.0.0.1:1006":   {}, // of two
		"127.0.0.1:1007":   {},
		"192.0.2.6:1001":   {}, // of another host
		"web-2:1001":       {},
		"web-9:1001":       {},
		"localhost":        {}, // through a UNIX socket
		"":                 {},
		":0":               {},
		"127.0.0.1:70000":  {},
	} {
		if got := h.Of(host); got != want {
			t.Errorf("%s: %+v, want %+v", host, got, want)
		}
	}
	for name, complete := range map[string]bool{"shop": true, "blog": false, "wiki": false} {
		if got := h.Incomplete(name); (got == "") != complete {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// FuzzHoldersOf: for any client name from the server, the holder has its port.
func FuzzHoldersOf(f *testing.F) {
	for _, s := range []string{"127.0.0.1:1001", "localhost:1001", "[::1]:1001", "::1:1001", "x:1001", ":1001", "127.0.0.1"} {
		f.Add(s)
	}
	held := &conns.Sample{List: []conns.Connection{{App: "shop", Component: "mysql:main", Local: netip.MustParseAddrPort("127.0.0.1:1001"), Proven: true}}}
	f.Fuzz(func(t *testing.T, host string) {
		h := app.NewHolders(held, &discovery.Snapshot{}, "mysql:main", nil)
		if got := h.Of(host); got.App != "" && !strings.HasSuffix(host, "1001") {
			t.Errorf("%q: %+v", host, got)
		}
	})
}
