package watch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
)

// host is a /proc with one worker, whose memory the test sets.
type host struct {
	t    *testing.T
	root string
	snap atomic.Pointer[discovery.Snapshot]
}

func (h *host) Snapshot(context.Context) (*discovery.Snapshot, error) { return h.snap.Load(), nil }

// write sets the memory of a process that started at some ticks.
func (h *host) write(pid int, ticks uint64, anon float64) {
	h.t.Helper()
	dir := filepath.Join(h.root, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"status": fmt.Sprintf("Name:\tpython3\nVmRSS:\t%.0f kB\nRssAnon:\t%.0f kB\nVmSwap:\t0 kB\n", anon/1024+9000, anon/1024),
		"stat":   fmt.Sprintf("%d (python3) S 1 1 1 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 %d 1000 2000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", pid, ticks),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) worker(pid int, start time.Time) {
	h.snap.Store(&discovery.Snapshot{Apps: []discovery.App{{Name: "shop", Up: true, Workers: []discovery.Worker{
		{Process: discovery.Process{PID: pid}, Slot: 2, Start: start},
	}}}})
}

func TestWatch(t *testing.T) {
	h := &host{t: t, root: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var requests atomic.Int64
		w := watch.New(watch.Options{
			Apps: h, ProcRoot: h.root, Interval: func() time.Duration { return time.Minute },
			Requests: func(string) (float64, bool) { return float64(requests.Load()), true },
		})
		h.worker(77, begun)
		h.write(77, 500, 50e6)
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(time.Second) // the watcher does nothing while the test writes
		for range 150 {
			time.Sleep(time.Minute)
			synctest.Wait()
			requests.Store(int64(time.Since(begun).Seconds()))
			h.write(77, 500, 50e6+2000*float64(requests.Load()))
		}
		found, ok := w.Of("shop", 2, 77)
		if !ok || !found.Leak || found.Slope < 1800 || found.Slope > 2200 || found.BytesPerRequest < 1800 || found.BytesPerRequest > 2200 {
			t.Errorf("%+v, %v", found, ok)
		}
		if _, ok := w.Of("shop", 2, 78); ok {
			t.Error("another process is said to leak")
		}
		// The pid is reused by a process that discovery does not know: it is not judged.
		h.write(77, 900, 1e9)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if again, _ := w.Of("shop", 2, 77); again.Anon > 100e6 {
			t.Errorf("%+v", again)
		}
		// A new worker is in the slot: it does not leak.
		h.worker(88, time.Now())
		h.write(88, 1000, 50e6)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if found, ok := w.Of("shop", 2, 88); !ok || found.Leak || found.Anon != 50e6/1024*1024 && found.Anon < 49e6 {
			t.Errorf("%+v, %v", found, ok)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
