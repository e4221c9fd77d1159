// Package address reads hosts, ports and paths of sockets as the configuration has them.
package address

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxSocketPath is the longest path of a UNIX socket in bytes: sun_path of
// sockaddr_un holds 108 with the closing zero.
const maxSocketPath = 107

// hostName is a name that a resolver may know. Its last label is no number, so
// that 10.0.0.999 is not taken for a name.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_-]*\.)*[A-Za-z_][A-Za-z0-9_-]*\.?$`)

// IsHost reports whether s can be a host: a name, an IP address, or "" for all addresses.
func IsHost(s string) bool {
	if s == "" || text.Matches(hostName, s, 253) && shortLabels(s) {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// shortLabels reports whether no label of a host name is longer than 63 characters.
func shortLabels(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > 63 {
			return false
		}
	}
	return true
}

// IsSocketPath reports whether s can be the absolute path of a UNIX socket, of at most 107 bytes.
func IsSocketPath(s string) bool {
	return len(s) > 1 && len(s) <= maxSocketPath && s[0] == '/' && !strings.HasSuffix(s, "/") && !strings.Contains(s, "\x00")
}

// IsHostPort reports whether s is "host:port" with a host ([IsHost]) that is not empty and a
// port from 1 on.
func IsHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || !IsHost(host) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
