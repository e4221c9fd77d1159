package controlkey_test

import (
	"context"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

const (
	name     = "resp:control:shop"
	otherKey = "fedcba9876543210"
)

// expired returns how many keys of a server have expired, which a removed one has not.
func expired(t *testing.T, s *redis.Server) (n string) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		text, err := c.Info(ctx, "stats").Result()
		_, n, _ = strings.Cut(text, "\r\nexpired_keys:")
		n, _, _ = strings.Cut(n, "\r\n")
		return err
	})
	return n
}

// A reload with another Redis, another secret or another name of the exporter counts from
// the next write on, and this exporter's keys of before do not stand in its way. The keys on
// a Redis that is no longer used are removed, and do not only expire; no secret is needed.
func TestReload(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(t *testing.T, set *controlkey.Settings)
		secret string // of the value; "": there is none
		by     string
		moved  bool // to the other server
	}{
		"another Redis":  {func(_ *testing.T, set *controlkey.Settings) { set.Redis = "store" }, key, "web-1", true},
		"another secret": {func(t *testing.T, set *controlkey.Settings) { t.Helper(); set.KeyFile = secretFile(t, otherKey) }, otherKey, "web-1", false},
		"another name":   {func(_ *testing.T, set *controlkey.Settings) { set.By = "web-2" }, key, "web-2", false},
		"the same Redis under another name, all else too": {func(t *testing.T, set *controlkey.Settings) {
			t.Helper()
			*set = controlkey.Settings{Redis: "again", KeyFile: secretFile(t, otherKey), By: "web-1"}
		}, otherKey, "web-1", false},
		"none": {func(_ *testing.T, set *controlkey.Settings) { *set = controlkey.Settings{By: "web-1"} }, "", "", false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server, other := redistest.Start(t), redistest.Start(t)
			s := server.Open()
			x := run(t, s, "web-1", key, "shop")
			x.servers.Store("store", other.Open())
			x.servers.Store("again", server.Open())
			x.written(t)
			set := *x.settings.Load()
			c.change(t, &set)
			x.settings.Store(&set)
			at := s
			if c.moved {
				at = other.Open()
				await(t, "the key is removed", func() bool { text, _ := get(t, s, name); return text == "" })
			}
			await(t, "the settings are followed", func() bool {
				text, _ := get(t, at, name)
				return (text == "") == (c.secret == "") && (text == "" || controlkey.Genuine(c.secret, "shop", text) && strings.Contains(text, `"by":"`+c.by+`"`))
			})
			keys := 1
			if c.secret == "" {
				keys = 0
			} else {
				x.written(t)
				x.written(t)
			}
			got := x.Stats()
			if got.On != (c.secret != "") || got.Keys != keys || got.Writes[controlkey.Held]+got.Writes[controlkey.Failed] != 0 {
				t.Errorf("%+v", got)
			}
			if n := expired(t, s); (c.moved || c.secret == "") && n != "0" {
				t.Errorf("%s keys have expired", n)
			}
			x.ask()
			await(t, "nothing is left", func() bool { text, _ := get(t, at, name); return text == "" && x.Stats().Keys == 0 })
		})
	}
}

// A server that is missing for a moment, as during a reload, is a failure that passes.
func TestServerMissing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := run(t, s, "web-1", key, "shop")
	x.written(t)
	x.servers.Delete("cache")
	await(t, "a failure", func() bool { return x.Stats().Writes[controlkey.Failed] > 0 })
	x.servers.Store("cache", s)
	x.written(t)
	if got := x.Stats(); got.Keys != 1 || got.Writes[controlkey.Held] != 0 {
		t.Errorf("%+v", got)
	}
}
