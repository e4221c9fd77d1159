package address

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ParseDatagram splits "udp://host:port" or "unixgram:///path" into what
// package net takes: "udp" and "host:port", or "unixgram" and the absolute
// path. The host may be empty (all addresses) or a name; port 0 lets the
// kernel choose. ok is false for anything else.
func ParseDatagram(s string) (network, addr string, ok bool) {
	if path, ok := strings.CutPrefix(s, "unixgram://"); ok {
		if !IsSocketPath(path) {
			return "", "", false
		}
		return "unixgram", path, true
	}
	addr, ok = strings.CutPrefix(s, "udp://")
	if !ok {
		return "", "", false
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !IsHost(host) {
		return "", "", false
	}
	return "udp", net.JoinHostPort(host, strconv.FormatUint(n, 10)), true
}

// Trusted is who may report for every app: a user of this host, or the senders
// of a network.
type Trusted struct {
	UID uint32       // if Net is the zero value
	Net netip.Prefix // of addresses; IPv4 ones are not mapped
}

// ParseTrust returns the user or the network that "uid:1001", "10.0.0.0/8" or "10.1.2.3"
// names. ok is false for anything else, such as "10.0.0.1/8".
func ParseTrust(s string) (t Trusted, ok bool) {
	if id, ok := strings.CutPrefix(s, "uid:"); ok {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil || n == 1<<32-1 { // the id -1, which no user has
			return Trusted{}, false
		}
		return Trusted{UID: uint32(n)}, true
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return Trusted{Net: netip.PrefixFrom(addr, addr.BitLen())}, true
	}
	net, err := netip.ParsePrefix(s)
	if err != nil || net != net.Masked() || net.Addr().Is4In6() {
		return Trusted{}, false
	}
	return Trusted{Net: net}, true
}
