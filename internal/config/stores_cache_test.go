package config_test

import (
	"maps"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// A server is a cache unless something is kept in it, or the file says so.
func TestIsCache(t *testing.T) {
	t.Parallel()
	const apps = `
mysql: [{name: main, dsn: "resp@tcp(127.0.0.1)/"}, {name: logs, dsn: "resp@tcp(127.0.0.2)/"}]
apps:
  - {name: shop, match: {user: shop}, sessions: [{redis: sessions, prefix: "s:"}], pools: [{name: a, mysql: main, user: shop}, {name: b, mysql: logs}]}
  - {name: blog, match: {user: blog}, tasks: [{type: rq, redis: jobs}], pools: [{name: a, mysql: main, user: blog}]}
redis:
  - {name: cache, url: "redis://127.0.0.1"}
  - {name: sessions, url: "redis://127.0.0.1"}
  - {name: jobs, url: "redis://127.0.0.1"}
`
	for more, want := range map[string]map[string]bool{
		"": {"cache": true, "sessions": false, "jobs": false, "none": true},
		"  - {name: x, url: \"redis://h\", cache: true}\n":  {"x": true},
		"  - {name: x, url: \"redis://h\", cache: false}\n": {"x": false},
	} {
		file := filepath.Join(t.TempDir(), "c.yml")
		write(t, file, apps+more)
		c, err := config.LoadFile(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, is := range want {
			if c.IsCache(name) != is {
				t.Errorf("%s with %q: %t", name, more, !is)
			}
		}
		if users := c.PoolUsers("main"); !maps.Equal(users, map[string]string{"shop": "shop", "blog": "blog"}) {
			t.Errorf("users are %v", users)
		}
		if users := c.PoolUsers("logs"); len(users) > 0 {
			t.Errorf("users of a pool without one are %v", users)
		}
	}
	for _, bad := range []string{"yes please", "1", "[true]", ""} {
		file := filepath.Join(t.TempDir(), "c.yml")
		write(t, file, "redis: [{name: a, url: \"redis://h\", cache: "+bad+"}]\n")
		if _, err := config.LoadFile(file, nil); err == nil {
			t.Errorf("cache: %s is taken", bad)
		}
	}
}
