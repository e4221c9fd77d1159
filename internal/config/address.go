package config

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxSocketPath is the longest path of a UNIX socket in bytes: sun_path of
// sockaddr_un holds 108 with the closing zero.
const maxSocketPath = 107

var (
	errListen = errors.New("expected " + schema.Wanted[Match]("listen"))
	errStatsD = errors.New("expected " + schema.WantedItem[StatsD]("listen"))
	errTrust  = errors.New("expected " + schema.WantedItem[StatsD]("trust"))
)

// hostName is a name that a resolver may know. Its last label is no number, so
// that 10.0.0.999 is not taken for a name.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_-]*\.)*[A-Za-z_][A-Za-z0-9_-]*\.?$`)

// Listen is a listening socket as [Match.Listen] names it: either a UNIX socket
// or a TCP port.
type Listen struct {
	Unix string // path of the socket, or "@name" of an abstract one; empty for TCP
	Host string // IP address without brackets, or "localhost" for both loopbacks; empty for any address
	Port uint16 // 1 to 65535 for TCP, 0 for a UNIX socket
}

// String returns the listener in the one form that [ParseListen] gives back
// unchanged: ":8000", "127.0.0.1:8000", "[::1]:8000", "unix:/run/app.sock".
func (l Listen) String() string {
	if l.Unix != "" {
		return "unix:" + l.Unix
	}
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

// ParseListen reads ":8000", "127.0.0.1:8000", "[::1]:8000", "localhost:8000",
// "unix:/run/app.sock" or "unix:@abstract". The error says what is expected.
func ParseListen(s string) (Listen, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !isSocketPath(path) && (len(path) < 2 || path[0] != '@' || len(path) > maxSocketPath) {
			return Listen{}, errListen
		}
		return Listen{Unix: path}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Listen{}, errListen
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Listen{}, errListen
	}
	if host != "" && host != "localhost" {
		// A zone would never be found: the kernel's tables do not show it.
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return Listen{}, errListen
		}
		host = addr.Unmap().String()
	}
	return Listen{Host: host, Port: uint16(n)}, nil
}

// ParseStatsDListen splits "udp://host:port" or "unixgram:///path" into what
// package net takes: "udp" and "host:port", or "unixgram" and the absolute
// path. The host may be empty (all addresses) or a name; port 0 lets the
// kernel choose. The error says what is expected.
func ParseStatsDListen(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unixgram://"); ok {
		if !isSocketPath(path) {
			return "", "", errStatsD
		}
		return "unixgram", path, nil
	}
	address, ok := strings.CutPrefix(s, "udp://")
	if !ok {
		return "", "", errStatsD
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", errStatsD
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !isHost(host) {
		return "", "", errStatsD
	}
	return "udp", net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// SendTo returns where an app of this host sends its StatsD lines, as gunicorn's
// --statsd-host takes it: "127.0.0.1:9125" or "unix:///path". It is the first address
// of Listen with a known port; "" without one.
func (s StatsD) SendTo() string {
	for _, listen := range s.Listen {
		network, address, err := ParseStatsDListen(listen)
		if err != nil {
			continue
		}
		if network == "unixgram" {
			return "unix://" + address
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || port == "0" {
			continue
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return net.JoinHostPort(host, port)
	}
	return ""
}

// Trusted is who may report for every app: a user of this host, or the senders
// of a network.
type Trusted struct {
	UID uint32       // if Net is the zero value
	Net netip.Prefix // of addresses, IPv4 ones as such
}

// ParseTrust reads "uid:1001", "10.0.0.0/8" or "10.1.2.3". The error says what
// is expected.
func ParseTrust(s string) (Trusted, error) {
	if id, ok := strings.CutPrefix(s, "uid:"); ok {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil || n == 1<<32-1 { // the id of nobody at all
			return Trusted{}, errTrust
		}
		return Trusted{UID: uint32(n)}, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return Trusted{Net: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	net, err := netip.ParsePrefix(s)
	if err != nil || net != net.Masked() || net.Addr().Is4In6() {
		return Trusted{}, errTrust
	}
	return Trusted{Net: net}, nil
}

func isHost(s string) bool {
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

func isSocketPath(s string) bool {
	return len(s) > 1 && len(s) <= maxSocketPath && s[0] == '/' && !strings.HasSuffix(s, "/") && !strings.Contains(s, "\x00")
}
