package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

var (
	errStatsD = errors.New("expected " + schema.WantedItem[StatsD]("listen"))
	errTrust  = errors.New("expected " + schema.WantedItem[StatsD]("trust"))
)

// ParseStatsDListen splits "udp://host:port" or "unixgram:///path" into what
// package net takes: "udp" and "host:port", or "unixgram" and the absolute
// path. The host may be empty (all addresses) or a name; port 0 lets the
// kernel choose. The error says what is expected.
func ParseStatsDListen(s string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(s, "unixgram://"); ok {
		if !address.IsSocketPath(path) {
			return "", "", errStatsD
		}
		return "unixgram", path, nil
	}
	addr, ok := strings.CutPrefix(s, "udp://")
	if !ok {
		return "", "", errStatsD
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", errStatsD
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !address.IsHost(host) {
		return "", "", errStatsD
	}
	return "udp", net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// SendTo returns where an app of this host sends its StatsD lines, as gunicorn's
// --statsd-host takes it: "127.0.0.1:9125" or "unix:///path". It is the first address
// of Listen with a known port; "" without one.
func (s StatsD) SendTo() string {
	for _, listen := range s.Listen {
		network, addr, err := ParseStatsDListen(listen)
		if err != nil {
			continue
		}
		if network == "unixgram" {
			return "unix://" + addr
		}
		host, port, err := net.SplitHostPort(addr)
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
	Net netip.Prefix // of addresses; IPv4 ones are not mapped
}

// ParseTrust reads "uid:1001", "10.0.0.0/8" or "10.1.2.3". The error says what
// is expected.
func ParseTrust(s string) (Trusted, error) {
	if id, ok := strings.CutPrefix(s, "uid:"); ok {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil || n == 1<<32-1 { // the id -1, which no user has
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
