package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// What two apps must not share where an action is about one of them.
const (
	wantOwnPrefix = "prefixes of which none is the beginning of another one"
	wantOwnQueue  = "each queue in one app only"
	wantOwnUser   = "app, or a separate database user for each app"
)

// maxShared bounds what one step reports of that.
const maxShared = 10

// sharedProblems returns what two apps share that a step is about: overlapping prefixes of sessions
// or queues (no further pair of apps from maxShared on), or the first user of a database. Here only
// servers of one name or address are known to be one; the actions compare what servers report.
func (c *Config) sharedProblems(s *HealingStep, at string) []problem {
	switch {
	case s.Purge != nil:
		return c.sharedSessions(s.Purge, at)
	case s.RestartTask != nil:
		return c.sharedQueues(s.RestartTask, at)
	case s.KillLeaked != nil && s.KillLeaked.Clients == ClientsUser:
		return c.sharedUsers(s.KillLeaked, at)
	}
	return nil
}

// pairs calls f for each two apps.
func (c *Config) pairs(f func(i, j int)) {
	for j := range c.Apps {
		for i := range j {
			f(i, j)
		}
	}
}

// about reports whether a step that names an app may be about a or b; a step that names
// none ("") is about all.
func about(named string, a, b string) bool { return named == "" || named == a || named == b }

func (c *Config) sharedSessions(s *Purge, at string) (out []problem) {
	c.pairs(func(i, j int) {
		a, b := c.Apps[i], c.Apps[j]
		if !about(s.App, a.Name, b.Name) || len(out) >= maxShared {
			return
		}
		for m, y := range b.Sessions {
			for n, x := range a.Sessions {
				if !Overlap(x.Prefix, y.Prefix) || !c.sameRedis(x.Redis, y.Redis) || s.Redis != "" && s.Redis != x.Redis && s.Redis != y.Redis {
					continue
				}
				out = append(out, problem{
					fmt.Sprintf("apps[%d].sessions[%d].prefix", j, m),
					fmt.Sprintf("got %s, and apps[%d].sessions[%d] has %s in the same database of Redis", schema.Quote(y.Prefix), i, n, schema.Quote(x.Prefix)),
					wantOwnPrefix + ", because " + at + " purges by prefix",
				})
			}
		}
	})
	return out
}

// Overlap reports whether one key can begin with both prefixes: one of them begins with
// the other.
func Overlap(x, y string) bool { return strings.HasPrefix(x, y) || strings.HasPrefix(y, x) }

func (c *Config) sharedQueues(s *RestartTask, at string) (out []problem) {
	c.pairs(func(i, j int) {
		a, b := c.Apps[i], c.Apps[j]
		if s.Task != "" || !about(s.App, a.Name, b.Name) || len(out) >= maxShared {
			return
		}
		for m, y := range b.Tasks {
			for _, x := range a.Tasks {
				if q := s.commonQueue(x, y); q != "" && c.sameRedis(x.Redis, y.Redis) {
					out = append(out, problem{
						fmt.Sprintf("apps[%d].tasks[%d].queues", j, m),
						fmt.Sprintf("the queue %s of the same database of Redis is app %s's too", schema.Quote(q), a.Name),
						wantOwnQueue + ", because " + at + " restarts its workers",
					})
				}
			}
		}
	})
	return out
}

// commonQueue returns the first queue of y that x, of one type, has too and a step may be about; else "".
func (s *RestartTask) commonQueue(x, y Tasks) string {
	if x.Type != y.Type {
		return ""
	}
	for _, q := range y.Names() {
		if slices.Contains(x.Names(), q) && (s.Queue == "" || s.Queue == q) {
			return q
		}
	}
	return ""
}

func (c *Config) sharedUsers(s *KillLeaked, at string) (out []problem) {
	c.pairs(func(i, j int) {
		a, b := c.Apps[i], c.Apps[j]
		if !about(s.App, a.Name, b.Name) {
			return
		}
		for _, y := range b.Pools {
			for _, x := range a.Pools {
				if len(out) > 0 || !c.SameMySQL(x.MySQL, y.MySQL) || !s.sharesUser(x, y) {
					continue
				}
				out = append(out, problem{
					at + ".with.clients", fmt.Sprintf("got user, and apps %s and %s have a pool each on one server with one user", a.Name, b.Name), wantOwnUser,
				})
			}
		}
	})
	return out
}

// sharesUser reports whether a step could take a connection of one pool for one of the
// other by its database user, or lists the user of either. A pool without a user has all.
func (s *KillLeaked) sharesUser(x, y Pool) bool {
	return x.User == y.User || x.User == "" || y.User == "" || slices.Contains(s.Users, x.User) || slices.Contains(s.Users, y.User)
}

// sameRedis reports whether two names of the section redis stand for one database: they are
// equal and not "", or as far as their URLs show.
func (c *Config) sameRedis(x, y string) bool {
	if x == y {
		return x != ""
	}
	a, ok1 := c.redisOf(x)
	b, ok2 := c.redisOf(y)
	return ok1 && ok2 && a.Kind == b.Kind && a.DB == b.DB && a.Master == b.Master && address.Overlap(a.Addrs, b.Addrs)
}

// redisOf returns the URL of a Redis; false: it is not configured, or invalid.
func (c *Config) redisOf(name string) (RedisURL, bool) {
	for _, r := range c.Redis {
		if r.Name == name {
			u, err := ParseRedisURL(r.URL)
			return u, err == nil
		}
	}
	return RedisURL{}, false
}

// SameMySQL reports whether two names of the section mysql stand for one server: they are equal
// and not "", or as far as their DSNs show. A fallback counts too.
func (c *Config) SameMySQL(x, y string) bool {
	if x == y {
		return x != ""
	}
	return address.Overlap(c.addressesOf(x), c.addressesOf(y))
}

// addressesOf returns the addresses in a MySQL server's DSNs and fallbacks, also if only parameters are invalid.
func (c *Config) addressesOf(name string) (out []string) {
	for _, m := range c.MySQL {
		if m.Name != name {
			continue
		}
		for _, dsn := range append([]Secret{m.DSN}, m.FallbackDSNs...) {
			if cfg, _ := ParseDSN(dsn); cfg != nil {
				out = append(out, cfg.Addr)
			}
		}
	}
	return out
}
