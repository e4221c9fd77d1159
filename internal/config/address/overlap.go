package address

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Overlap reports whether two lists of host:port or paths have an address in common, in
// whichever form each is written. All loopback addresses and localhost are one host; other
// names are not looked up, and paths are compared as they are.
func Overlap(x, y []string) bool {
	return slices.ContainsFunc(x, func(a string) bool {
		return slices.ContainsFunc(y, func(b string) bool { return plain(a) == plain(b) })
	})
}

// plain returns an address in one form: a host in small letters without the dot of a root,
// localhost and any loopback as 127.0.0.1, a port without zeros; without a port, or with a slash, as it is.
func plain(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsRune(s, '/') {
		return s // a path
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		if host = a.Unmap().String(); a.IsLoopback() {
			host = "127.0.0.1"
		}
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	return net.JoinHostPort(host, port)
}
