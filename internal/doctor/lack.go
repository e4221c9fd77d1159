package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// lack adds what a collector lacks, with a remedy for this host and this server.
func (d *doctor) lack(ctx context.Context, collector string, u *collectors.Unavailable) {
	f := Finding{Of: u.Of, Reason: u.Reason, Detail: u.Detail, Fault: d.fault(collector, u)}
	if u.Remedy != "" {
		f.Remedy = strings.Split(u.Remedy, "\n")
	}
	kind, name, _ := strings.Cut(u.Of, ":")
	switch {
	case collector == "statsd" && u.Reason == collectors.Disabled:
		d.section(collector).Status = "off"
		return
	case kind == "statsd" && u.Reason == collectors.InUse:
		if d.heldByExporter(collector, name, &f) {
			return
		}
	case kind == "app" && u.Reason == collectors.Permission:
		d.addAppRemedies(collector, name, &f)
	case kind == "mysql":
		d.completeMySQL(ctx, name, &f)
	case kind == "redis":
		d.completeRedis(ctx, name, &f)
	}
	for i := range f.Remedy {
		f.Remedy[i] = strings.ReplaceAll(f.Remedy[i], "-o USER", "-o "+d.who.name)
	}
	d.add(collector, f)
}

// fault reports whether a lack keeps something configured from working. It does not if it
// is optional or switched off. One of a configured server does; any other does not if this
// kernel, or an app of that size, cannot have it, or if the app, the section or an address
// for StatsD is not configured.
func (d *doctor) fault(collector string, u *collectors.Unavailable) bool {
	kind, name, _ := strings.Cut(u.Of, ":")
	switch {
	case u.Optional, u.Reason == collectors.Disabled:
		return false
	case kind == "mysql", kind == "redis":
		return true
	case u.Reason == collectors.Unsupported:
		return false
	case kind == "app":
		return d.named(name)
	case kind == "statsd":
		return !slices.Equal(d.Config.StatsD.Listen, config.Default().StatsD.Listen)
	default:
		return d.configured(collector)
	}
}

// named reports whether the configuration has an app of that name.
func (d *doctor) named(app string) bool {
	return slices.ContainsFunc(d.Config.Apps, func(a config.App) bool { return a.Name == app })
}

// configured reports whether a section of the configuration needs a collector: mysql,
// redis, pool, sessions or tasks; false for any other.
func (d *doctor) configured(collector string) bool {
	has := func(part func(config.App) int) bool {
		return slices.ContainsFunc(d.Config.Apps, func(a config.App) bool { return part(a) > 0 })
	}
	switch collector {
	case "mysql":
		return len(d.Config.MySQL) > 0
	case "redis":
		return len(d.Config.Redis) > 0
	case "pool":
		return has(func(a config.App) int { return len(a.Pools) })
	case "sessions":
		return has(func(a config.App) int { return len(a.Sessions) })
	case "tasks":
		return has(func(a config.App) int { return len(a.Tasks) })
	default:
		return false
	}
}
