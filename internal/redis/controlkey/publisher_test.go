package controlkey_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

const (
	key      = "0123456789abcdef"
	document = `{"version":1,"throttle":{"percent":30,"until":1767323045.5}}`
)

// exporter is a publisher that runs.
type exporter struct {
	*controlkey.Publisher

	asked    atomic.Pointer[map[string][]byte]
	settings atomic.Pointer[controlkey.Settings]
	servers  sync.Map // by name
	end      func()   // and wait
}

// secretFile returns a file with a secret.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run starts a publisher that asks something of the apps, until the test or its end.
func run(t *testing.T, s *redis.Server, by, secret string, apps ...string) *exporter {
	t.Helper()
	x := &exporter{}
	x.ask(apps...)
	x.servers.Store("cache", s)
	x.settings.Store(&controlkey.Settings{Redis: "cache", KeyFile: secretFile(t, secret), By: by})
	x.Publisher = controlkey.New(controlkey.Options{
		Documents: func() map[string][]byte { return *x.asked.Load() },
		Redis: func(name string) *redis.Server {
			s, _ := x.servers.Load(name)
			server, _ := s.(*redis.Server)
			return server
		},
		Settings: func() controlkey.Settings { return *x.settings.Load() },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = x.Run(ctx)
	}()
	x.end = func() { cancel(); <-done }
	t.Cleanup(x.end)
	return x
}

func (x *exporter) ask(apps ...string) {
	m := make(map[string][]byte)
	for _, app := range apps {
		m[app] = []byte(document)
	}
	x.asked.Store(&m)
}

// await waits until a condition is true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// written waits until the exporter has written once more.
func (x *exporter) written(t *testing.T) {
	t.Helper()
	before := x.Stats().Writes[controlkey.Written]
	await(t, "a write", func() bool { return x.Stats().Writes[controlkey.Written] > before })
}

// do runs f on the server.
func do(t *testing.T, s *redis.Server, f func(ctx context.Context, c driver.UniversalClient) error) {
	t.Helper()
	if err := s.WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error { return f(ctx, l.Client()) }); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of a key, and how long it lasts.
func get(t *testing.T, s *redis.Server, name string) (text string, left time.Duration) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) (err error) {
		text, err = c.Get(ctx, name).Result()
		if err == nil {
			left, err = c.PTTL(ctx, name).Result()
		}
		if err == driver.Nil { //nolint:errorlint // the driver compares so, too
			text, err = "", nil
		}
		return err
	})
	return text, left
}

// value is what resp_flask.py reads.
type value struct {
	Version           int
	By, Document, MAC string
	Sent              int64
}

func TestPublishes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := run(t, s, "web-1", key, "shop", "blog@2")
	x.written(t)
	text, left := get(t, s, "resp:control:shop")
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Version != 1 || v.By != "web-1" || v.Document != document || left <= 0 || left > controlkey.Expiry {
		t.Fatalf("%q for %s, %v", text, left, err)
	}
	if want, err := controlkey.Seal(key, "shop", "web-1", time.UnixMilli(v.Sent), []byte(document)); err != nil || text != want {
		t.Errorf("got %q, want %q, %v", text, want, err)
	}
	await(t, "it is renewed", func() bool { next, _ := get(t, s, "resp:control:shop"); return next != text })
	if got := x.Stats(); !got.On || got.Keys != 2 || got.Writes[controlkey.Failed]+got.Writes[controlkey.Held] != 0 {
		t.Errorf("%+v", got)
	}
	x.ask("blog@2")
	await(t, "the key of shop is removed", func() bool { text, _ := get(t, s, "resp:control:shop"); return text == "" && x.Stats().Keys == 1 })
	x.end()
	if text, _ := get(t, s, "resp:control:blog@2"); text != "" {
		t.Errorf("left behind: %q", text)
	}
}

// The signature that resp_flask.py computes too: its tests have the same one.
func TestSignature(t *testing.T) {
	t.Parallel()
	text, err := controlkey.Seal("0123456789abcdef", "shop", "web-1:9868", time.UnixMilli(1767323045500), []byte(document))
	var v value
	if err != nil || json.Unmarshal([]byte(text), &v) != nil {
		t.Fatalf("%q, %v", text, err)
	}
	if want := "77fd14e5daa554909d8af8d1ac2b10c5c6bfcad094630c84b458bac842b928c3"; v.MAC != want {
		t.Errorf("got %s, want %s", v.MAC, want)
	}
}

