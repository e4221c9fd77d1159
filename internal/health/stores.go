package health

import (
	"fmt"
	"slices"

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

// mysqlServer returns what is known of a MySQL server; nil: nothing is.
func (c *court) mysqlServer(name string) *model.MySQLServer {
	i := slices.IndexFunc(c.State.MySQL, func(s model.MySQLServer) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &c.State.MySQL[i]
}

// redisServer returns what is known of a Redis server; nil: nothing is.
func (c *court) redisServer(name string) *model.RedisServer { return redisServer(c.State, name) }

func redisServer(s *model.State, name string) *model.RedisServer {
	i := slices.IndexFunc(s.Redis, func(r model.RedisServer) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Redis[i]
}

// isDown reports whether a server is known not to answer.
func (c *court) isDown(kind, name string) bool {
	if kind == "mysql" {
		s := c.mysqlServer(name)
		return s != nil && !s.Up
	}
	s := c.redisServer(name)
	return s != nil && !s.Up
}

// isFull reports whether a MySQL server does not answer because it has no
// connection left.
func (c *court) isFull(name string) bool {
	s := c.mysqlServer(name)
	return s != nil && s.Full
}

// judgeStores judges the servers of the configuration.
func (c *court) judgeStores() {
	for _, name := range c.MySQL {
		s := c.mysqlServer(name)
		if c.judgeUp("mysql", "MySQL", name, s != nil) {
			c.judgeConnections(s)
			c.judgeQueries(s)
		}
	}
	for _, name := range c.Redis {
		s := c.redisServer(name)
		if c.judgeUp("redis", "Redis", name, s != nil) {
			c.judgeCache(s)
		}
	}
}

// judgeConnections judges how many of its connections a MySQL server has left.
func (c *court) judgeConnections(s *model.MySQLServer) {
	if s.Connections == nil || s.MaxConnections == nil || *s.MaxConnections <= 0 {
		return
	}
	name, open, most := s.Name, *s.Connections, *s.MaxConnections
	r := rule{key: key{name: "connections", of: name}, component: "mysql"}
	level := func(v float64) Level {
		switch {
		case v >= most:
			return Critical
		case v >= nearlyFull*most:
			return Warning
		}
		return Healthy
	}
	r.level, r.calm = level(open), level(open/(1-margin))
	r.summary = fmt.Sprintf("MySQL %s has %s of its %s connections in use%s", name, FormatCount(open), FormatCount(most), c.heldBy(name))
	r.advice = c.adviseFull(name, fmt.Sprintf("%s of %s connections to MySQL %s are in use", FormatCount(open), FormatCount(most), name))
	c.add(r)
}

// heldBy names who holds the most connections to a MySQL server: by its own
// list, else by the sockets of the apps on this host.
func (c *court) heldBy(name string) string {
	s := c.mysqlServer(name)
	if s == nil || len(s.Holders) == 0 {
		return c.heldByApp(name)
	}
	h := &s.Holders[0]
	text := fmt.Sprintf(": %s of user %s from %s", FormatCount(h.Connections), h.User, h.Host)
	if h.App != "" {
		text += ", pool of " + h.App
	}
	if h.Asleep > 0 {
		text += fmt.Sprintf(", %s of them asleep", FormatCount(h.Asleep))
	}
	return text
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
func (c *court) judgeQueries(s *model.MySQLServer) {
	name := s.Name
	if s.LongestQuery == nil {
		c.halfRead("mysql", "query_time", name, "what runs on MySQL "+name)
		return
	}
	v := s.SharedQuery
	if v == nil {
		v = s.LongestQuery
	}
	r := rule{key: key{name: "query_time", of: name}, component: "mysql"}
	r.level, r.calm = rises(*v, c.Limits.QueryTime)
	shown := *v
	if own := s.AppQuery; own != nil && r.level == Healthy {
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
func (c *court) judgeCache(s *model.RedisServer) {
	name := s.Name
	if !s.Informed {
		c.halfRead("redis", "cache_hit_rate", name, "the state of Redis "+name)
		return
	}
	if s.HitRatio == nil || s.Stateful || s.Lookups != nil && *s.Lookups < leastLookups {
		return // no lookups, or none that tell anything
	}
	r := rule{key: key{name: "cache_hit_rate", of: name}, component: "redis", advice: adviseHits(s)}
	r.level, r.calm = falls(*s.HitRatio, c.Limits.CacheHitRate)
	r.summary = "only " + FormatPercent(*s.HitRatio) + " of the lookups on Redis " + name + " find their key"
	c.add(r)
}

// judgeUp judges whether a store answers, and reports whether the rest of it can
// be judged; known says whether it was asked at all.
func (c *court) judgeUp(kind, word, name string, known bool) bool {
	r := rule{key: key{name: kind, of: name}, component: kind}
	switch {
	case known && !c.isDown(kind, name):
		c.add(r)
		return true
	case kind == "mysql" && c.isFull(name):
		r.level, r.summary = Critical, "MySQL "+name+" takes no more connections: all of them are in use"+c.heldBy(name)
		r.advice = c.adviseFull(name, "All connections to MySQL "+name+" are in use at this look")
	case known:
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
	if l := c.lackOf(kind, name); l != nil && l.Short != "" {
		r.summary += ": " + l.Short
	}
	c.add(r)
}
