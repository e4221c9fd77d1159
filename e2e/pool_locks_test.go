package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// poolBeside runs the collector in this process, for state that is in no metric.
func poolBeside(t *testing.T, s *mariadb.Server, apps ...config.App) func() model.State {
	t.Helper()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: time.Second, Inspector: waits.New, Apps: apps, Stuck: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{address(s)}, Paths: []string{s.Socket}}})
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
		Configured: func() []config.App { return apps }, InnerPID: procfs.New("/proc").InnerPID,
	})
	return func() model.State {
		sample, err := pool.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sample.State
	}
}

// TestPoolLockWait checks what is reported of a worker that waits for a row that an idle
// transaction has locked: both workers, both connections, the state of the blocker, and
// the duration.
func TestPoolLockWait(t *testing.T) {
	t.Parallel()
	s := database(t, longLockWaits)
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
		now := look()
		leaked := map[string]bool{} // by slot
		for i := range now.Pools {
			for _, w := range now.Pools[i].Workers {
				leaked[w.Slot] = w.Leaked > 0
			}
		}
		if len(now.LockWaits) != 1 {
			return fmt.Errorf("lock waits are %+v", now.LockWaits)
		}
		w := now.LockWaits[0]
		holder := model.Owner{App: a.name, Slot: w.Blocker.Slot, PID: blocker.PID}
		if w.Server != "main" || w.Waiter.App != a.name || w.Blocker.ID != uint64(blocker.Connections[0]) || w.Blocker.Owner != holder || w.State != "sleeping" {
			return fmt.Errorf("the lock wait is %+v", w)
		}
		if w.Waiter.Slot == "" || holder.Slot == "" || w.Waiter.Slot == holder.Slot || w.Seconds < 1 || w.Seconds > 1000 {
			return fmt.Errorf("worker %q waits for worker %q for %v s", w.Waiter.Slot, holder.Slot, w.Seconds)
		}
		if busy, ok := leaked[w.Waiter.Slot]; !ok || busy || !leaked[holder.Slot] {
			return fmt.Errorf("the workers' connections are %+v", now.Pools)
		}
		leak := now.Pools[0].Leaks
		if len(now.Pools) != 1 || now.Pools[0].Name != "main" || len(leak) != 1 || leak[0].Owner != holder || leak[0].Server != "main" || leak[0].Connection != w.Blocker.ID || leak[0].Seconds <= 2 {
			return fmt.Errorf("the pools are %+v", now.Pools)
		}
		return nil
	})
}

// blocked sends a request that makes the other worker than pid wait for the row. Each of
// two workers takes one request at a time, so there is never a second one that waits.
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
		late := time.After(scaled(time.Second)) // one that is not answered by then waits for the row
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
