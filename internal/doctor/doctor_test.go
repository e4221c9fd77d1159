package doctor_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

// A lack is a fault only if the configuration needs what is missing.
func TestFaults(t *testing.T) {
	cfg := config.Default()
	cfg.Apps = []config.App{{Name: "shop", Sessions: []config.Sessions{{Redis: "cache"}}}}
	own := cfg
	own.StatsD.Listen = []string{"udp://127.0.0.1:1"}
	for name, c := range map[string]struct {
		cfg       config.Config
		collector string
		u         collectors.Unavailable
		want      bool
	}{
		"server":           {cfg, "mysql", collectors.Unavailable{Reason: collectors.Busy, Of: "mysql:main"}, true},
		"server without":   {cfg, "mysql", collectors.Unavailable{Reason: collectors.Unsupported, Of: "mysql:main"}, true},
		"extra":            {cfg, "mysql", collectors.Unavailable{Reason: collectors.Unsupported, Of: "mysql:main", Optional: true}, false},
		"app of the file":  {cfg, "workers", collectors.Unavailable{Reason: collectors.Permission, Of: "app:shop"}, true},
		"app too large":    {cfg, "memory", collectors.Unavailable{Reason: collectors.Unsupported, Of: "app:shop"}, false},
		"app discovered":   {cfg, "workers", collectors.Unavailable{Reason: collectors.Permission, Of: "app:other"}, false},
		"stacks":           {cfg, "waits", collectors.Unavailable{Reason: collectors.Unsupported, Of: "app:shop", Optional: true}, false},
		"stacks, refused":  {cfg, "waits", collectors.Unavailable{Reason: collectors.Permission, Of: "app:shop", Optional: true}, false},
		"kernel":           {cfg, "pressure", collectors.Unavailable{Reason: collectors.Unsupported}, false},
		"default listener": {cfg, "statsd", collectors.Unavailable{Reason: collectors.InUse, Of: "statsd:udp://127.0.0.1:9125"}, false},
		"own listener":     {own, "statsd", collectors.Unavailable{Reason: collectors.InUse, Of: "statsd:udp://127.0.0.1:1"}, true},
		"sessions":         {cfg, "sessions", collectors.Unavailable{Reason: collectors.Permission}, true},
		"tasks of nobody":  {cfg, "tasks", collectors.Unavailable{Reason: collectors.Permission}, false},
		"switched off":     {cfg, "mysql", collectors.Unavailable{Reason: collectors.Disabled, Of: "mysql:main"}, false},
	} {
		if got := doctor.IsFault(c.cfg, c.collector, &c.u); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
