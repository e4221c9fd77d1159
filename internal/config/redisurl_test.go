package config_test

import (
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestParseRedisURL(t *testing.T) {
	for s, want := range map[string]config.RedisURL{
		"redis://cache":                  {Addrs: []string{"cache:6379"}},
		"redis://[::1]":                  {Addrs: []string{"[::1]:6379"}},
		"redis://127.0.0.1:7000/3":       {Addrs: []string{"127.0.0.1:7000"}, DB: 3},
		"redis://cache/?db=4":            {Addrs: []string{"cache:6379"}, DB: 4},
		"redis://:se%40cret@cache":       {Addrs: []string{"cache:6379"}, Password: "se@cret"},
		"redis://resp:a@b/c:d@cache:1/2": {Addrs: []string{"cache:1"}, User: "resp", Password: "a@b/c:d", DB: 2},
		"rediss://cache?ca_file=/c.pem&cert_file=/d.pem&key_file=/e.pem&server_name=db.example": {
			Addrs: []string{"cache:6379"}, TLS: true, CAFile: "/c.pem", CertFile: "/d.pem", KeyFile: "/e.pem", ServerName: "db.example",
		},
		"unix:///run/redis.sock":             {Addrs: []string{"/run/redis.sock"}},
		"unix:///run/redis@1.sock?db=1":      {Addrs: []string{"/run/redis@1.sock"}, DB: 1},
		"unix://resp:p@/run/redis.sock?db=2": {Addrs: []string{"/run/redis.sock"}, User: "resp", Password: "p", DB: 2},
		"redis+sentinel://resp@a:1,b/mymaster?db=3": {
			Kind: config.RedisSentinel, Addrs: []string{"a:1", "b:26379"}, Master: "mymaster", User: "resp", DB: 3,
		},
		"rediss+sentinel://a/m":         {Kind: config.RedisSentinel, Addrs: []string{"a:26379"}, Master: "m", TLS: true},
		"redis+cluster://a:1,b,[::1]:2": {Kind: config.RedisCluster, Addrs: []string{"a:1", "b:6379", "[::1]:2"}},
		"rediss+cluster://a/":           {Kind: config.RedisCluster, Addrs: []string{"a:6379"}, TLS: true},
	} {
		got, err := config.ParseRedisURL(config.Secret(s))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v; user %q, addresses %v, database %d, kind %d, master %q, want %v", s, err, got.User, got.Addrs, got.DB, got.Kind, got.Master, want.Addrs)
		}
	}
	for _, s := range []string{
		"", "redis", "redis:", "redis://", "redis:///1", "redis://a,b", "redis+://a", "redis+x://a", "unix+cluster:///a", "http://a", "redis+sentinel://a", "redis+sentinel://a/b/c",
		"redis+cluster://a/1", "redis+cluster://a?db=1", "redis+cluster://a,", "redis+cluster://" + strings.Repeat("a,", 16) + "a", "redis://a/b", "redis://a?x=1", "redis://a?db=", "redis://a?db=1&db=2",
		"redis://a?ca_file=/x", "rediss://a?ca_file=x", "rediss://a?cert_file=/x", "rediss://a?server_name=a%20b", "redis://a:0", "redis://a:x", "redis://%zz@a", "redis://a%", "redis://a\n", "unix://a/b", "unix:///a/",
	} {
		if got, err := config.ParseRedisURL(config.Secret(s)); err == nil {
			t.Errorf("%q is taken to be %v", s, got.Addrs)
		}
	}
}

// FuzzParseRedisURL: an accepted URL can be dialled; a refused one is not in the error.
func FuzzParseRedisURL(f *testing.F) {
	f.Add("redis://resp:hunter2@127.0.0.1:6379/0")
	f.Add("unix://a:b@/run/redis.sock?db=2")
	f.Add("rediss+sentinel://a:1,b/mymaster?ca_file=/x")
	_, plain := config.ParseRedisURL("")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := config.ParseRedisURL(config.Secret(s))
		if err != nil {
			if err.Error() != plain.Error() {
				t.Errorf("%q gives an error of its own: %v", s, err)
			}
			return
		}
		if len(u.Addrs) == 0 || len(u.Addrs) > 16 || u.DB < 0 || (u.Kind == config.RedisSentinel) != (u.Master != "") {
			t.Errorf("%q gives %d addresses, database %d", s, len(u.Addrs), u.DB)
		}
		for _, a := range u.Addrs {
			if _, _, err := net.SplitHostPort(a); err != nil && !strings.HasPrefix(a, "/") {
				t.Errorf("%q gives the address %q", s, a)
			}
		}
	})
}
