package collectors_test

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
)

// FuzzParseClient: a port is the end of the text, and an address can be compared with those
// of the kernel.
func FuzzParseClient(f *testing.F) {
	for _, s := range []string{"", "localhost", "localhost:1", "10.0.0.1:41872", "::1:41872", "[::1]:1", "::ffff:10.0.0.1:9", "fe80::1%lo:9", "web:99999", ":", "a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		addr, name, port := collectors.ParseClient(host)
		if port == 0 {
			if addr != (netip.Addr{}) || name != host {
				t.Errorf("%q: %v %q without a port", host, addr, name)
			}
			return
		}
		end := host[len(name)+1:]
		if n, err := strconv.ParseUint(end, 10, 16); err != nil || uint16(n) != port || host[:len(name)] != name {
			t.Errorf("%q: name %q, port %d", host, name, port)
		}
		if addr.IsValid() && (addr.Is4In6() || addr.Zone() != "") {
			t.Errorf("%q: %v", host, addr)
		}
	})
}
