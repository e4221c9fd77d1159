package collectors

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

var (
	redisKeysFamily     = gauge("redis_keys", "Keys by database: db0, and those that have or had any.", "redis", "db")
	redisExpiringFamily = gauge("redis_expiring_keys", "Keys with a time to live, by database.", "redis", "db")
)

// maxEmptied bounds the databases of a server that are remembered.
const maxEmptied = 64

// addKeys adds the numbers of keys of each database. A server lists only databases with
// keys, so one that had some before is added with 0.
func (c *Redis) addKeys(s *Sample, reads []redisRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := make(map[string][]int, len(reads))
	for i := range reads {
		name := reads[i].Name
		if had[name] = c.databases[name]; had[name] == nil {
			had[name] = []int{0}
		}
		if now := reads[i].info.Keyspace; now != nil {
			had[name] = addKeyspace(s, name, now, had[name])
			c.leftOut += now.LeftOut
		}
	}
	c.databases = had
	if len(reads) > 0 {
		s.add(seriesDropped, float64(c.leftOut), "redis_database")
	}
}

// addKeyspace adds the databases of one server, and with 0 keys those in had that are not
// listed now. It returns the numbers in had and those of the listed ones, 64 in all at
// most.
func addKeyspace(s *Sample, server string, now *redis.Keyspace, had []int) []int {
	for _, number := range had {
		if !slices.ContainsFunc(now.Databases, func(d redis.Database) bool { return d.Number == number }) {
			addDatabase(s, server, redis.Database{Number: number, Expiring: new(float64)})
		}
	}
	for _, d := range now.Databases {
		addDatabase(s, server, d)
		if !slices.Contains(had, d.Number) && len(had) < maxEmptied {
			had = append(had, d.Number)
		}
	}
	return had
}

// addDatabase adds the number of keys of one database, and of those with an expiry if it is
// known.
func addDatabase(s *Sample, server string, d redis.Database) {
	db := "db" + strconv.Itoa(d.Number)
	s.add(redisKeysFamily, d.Keys, server, db)
	if d.Expiring != nil {
		s.add(redisExpiringFamily, *d.Expiring, server, db)
	}
}