// Of two exporters one writes the key of an app, until it asks for nothing any more.
func TestOneWrites(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := server.Open()
	a := run(t, s, "web-1", key, "shop")
	a.written(t)
	b := run(t, server.Open(), "web-2", key, "shop", "blog")
	await(t, "two that are held", func() bool { return b.Stats().Writes[controlkey.Held] >= 2 })
	text, _ := get(t, s, "resp:control:shop")
	if !strings.Contains(text, `"web-1"`) || a.Stats().Writes[controlkey.Held] != 0 || b.Stats().Keys != 1 {
		t.Errorf("%q, %+v, %+v", text, a.Stats(), b.Stats())
	}
	b.ask("blog") // nothing of the other's is removed
	b.written(t)
	if text, _ := get(t, s, "resp:control:shop"); !strings.Contains(text, `"web-1"`) {
		t.Errorf("%q", text)
	}
	b.ask("shop")
	a.end()
	await(t, "the other one takes over", func() bool {
		text, _ := get(t, s, "resp:control:shop")
		return strings.Contains(text, `"web-2"`)
	})
}

// What somebody else has put at the key of an app keeps nobody from being asked: it is
// replaced, and nothing of it stays.
func TestReplacesWhatIsForeign(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	signed := func(secret, app, by string, ago time.Duration) string {
		text, err := controlkey.Seal(secret, app, by, time.Now().Add(-ago), []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	set := func(text string) func(context.Context, driver.UniversalClient, string) error {
		return func(ctx context.Context, c driver.UniversalClient, key string) error {
			return c.Set(ctx, key, text, 0).Err()
		}
	}
	for name, plant := range map[string]func(context.Context, driver.UniversalClient, string) error{
		"unsigned":    set(`{"version":1,"by":"web-2","sent":1,"document":"{}"}`),
		"no JSON":     set("{"),
		"deep":        set(strings.Repeat("[", 4000)),
		"another key": set(signed("another secret...", "unsigned", "web-2", 0)),
		"another app": set(signed(key, "another", "web-2", 0)),
		"an old one":  set(signed(key, "an old one", "web-2", 2*time.Minute)),
		"of later":    set(signed(key, "of later", "web-2", -2*time.Minute)),
		"a megabyte":  set(strings.Repeat("x", 1<<20)),
		"a hash": func(ctx context.Context, c driver.UniversalClient, key string) error {
			return c.HSet(ctx, key, "by", "web-2").Err()
		},
		"a list": func(ctx context.Context, c driver.UniversalClient, key string) error {
			return c.RPush(ctx, key, "x").Err()
		},
		"empty string": set(""),
	} {
		app := strings.ReplaceAll(name, " ", "_")
		if name == "an old one" || name == "of later" { // genuine but for its age
			ago := map[string]time.Duration{"an old one": 2 * time.Minute, "of later": -2 * time.Minute}[name]
			plant = set(signed(key, app, "web-2", ago))
		}
		do(t, s, func(ctx context.Context, c driver.UniversalClient) error { return plant(ctx, c, "resp:control:"+app) })
		x := run(t, s, "web-1", key, app)
		x.written(t)
		if text, left := get(t, s, "resp:control:"+app); !strings.Contains(text, `"web-1"`) || left <= 0 || x.Stats().Writes[controlkey.Held] != 0 {
			t.Errorf("%s: %.100q for %s, %+v", name, text, left, x.Stats())
		}
		x.ask()
		await(t, "nothing is left of "+name, func() bool { text, _ := get(t, s, "resp:control:"+app); return text == "" })
	}
}

// While the Redis is away, writes fail and are counted; when it is back, keys are written
// again.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	x := run(t, server.Open(), "web-1", key, "shop")
	x.written(t)
	server.Stop()
	await(t, "a failure", func() bool { return x.Stats().Writes[controlkey.Failed] > 0 })
	server.Restart()
	x.written(t)
}

// Without a secret of enough bytes nothing is written.
func TestNoSecret(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := run(t, s, "web-1", "short", "shop")
	await(t, "a failure", func() bool { return x.Stats().Writes[controlkey.Failed] > 0 })
	if text, _ := get(t, s, "resp:control:shop"); text != "" || x.Stats().Keys != 0 {
		t.Errorf("%q", text)
	}
}

// The documented rights are enough, and each of them is needed.
func TestRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Open()
	rules := redis.Rights{Control: true}.Rules(true)
	for _, drop := range []string{"", "+eval", "+getrange", "+set", "+del", "~resp:control:*"} {
		do(t, admin, func(ctx context.Context, c driver.UniversalClient) error {
			args := []any{"acl", "setuser", "u", "reset", "on", ">p"}
			for _, r := range rules {
				if r != drop {
					args = append(args, r)
				}
			}
			return c.Do(ctx, args...).Err()
		})
		s := server.OpenAs("u", "p")
		if err := controlkey.Check(t.Context(), s); (err == nil) != (drop == "") {
			t.Errorf("without %q: %v", drop, err)
		}
		if drop == "" {
			run(t, s, "web-1", key, "shop").written(t)
		}
		do(t, admin, func(ctx context.Context, c driver.UniversalClient) error {
			n, err := c.DBSize(ctx).Result()
			if err == nil && drop != "" && n > 1 {
				t.Errorf("without %q: %d keys", drop, n)
			}
			return err
		})
	}
}
