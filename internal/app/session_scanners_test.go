package app_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// A reload keeps a scanner whose server and sessions are unchanged.
func TestScannersFollowTheConfiguration(t *testing.T) {
	cfg := func(url string, apps ...config.App) config.Config {
		c := config.Default()
		c.Redis = []config.Redis{{Name: "cache", URL: config.Secret(url)}, {Name: "queue", URL: "redis://127.0.0.1:1"}}
		c.Apps = apps
		return c
	}
	sessions := func(name, redis, prefix string) config.App {
		return config.App{Name: name, Sessions: []config.Sessions{{Redis: redis, Prefix: prefix, Lifetime: time.Hour}}}
	}
	const here = "redis://127.0.0.1:1"
	w := app.NewSessionScanners(false)
	w.Apply(cfg(here, sessions("shop", "cache", "session:"), sessions("blog", "cache", "blog:")))
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	first := w.Scanner("cache")
	if targets := w.Targets(); first == nil || w.Scanner("queue") != nil || len(targets) != 2 || targets[1].App != "blog" || targets[1].Redis != "cache" {
		t.Fatalf("%v", targets)
	}
	for name, c := range map[string]struct {
		cfg  config.Config
		kept bool
	}{
		"the same":         {cfg(here, sessions("shop", "cache", "session:"), sessions("blog", "cache", "blog:")), true},
		"other names":      {cfg(here, sessions("market", "cache", "session:"), sessions("blog", "cache", "blog:")), true},
		"an app elsewhere": {cfg(here, sessions("shop", "cache", "session:"), sessions("blog", "cache", "blog:"), sessions("news", "queue", "n:")), true},
		"another prefix":   {cfg(here, sessions("shop", "cache", "session:"), sessions("blog", "cache", "b:")), false},
		"another server":   {cfg("redis://127.0.0.1:2", sessions("shop", "cache", "session:"), sessions("blog", "cache", "blog:")), false},
		"none":             {cfg(here), false},
	} {
		was := w.Scanner("cache")
		w.Apply(c.cfg)
		if kept := w.Scanner("cache") == was; kept != c.kept {
			t.Errorf("%s: kept %t", name, kept)
		}
		w.Apply(cfg(here, sessions("shop", "cache", "session:"), sessions("blog", "cache", "blog:")))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
	off := app.NewSessionScanners(true)
	off.Apply(cfg(here, sessions("shop", "cache", "session:")))
	if off.Scanner("cache") != nil || len(off.Targets()) != 0 {
		t.Error("a scanner of a collector that is switched off")
	}
}
