package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// redisBeside runs the collector in this process, for state that is in no metric, with the
// user of the documentation.
func redisBeside(t *testing.T, r *redisServer, apps ...config.App) func() (model.State, error) {
	t.Helper()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: time.Second, Inspector: waits.New, Apps: apps, Stuck: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.SetServices([]conns.Service{{Component: "redis:cache", Kind: "redis", Addrs: []string{"127.0.0.1:" + strconv.Itoa(r.port)}, Paths: []string{r.socket()}}})
	server := r.opened()
	c := collectors.NewRedis(func() []collectors.RedisTarget { return []collectors.RedisTarget{{Name: "cache", Server: server}} }, collectors.RedisOptions{Apps: w, Connections: w})
	return func() (model.State, error) {
		sample, err := c.Collect(t.Context())
		return sample.State, err
	}
}

// busyRedis keeps a client busy in the background until the test ends.
func busyRedis(t *testing.T, r *redisServer, args ...string) {
	t.Helper()
	start(t, run.Spec{Name: "redis-cli", Path: "redis-cli", Args: append([]string{"-p", strconv.Itoa(r.port)}, args...), Dir: r.dir})
}

// allowed grants the user of the documentation the two rights that identify waiting
// clients.
func (r *redisServer) allowed() { r.cli("ACL", "SETUSER", redisUser, "+client|list", "+slowlog|get") }

// TestRedisBlockedWorker checks that a worker in BLPOP is reported with its socket and has
// no blocker. Without the right to list connections that is an optional lack with its
// remedy.
func TestRedisBlockedWorker(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	r := startRedis(t)
	for _, at := range []string{fmt.Sprintf("127.0.0.1:%d", r.port), "unix:" + r.socket()} { // the first without the rights
		name := map[bool]string{true: "UNIX", false: "TCP"}[strings.HasPrefix(at, "unix:")]
		t.Run(name, func(t *testing.T) {
			a := serve(t, launch{server: "gunicorn", source: "shop/pop.py", args: []string{"-w", "1", "--timeout", "1000"}, env: []string{"POP_REDIS=" + at}})
			t.Cleanup(a.Stop)
			look := redisBeside(t, r, config.App{Name: a.name, Match: config.Match{Cmdline: a.name + ":app"}})
			a.behind("/pop")
			if name == "TCP" {
				eventually(t, 30*time.Second, func() error {
					_, err := look()
					for _, u := range collectors.Lacks(err) {
						if u.Optional && u.Reason == collectors.Permission && u.Remedy == "ACL SETUSER <user> +client|list" {
							return nil
						}
					}
					return fmt.Errorf("the lacks are %w", errors.Join(err, errors.New("and no more")))
				})
			}
			r.allowed()
			look = redisBeside(t, r, config.App{Name: a.name, Match: config.Match{Cmdline: a.name + ":app"}})
			eventually(t, 60*time.Second, func() error {
				now, err := look()
				if err != nil || len(now.StoreWaits) != 1 || len(now.StoreConnections) != 1 {
					return fmt.Errorf("waits are %+v, connections %+v: %w", now.StoreWaits, now.StoreConnections, err)
				}
				w, c := now.StoreWaits[0], now.StoreConnections[0]
				if w.Kind != "blocked" || w.Blocker != 0 || w.Waiter != c.ID || c.Command != "blpop" || c.State != "blocked" || c.Server != "redis:cache" {
					return fmt.Errorf("the wait is %+v of %+v", w, c)
				}
				if name == "UNIX" { // the server does not say whose it is
					return wants("app of a connection over a UNIX socket", c.App, "")
				}
				if inodes, err := procfs.New("/proc").SocketInodes(c.PID); c.App != a.name || c.Slot != "0" || err != nil || !inodes[c.Socket] {
					return fmt.Errorf("the connection is %+v: %w", c, err)
				}
				return nil
			})
		})
	}
}

// TestRedisSlowAndScript checks that a slow command that delayed the ping is reported with
// its client, and a script by the error that it causes.
func TestRedisSlowAndScript(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	r := startRedis(t, "--enable-debug-command", "yes", "--busy-reply-threshold", "300", "--slowlog-log-slower-than", "10000")
	r.allowed()
	a := serve(t, launch{server: "gunicorn", source: "shop/pop.py", args: []string{"-w", "1", "--timeout", "1000"}, env: []string{fmt.Sprintf("POP_REDIS=127.0.0.1:%d", r.port)}})
	t.Cleanup(a.Stop)
	look := redisBeside(t, r, config.App{Name: a.name, Match: config.Match{Cmdline: a.name + ":app"}})
	a.behind("/pop")
	t.Run("slow command", func(t *testing.T) {
		busyRedis(t, r, "-r", "1000", "DEBUG", "SLEEP", "0.4")
		eventually(t, 30*time.Second, func() error {
			now, err := look()
			for _, w := range now.StoreWaits {
				if w.Kind == "slow_command" && w.Over && w.Object == "debug|sleep" && w.Seconds > 0.3 && w.Waiter == 0 && slices.ContainsFunc(now.StoreConnections, func(c model.StoreConnection) bool { return c.ID == w.Blocker && c.App == "" }) {
					return nil
				}
			}
			return fmt.Errorf("waits are %+v, connections %+v: %w", now.StoreWaits, now.StoreConnections, err)
		})
	})
	t.Run("script", func(t *testing.T) {
		busyRedis(t, r, "EVAL", "while true do end", "0")
		eventually(t, 40*time.Second, func() error {
			now, err := look()
			if len(now.StoreWaits) != 1 || now.StoreWaits[0].Kind != "script" || now.StoreWaits[0].Blocker != 0 || now.Redis[0].Up {
				return fmt.Errorf("waits are %+v: %w", now.StoreWaits, err)
			}
			return nil
		})
		r.cli("SCRIPT", "KILL")
		eventually(t, 30*time.Second, func() error {
			if now, err := look(); err != nil || slices.ContainsFunc(now.StoreWaits, func(w model.StoreWait) bool { return w.Kind == "script" }) {
				return fmt.Errorf("after it: %+v: %w", now.StoreWaits, err)
			}
			return nil
		})
	})
}
