package address

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Listen is a listening socket as apps[].match.listen names it: either a UNIX socket
// or a TCP port.
type Listen struct {
	Unix string // path of the socket, or "@name" of an abstract one; empty for TCP
	Host string // IP address without brackets, or "localhost" for both loopbacks; empty for any address
	Port uint16 // 1 to 65535 for TCP, 0 for a UNIX socket
}

// String returns the listener in the one form that stays the same when [ParseListen]
// reads it: ":8000", "127.0.0.1:8000", "[::1]:8000", "unix:/run/app.sock".
func (l Listen) String() string {
	if l.Unix != "" {
		return "unix:" + l.Unix
	}
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

// ParseListen reads ":8000", "127.0.0.1:8000", "[::1]:8000", "localhost:8000",
// "unix:/run/app.sock" or "unix:@abstract"; ok is false for anything else.
func ParseListen(s string) (l Listen, ok bool) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !IsSocketPath(path) && (len(path) < 2 || path[0] != '@' || len(path) > maxSocketPath) {
			return Listen{}, false
		}
		return Listen{Unix: path}, true
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Listen{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Listen{}, false
	}
	if host != "" && host != "localhost" {
		// A zone would never be found: the kernel's tables do not show it.
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return Listen{}, false
		}
		host = addr.Unmap().String()
	}
	return Listen{Host: host, Port: uint16(n)}, true
}
