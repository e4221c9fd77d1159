package app

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// services returns the configured servers for the sampler of connections, without logins.
func services(cfg *config.Config) []conns.Service {
	out := make([]conns.Service, 0, len(cfg.MySQL)+len(cfg.Redis))
	for _, m := range cfg.MySQL {
		s := conns.Service{Component: "mysql:" + m.Name, Kind: "mysql"}
		for _, dsn := range append([]config.Secret{m.DSN}, m.FallbackDSNs...) {
			if cfg, _ := config.ParseDSN(dsn); cfg != nil { // the check of the configuration has seen to it
				addAddress(&s, cfg.Addr)
			}
		}
		out = append(out, s)
	}
	for _, r := range cfg.Redis {
		s := conns.Service{Component: "redis:" + r.Name, Kind: "redis"}
		u, _ := config.ParseRedisURL(r.URL) // the check of the configuration has seen to it
		for _, address := range u.Addrs {
			addAddress(&s, address)
		}
		out = append(out, s)
	}
	return out
}

// addAddress adds an address to a service: the path of a UNIX socket, or host:port.
func addAddress(s *conns.Service, address string) {
	if strings.HasPrefix(address, "/") {
		s.Paths = append(s.Paths, address)
		return
	}
	s.Addrs = append(s.Addrs, address)
}
