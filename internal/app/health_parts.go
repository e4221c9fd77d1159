package app

import (
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
)

// partsOf returns the pools, sessions and queues of an app in the configuration, in this order.
func partsOf(x config.App) []health.Part {
	var out []health.Part
	for _, p := range x.Pools {
		out = append(out, health.Part{App: x.Name, Component: "pool", Name: p.Name, Store: "mysql:" + p.MySQL})
	}
	for _, s := range x.Sessions {
		out = append(out, health.Part{App: x.Name, Component: "sessions", Name: s.Redis, Store: "redis:" + s.Redis})
	}
	for _, t := range x.Tasks {
		for _, q := range t.Names() {
			out = append(out, health.Part{App: x.Name, Component: "tasks", Name: q, Store: "redis:" + t.Redis})
		}
	}
	return out
}
