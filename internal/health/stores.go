package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// leastLookups is how many lookups in five minutes a hit rate needs to be judged.
	leastLookups = 1000
	// veryLong is how many times query_time.critical one statement of an app by
	// itself may take until that is worth a warning.
	veryLong = 12
	// nearlyFull is the share of max_connections that is worth a warning.
	nearlyFull = 0.9
)

// judgeStores judges the servers of the configuration.
func (c *court) judgeStores() {
	for _, name := range c.MySQL {
		if c.judgeUp("mysql", "MySQL", name) {
			c.judgeConnections(name)
			c.judgeQueries(name)
		}
	}
	for _, name := range c.Redis {
		if c.judgeUp("redis", "Redis", name) {
			c.judgeCache(name)
		}
	}
}

// judgeConnections judges how many of its connections a MySQL server has left.
func (c *court) judgeConnections(name string) {
	open, most := number(c.State, "resp_mysql_connections", name), number(c.State, "resp_mysql_max_connections", name)
	if open == nil || most == nil || *most <= 0 {
		return
	}
	r := rule{key: key{name: "connections", of: name}, component: "mysql"}
	level := func(v float64) Level {
		switch {
		case v >= *most:
			return Critical
		case v >= nearlyFull**most:
			return Warning
		}
		return Healthy
	}
	r.level, r.calm = level(*open), level(*open/(1-margin))
	r.summary = fmt.Sprintf("MySQL %s has %s of its %s connections in use%s", name, FormatCount(*open), FormatCount(*most), c.heldBy(name))
	r.advice = c.adviseFull(name, fmt.Sprintf("%s of %s connections to MySQL %s are in use", FormatCount(*open), FormatCount(*most), name))
	c.add(r)
}

// heldBy names who holds the most connections to a MySQL server: by its own
// list, else by the sockets of the apps on this host.
func (c *court) heldBy(name string) string {
	holders := c.State.With("page.mysql_holder", name)
	if len(holders) > 0 {
		h := holders[0]
		text := fmt.Sprintf(": %s of user %s from %s", FormatCount(h.Value), label(h, 1), label(h, 2))
		if app := label(h, 3); app != "" {
			text += ", pool of " + app
		}
		if v := number(c.State, "page.mysql_holder_asleep", h.Labels...); v != nil && *v > 0 {
			text += fmt.Sprintf(", %s of them asleep", FormatCount(*v))
		}
		return text
	}
	return c.heldByApp(name)
}

// heldByApp names the app on this host with most connections to a MySQL server.
func (c *court) heldByApp(name string) string {
	by := make(map[string]float64)
	most := ""
	for i := range c.State.Connections {
		if x := &c.State.Connections[i]; x.Component == "mysql:"+name {
			by[x.App] += x.Count
		}
	}
	for app, n := range by {
		if most == "" || n > by[most] || n == by[most] && app < most {
			most = app
		}
	}
	if by[most] == 0 {
		return ""
	}
	return fmt.Sprintf(": %s holds %s of them", most, FormatCount(by[most]))
}

func (c *court) adviseFull(name, line string) adviser {
	return atRoot("mysql:"+name+"/full", line+c.heldBy(name)+": make those pools smaller or give back what sleeps, before max_connections is raised.")
}

// judgeQueries judges how long statements run. One by itself is a dump or a
// report as often as not: it is judged when others wait for it, when it is one
// of several, or, of an app, when it takes very long.
func (c *court) judgeQueries(name string) {
	longest := number(c.State, "resp_mysql_longest_query_seconds", name)
	if longest == nil {
		c.halfRead("mysql", "query_time", name, "what runs on MySQL "+name)
		return
	}
	v := number(c.State, "page.mysql_shared_query_seconds", name)
	if v == nil {
		v = longest
	}
	r := rule{key: key{name: "query_time", of: name}, component: "mysql"}
	r.level, r.calm = rises(*v, c.Limits.QueryTime)
	shown := *v
	if own := number(c.State, "resp_mysql_app_query_seconds", name); own != nil && r.level == Healthy {
		if at := veryLong * c.Limits.QueryTime.Critical; *own >= at {
			r.level, shown = Warning, *own
		} else if *own >= at*(1-margin) {
			r.calm = max(r.calm, Warning)
		}
	}
	r.calm = max(r.calm, r.level)
	r.summary = "a statement has run on MySQL " + name + " for " + FormatSeconds(shown) + c.blockedBy(name)
	if b := c.tableLock(name); b != nil && c.blocker(name) == nil {
		r.summary = fmt.Sprintf("%s of MySQL %s %s for a lock of a table, the longest for %s", plural(float64(len(b.waiting)), "connection"), name,
			either(len(b.waiting) == 1, "waits", "wait"), FormatSeconds(b.longest))
	}
	r.advice = later(func() adviser { return c.adviseQuery(name, shown) })
	c.add(r)
}

// judgeCache judges the hit rate of a Redis that is a cache.
func (c *court) judgeCache(name string) {
	if len(c.State.With("resp_redis_info", name)) == 0 {
		c.halfRead("redis", "cache_hit_rate", name, "the state of Redis "+name)
		return
	}
	v := number(c.State, "page.redis_hit_ratio", name)
	if v == nil || !isCache(c.State, name) { // no lookups, or none that tell anything
		return
	}
	if n := number(c.State, "page.redis_lookups", name); n != nil && *n < leastLookups {
		return
	}
	r := rule{key: key{name: "cache_hit_rate", of: name}, component: "redis", advice: c.adviseHits(name, *v)}
	r.level, r.calm = falls(*v, c.Limits.CacheHitRate)
	r.summary = "only " + FormatPercent(*v) + " of the lookups on Redis " + name + " find their key"
	c.add(r)
}

// isCache reports whether a Redis holds nothing but what may be missing.
func isCache(r *model.State, name string) bool {
	v := number(r, "resp_redis_cache", name)
	return v == nil || *v != 0
}

// judgeUp judges whether a store answers, and tells whether it is worth
// looking at the rest.
func (c *court) judgeUp(kind, word, name string) bool {
	up := number(c.State, "resp_up", kind+":"+name)
	r := rule{key: key{name: kind, of: name}, component: kind}
	switch {
	case up != nil && *up != 0:
		c.add(r)
		return true
	case up != nil && kind == "mysql" && strings.Contains(c.storeDetail(kind, name), "max_connections"):
		r.level, r.summary = Critical, "MySQL "+name+" takes no more connections: all of them are in use"+c.heldBy(name)
		r.advice = c.adviseFull(name, "All connections to MySQL "+name+" are in use at this look")
	case up != nil:
		r.level, r.summary = Critical, word+" "+name+" does not answer"
		r.advice = c.adviseStore(kind, word, name)
	default:
		why := c.lack(kind)
		if why == "" {
			return false // its collector is switched off
		}
		r.level, r.summary = Warning, word+" "+name+" cannot be looked at: "+why
	}
	r.calm = r.level
	c.add(r)
	return false
}

func (c *court) halfRead(kind, rulename, name, what string) {
	r := rule{key: key{name: rulename, of: name}, component: kind, level: Warning, calm: Warning, summary: what + " cannot be read"}
	if why := c.storeDetail(kind, name); why != "" {
		r.summary += ": " + why
	}
	c.add(r)
}

// caches are the readings of those servers that are caches.
func caches(r *model.State, of []model.Reading) []model.Reading {
	return slices.DeleteFunc(slices.Clone(of), func(x model.Reading) bool { return !isCache(r, label(x, 0)) })
}
