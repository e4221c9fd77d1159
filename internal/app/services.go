package app

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// services are the servers of a configuration, as the sampler of connections
// has to know them. No login is in them.
func services(cfg *config.Config) []conns.Service {
	out := make([]conns.Service, 0, len(cfg.MySQL)+len(cfg.Redis))
	for _, m := range cfg.MySQL {
		s := conns.Service{Component: "mysql:" + m.Name, Kind: "mysql"}
		for _, dsn := range append([]config.Secret{m.DSN}, m.FallbackDSNs...) {
			_, address := config.DSNAddress(dsn)
			place(&s, address)
		}
		out = append(out, s)
	}
	for _, r := range cfg.Redis {
		s := conns.Service{Component: "redis:" + r.Name, Kind: "redis"}
		u, _ := config.ParseRedisURL(r.URL) // the check of the configuration has seen to it
		for _, address := range u.Addrs {
			place(&s, address)
		}
		out = append(out, s)
	}
	return out
}

// place adds a path or a host:port.
func place(s *conns.Service, address string) {
	if strings.HasPrefix(address, "/") {
		s.Paths = append(s.Paths, address)
		return
	}
	s.Addrs = append(s.Addrs, address)
}
