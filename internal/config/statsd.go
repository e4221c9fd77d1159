package config

import (
	"errors"
	"net"
	"net/netip"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

var (
	errStatsD = errors.New("expected " + schema.WantedItem[StatsD]("listen"))
	errTrust  = errors.New("expected " + schema.WantedItem[StatsD]("trust"))
)

// ParseStatsDListen splits an address as [address.ParseDatagram] does. Its error says
// what is expected.
func ParseStatsDListen(s string) (network, addr string, err error) {
	network, addr, ok := address.ParseDatagram(s)
	if !ok {
		return "", "", errStatsD
	}
	return network, addr, nil
}

// SendTo returns where an app of this host sends its StatsD lines, as gunicorn's --statsd-host
// takes it: "127.0.0.1:9125" or "unix:///path". It is the first of Listen that is a path or has
// a known port, with 127.0.0.1 if it is for all addresses; "" without one.
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

// ParseTrust returns the user or the network of one entry, as [address.ParseTrust] does.
// Its error says what is expected.
func ParseTrust(s string) (address.Trusted, error) {
	t, ok := address.ParseTrust(s)
	if !ok {
		return t, errTrust
	}
	return t, nil
}
