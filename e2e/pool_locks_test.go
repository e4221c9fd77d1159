package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// poolBeside runs the collector in this process, for what is in no metric.
func poolBeside(t *testing.T, s *mariadb.Server, apps ...config.App) func() health.Readings {
	t.Helper()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: time.Second, Inspector: waits.New, Apps: apps, Stuck: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{address(s)}}})
	server := mysql.Open(mysql.Options{Name: "main", DSN: config.Secret(fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/", word, s.Port))})
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	pool := collectors.NewPool(collectors.PoolOptions{
		Apps: w, Connections: w, Leaks: collectors.NewLeakLog(slog.New(slog.DiscardHandler)),
		Activity:   collectors.NewActivity(func() []collectors.MySQLTarget { return []collectors.MySQLTarget{{Name: "main", Server: server}} }),
		Configured: func() []config.App { return apps },
	})
	return func() health.Readings {
		sample, err := pool.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return health.NewReadings(sample.Readings)
	}
}

// A worker waits for a row that another one has locked and left: both workers,
// both connections, what the blocker does, and for how long.
func TestPoolLockWait(t *testing.T) {
	t.Parallel()
	s := database(t)
	a := holder(t, 2, address(s), launch{})
	look := poolBeside(t, s, config.App{
		Name: a.name, Match: config.Match{Cmdline: a.name + ":app"},
		Pools: []config.Pool{{Name: "main", MySQL: "main", User: "shop", Size: 5, LeakAfter: 2 * time.Second}},
	})
	blocker, ok, err := a.tell("/hold?row=1")
	if err != nil || !ok || len(blocker.Connections) != 1 {
		t.Fatal(blocker, ok, err)
	}
	blocked(t, a, blocker.PID)
	eventually(t, 30*time.Second, func() error {
		rs := look()
		workers := map[string]string{} // slot by pid
		for _, r := range rs.All("page.pool_worker") {
			workers[r.Labels[2]] = r.Labels[3]
		}
		waits := rs.All("page.lock_wait")
		if len(waits) != 1 {
			return fmt.Errorf("lock waits are %v", waits)
		}
		w := waits[0]
		id, pid := strconv.Itoa(blocker.Connections[0]), strconv.Itoa(blocker.PID)
		if got := strings.Join([]string{w.Labels[0], w.Labels[2], w.Labels[4], w.Labels[5], w.Labels[7], w.Labels[8]}, " "); got != strings.Join([]string{"main", a.name, id, a.name, pid, "sleeping"}, " ") {
			return fmt.Errorf("the lock wait is %q", w.Labels)
		}
		waiter, holding := w.Labels[3], w.Labels[6]
		if waiter == "" || holding == "" || waiter == holding || w.Value < 1 || w.Value > 60 {
			return fmt.Errorf("worker %q waits for worker %q for %v s", waiter, holding, w.Value)
		}
		if workers[waiter] != "in_use" || workers[holding] != "leaked" {
			return fmt.Errorf("the workers' connections are %v", workers)
		}
		leak := rs.All("page.pool_leak")
		if len(leak) != 1 || strings.Join(leak[0].Labels, " ") != strings.Join([]string{a.name, "main", "main", holding, pid, id}, " ") || leak[0].Value <= 2 {
			return fmt.Errorf("the leak is %v", leak)
		}
		return nil
	})
}

// blocked has the other worker than pid wait for the row. Each of two workers
// takes one request at a time, so there is never a second one that waits.
func blocked(t *testing.T, a *app, pid int) {
	t.Helper()
	const n = 4
	for range 100 {
		answered := make(chan error, n)
		for range n { // side by side, or one worker may take them all
			go func() {
				_, ok, err := a.tell(fmt.Sprintf("/wait?row=1&not=%d", pid))
				if err == nil && ok {
					err = errors.New("nobody held the row")
				}
				answered <- err
			}()
		}
		late := time.After(time.Second)
		for got := range n {
			select {
			case err := <-answered:
				if err != nil {
					t.Fatal(err)
				}
				continue
			case <-late:
			}
			t.Cleanup(func() { // the app ends, and with it the request
				a.Stop()
				for range n - got {
					if err := <-answered; err != nil {
						t.Logf("the worker that waited: %v", err)
					}
				}
			})
			return
		}
	}
	t.Fatal("the other worker took no request")
}
