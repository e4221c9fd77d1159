package health

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// leastLookups is how many lookups in five minutes a hit rate needs to be evaluated.
	leastLookups = 1000
	// veryLong is how many times query_time.critical a single statement of an app
	// may take before it is a warning.
	veryLong = 12
	// nearlyFull is the share of max_connections that is a warning.
	nearlyFull = 0.9
)

// evaluateStores adds the rules about the configured MySQL and Redis servers.
func (e *evaluator) evaluateStores() {
	for _, name := range e.MySQL {
		s := e.mysqlServer(name)
		if e.evaluateUp("mysql", "MySQL", name, s != nil) {
			e.evaluateConnections(s)
			e.evaluateQueries(s)
		}
	}
	for _, name := range e.Redis {
		s := e.redisServer(name)
		if e.evaluateUp("redis", "Redis", name, s != nil) {
			e.evaluateCache(s)
		}
	}
}

// evaluateConnections adds a rule about how many of its connections a MySQL server uses,
// if both numbers are known.
func (e *evaluator) evaluateConnections(s *model.MySQLServer) {
	if s.Connections == nil || s.MaxConnections == nil || *s.MaxConnections <= 0 {
		return
	}
	name, open, most := s.Name, *s.Connections, *s.MaxConnections
	r := rule{Subject: Subject{Rule: "connections", Of: name}, component: "mysql"}
	level := func(v float64) Level { return levels.Of(v >= most, v >= nearlyFull*most) }
	r.level, r.release = level(open), level(open/(1-levels.Margin))
	r.summary = fmt.Sprintf("MySQL %s has %s of its %s connections in use%s", name, FormatCount(open), FormatCount(most), e.heldBy(name))
	r.advice = e.adviseFull(name, fmt.Sprintf("%s of %s connections to MySQL %s are in use", FormatCount(open), FormatCount(most), name))
	e.add(r)
}

// heldBy returns the end of a sentence that names who has most connections to a MySQL server: the first
// of the server's list, else the first by the sockets of the apps on this host; "" if neither is known.
func (e *evaluator) heldBy(name string) string {
	s := e.mysqlServer(name)
	if s == nil || len(s.Holders) == 0 {
		return e.heldByApp(name)
	}
	h := &s.Holders[0]
	text := fmt.Sprintf(": %s of user %s from %s", FormatCount(h.Connections), words.User(h.User), h.Host)
	if h.App != "" {
		text += ", pool of " + h.App
	}
	if h.Asleep > 0 {
		text += fmt.Sprintf(", %s of them asleep", FormatCount(h.Asleep))
	}
	return text
}

// heldByApp returns the end of a sentence that names the app on this host with most
// connections to a MySQL server; "" if none has any.
func (e *evaluator) heldByApp(name string) string {
	by := make(map[string]float64)
	most := ""
	for i := range e.State.Connections {
		if x := &e.State.Connections[i]; x.Component == "mysql:"+name {
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

// adviseFull returns the advice for a server without free connections.
func (e *evaluator) adviseFull(name, line string) adviser {
	return rootCause("mysql:"+name+"/full", line+e.heldBy(name)+": make those pools smaller or return idle connections before you raise max_connections.")
}

// evaluateQueries adds a rule about how long statements run. A single long statement may
// be a dump or a report, so it counts only if others wait for it, it is one of several,
// or it is an app's and takes very long.
func (e *evaluator) evaluateQueries(s *model.MySQLServer) {
	name := s.Name
	if s.LongestQuery == nil {
		e.halfRead("mysql", "query_time", name, "the running statements of MySQL "+name)
		return
	}
	v := s.SharedQuery
	if v == nil {
		v = s.LongestQuery
	}
	r := rule{Subject: Subject{Rule: "query_time", Of: name}, component: "mysql"}
	r.level, r.release = levels.Rises(*v, e.Limits.QueryTime)
	shown := *v
	if own := s.AppQuery; own != nil && r.level == Healthy {
		if at := veryLong * e.Limits.QueryTime.Critical; *own >= at {
			r.level, shown = Warning, *own
		} else if *own >= at*(1-levels.Margin) {
			r.release = max(r.release, Warning)
		}
	}
	r.release = max(r.release, r.level)
	r.summary = "a statement has run on MySQL " + name + " for " + FormatSeconds(shown) + e.blockedBy(name)
	if b := e.tableLock(name); b != nil && e.blocker(name) == nil {
		r.summary = fmt.Sprintf("%s of MySQL %s %s for a lock of a table, the longest for %s", plural(float64(len(b.Waiting)), "connection"), name,
			words.Choose(len(b.Waiting) == 1, "waits", "wait"), FormatSeconds(b.Longest))
	}
	r.advice = deferred(func() adviser { return e.adviseQuery(name, shown) })
	e.add(r)
}

// evaluateCache adds a rule about the hit rate of a Redis server that is a cache, unless
// it had too few lookups.
func (e *evaluator) evaluateCache(s *model.RedisServer) {
	name := s.Name
	if !s.Informed {
		e.halfRead("redis", "cache_hit_rate", name, "the state of Redis "+name)
		return
	}
	if s.HitRatio == nil || s.Stateful || s.Lookups != nil && *s.Lookups < leastLookups {
		return // no lookups, or too few
	}
	r := rule{Subject: Subject{Rule: "cache_hit_rate", Of: name}, component: "redis", advice: adviseHits(s)}
	r.level, r.release = levels.Falls(*s.HitRatio, e.Limits.CacheHitRate)
	r.summary = "only " + FormatPercent(*s.HitRatio) + " of the lookups on Redis " + name + " find their key"
	e.add(r)
}

// evaluateUp adds a rule about whether a store answers: critical if not, a warning if it cannot be read, none if
// its collector is off. It reports whether it answers, so that the rest can be evaluated. known: it was read.
func (e *evaluator) evaluateUp(kind, word, name string, known bool) bool {
	r := rule{Subject: Subject{Rule: kind, Of: name}, component: kind}
	switch {
	case known && !e.isDown(kind, name):
		e.add(r)
		return true
	case kind == "mysql" && e.isFull(name):
		r.level, r.summary = Critical, "MySQL "+name+" accepts no more connections: all are in use"+e.heldBy(name)
		r.advice = e.adviseFull(name, "All connections to MySQL "+name+" are in use at the last check")
	case known:
		r.level, r.summary = Critical, word+" "+name+" does not answer"
		r.advice = e.adviseStore(kind, word, name)
	default:
		why := e.lack(kind)
		if why == "" {
			return false // its collector is switched off
		}
		r.level, r.summary = Warning, word+" "+name+" cannot be read: "+why
	}
	r.release = r.level
	e.add(r)
	return false
}

// halfRead adds a warning that a part of a server cannot be read.
func (e *evaluator) halfRead(kind, rulename, name, what string) {
	r := rule{Subject: Subject{Rule: rulename, Of: name}, component: kind, level: Warning, release: Warning, summary: what + " cannot be read"}
	if l := e.lackOf(kind, name); l != nil && l.Short != "" {
		r.summary += ": " + l.Short
	}
	e.add(r)
}
