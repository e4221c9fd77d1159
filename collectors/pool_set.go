package collectors

import (
	"cmp"
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// poolSet is the pools of one server: the configured ones, and one for each other app
// that is connected to it.
type poolSet struct {
	server     string
	configured map[string][]*pool // by app, in the order of the configuration
	order      []*pool
	found      map[string]*pool // by app
	names      map[string]map[string]bool
}

// poolsOf returns the pools that are configured for a server, of all apps in the order of
// the configuration, still without connections.
func (c *Pool) poolsOf(l poolRead) *poolSet {
	b := &poolSet{server: l.Name, configured: make(map[string][]*pool), found: make(map[string]*pool), names: make(map[string]map[string]bool)}
	for _, a := range c.o.Configured() {
		b.names[a.Name] = make(map[string]bool, len(a.Pools))
		for i := range a.Pools {
			p := &a.Pools[i]
			b.names[a.Name][p.Name] = true
			if p.MySQL != l.Name {
				continue
			}
			x := &pool{app: a.Name, name: p.Name, config: p, leakAfter: p.LeakAfter, workers: make(map[string]*poolCounts)}
			b.configured[a.Name] = append(b.configured[a.Name], x)
			b.order = append(b.order, x)
		}
	}
	return b
}

// poolFor returns the pool that a connection belongs to: by the process at its other end
// or, if that is not known, by its user; nil if it belongs to none. A configured pool
// without a user is that of the app's connections of any other user. Of several pools
// that fit it is the first. For an app without configured pools it makes one.
func (b *poolSet) poolFor(t *mysql.Thread, who model.Owner) *pool {
	if who.App == "" {
		return firstPool(b.order, func(p *pool) bool { return p.config.User != "" && p.config.User == t.User })
	}
	own := b.configured[who.App]
	if len(own) == 0 {
		return b.foundPool(who.App)
	}
	if p := firstPool(own, func(p *pool) bool { return p.config.User != "" && p.config.User == t.User }); p != nil {
		return p
	}
	return firstPool(own, func(p *pool) bool { return p.config.User == "" })
}

// firstPool returns the first pool for which fits returns true; nil if there is none.
func firstPool(list []*pool, fits func(*pool) bool) *pool {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		return list[i]
	}
	return nil
}

// foundPool returns the pool of an app that has none configured on this server, and makes
// it at the first call. Its name is the server's, or "mysql:" and that if a configured
// pool of the app has that name already.
func (b *poolSet) foundPool(app string) *pool {
	p := b.found[app]
	if p == nil {
		p = &pool{app: app, name: b.server, leakAfter: defaultLeakAfter, workers: make(map[string]*poolCounts)}
		if b.names[app][p.name] {
			p.name = "mysql:" + b.server
		}
		b.found[app] = p
	}
	return p
}

// all returns the pools whose connections are known: those with a configured user, and
// those of apps whose descriptors could be read. The configured ones come first, in their
// order, then those that were found, sorted by app.
func (b *poolSet) all(v *sampledConnections) []*pool {
	var out []*pool
	for _, p := range b.order {
		if p.config.User != "" || v.errs[p.app] == nil {
			out = append(out, p)
		}
	}
	for _, app := range slices.Sorted(maps.Keys(b.found)) {
		if v.errs[app] == nil {
			out = append(out, b.found[app])
		}
	}
	return out
}

// publish adds the series and the state of all pools. Numbers that the app itself reports
// of a pool come first.
func (b *poolSet) publish(s *Sample, l poolRead) {
	for _, p := range b.all(l.view) {
		out, workers := p.state(b.server), l.view.processes(p.app)
		if x := l.inside.take(p.app, p.name); x != nil {
			x.replace(&out, workers)
		} else if n := float64(capacityOf(p.config, workers)); n > 0 {
			setCapacity(&out, n)
		}
		publishPool(s, out)
	}
}

// state returns the pool as seen from outside: its connections by state, in all and by
// worker, sorted by slot, and its 20 longest leaks. Its capacity is not set.
func (p *pool) state(server string) model.Pool {
	out := model.Pool{
		App: p.app, Name: p.name, Source: model.PoolOutside, InUse: float64(p.counts[poolInUse]), Idle: float64(p.counts[poolIdle]),
		InTransaction: float64(p.counts[poolInTransaction]), Leaked: float64(p.counts[poolLeaked]),
	}
	for _, slot := range slices.Sorted(maps.Keys(p.workers)) {
		n := p.workers[slot]
		out.Workers = append(out.Workers, model.PoolWorker{
			Slot: slot, InUse: float64(n[poolInUse]), Idle: float64(n[poolIdle]), InTransaction: float64(n[poolInTransaction]), Leaked: float64(n[poolLeaked]),
		})
	}
	p.sortLeaks()
	for _, x := range p.leaks[:min(len(p.leaks), maxListed)] {
		out.Leaks = append(out.Leaks, model.Leak{Owner: x.Owner, Server: server, Connection: x.connection, Seconds: x.asleep.Seconds()})
	}
	return out
}

// sortLeaks sorts the leaks of the pool, the longest asleep first.
func (p *pool) sortLeaks() {
	slices.SortFunc(p.leaks, func(x, y leak) int {
		return cmp.Or(-cmp.Compare(x.asleep, y.asleep), cmp.Compare(x.connection, y.connection))
	})
}

// capacityOf returns how many connections a pool may have with that many workers; 0 for a
// pool without configuration, without a limit (max_overflow below 0) or without workers.
func capacityOf(p *config.Pool, workers int) int {
	if p == nil || p.MaxOverflow < 0 {
		return 0
	}
	return (p.Size + p.MaxOverflow) * workers
}

// logLeaks logs the leaks that are new since the read before, and removes those that have
// ended.
func (c *Pool) logLeaks(p *poolServer, l poolRead, b *poolSet) {
	now := make(map[leakKey]bool)
	var lines []leakLine
	for _, in := range b.all(l.view) {
		for _, x := range in.leaks {
			key := leakKey{x.connection, x.transaction.ID}
			now[key] = true
			if !p.leaks[key] {
				lines = append(lines, leakLine{in.app, in.name, l.Name, x})
			}
		}
	}
	p.leaks = now
	c.o.Leaks.report(leakBatch{l.Server, lines})
}
