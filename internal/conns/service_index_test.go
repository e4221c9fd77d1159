package conns_test

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

func TestDirectory(t *testing.T) {
	d := conns.NewDirectory([]conns.Service{
		{Component: "mysql:main", Kind: "mysql", Addrs: []string{"db.example:3307", "127.0.0.1:3306", "nonsense"}, Paths: []string{"/run/a.sock"}},
		{Component: "redis:cache", Kind: "redis", Addrs: []string{"[::1]:7000", "gone.example:7001", "localhost:7002"}},
		{Component: "redis:second", Kind: "redis", Addrs: []string{"[::1]:7000"}},
	})
	known := netip.MustParseAddr("10.0.0.7")
	var refuse error
	d.SetLookup(func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "db.example" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{known}, refuse
	})
	now := time.Now()
	d.Resolve(t.Context(), now)
	check := func(to, want string) {
		t.Helper()
		if got := d.Component(netip.MustParseAddrPort(to)); got != want {
			t.Errorf("%s is %q, want %q", to, got, want)
		}
	}
	for to, want := range map[string]string{
		"10.0.0.7:3307": "mysql:main", "10.0.0.8:3307": "mysql", "127.0.0.1:3306": "mysql:main", "127.0.0.2:3306": "mysql", "[::1]:7000": "redis:cache",
		"10.0.0.9:7001": "redis", "[::1]:7002": "redis:cache", "127.0.0.1:7002": "redis:cache", "10.1.1.1:5432": "postgresql", "10.1.1.1:80": "",
	} {
		check(to, want)
	}
	refuse = errors.New("the resolver is down")
	d.Resolve(t.Context(), now.Add(2*time.Minute))
	check("10.0.0.7:3307", "mysql:main")
	refuse, known = nil, netip.MustParseAddr("10.0.0.8")
	d.Resolve(t.Context(), now.Add(150*time.Second)) // too soon
	check("10.0.0.7:3307", "mysql:main")
	d.Resolve(t.Context(), now.Add(5*time.Minute))
	check("10.0.0.7:3307", "mysql")
	check("10.0.0.8:3307", "mysql:main")
	for path, want := range map[string]string{
		"/run/a.sock": "mysql:main", "/run/mysqld/mysqld.sock": "mysql", "/run/postgresql/.s.PGSQL.5432": "postgresql", "/run/redis/redis-server.sock": "redis",
		"/x/memcached.sock": "memcached", "/tmp/mongodb-27017.sock": "mongodb", "/run/app.sock": "", "": "",
	} {
		if got := d.SocketComponent(path); got != want {
			t.Errorf("%q is %q, want %q", path, cmp.Or(got, "nothing"), want)
		}
	}
}
