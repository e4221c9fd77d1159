package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// status is what is used of /api/v1/status.
type status struct {
	Apps []struct {
		Name    string
		Workers []struct{ Threads []struct{ State string } }
	}
}

// idle returns how many workers of an app are idle.
func (s *status) idle(app string) (n int) {
	for _, a := range s.Apps {
		if a.Name != app {
			continue
		}
		for _, w := range a.Workers {
			if len(w.Threads) > 0 && w.Threads[0].State == "idle" {
				n++
			}
		}
	}
	return n
}

// idle waits until the exporter samples so many idle workers of an app.
func (t *trialRun) idle(ctx context.Context, app string, n int) error {
	last := 0
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		var s status
		if err := t.fetch(ctx, "/api/v1/status", &s); err != nil {
			return err
		}
		if last = s.idle(app); last == n {
			return nil
		}
	}
	return fmt.Errorf("%d of %d workers of %s are idle", last, n, app)
}

// recycleAll recycles workers under short requests, and returns how many it recycled and
// how many last words of them there are.
func (t *trialRun) recycleAll(ctx context.Context) (done, said int, err error) {
	at, err := t.gunicorn(ctx, "fresh", false, "--workers", "4", "--max-requests", "8", "--max-requests-jitter", "4")
	if err == nil {
		err = t.idle(ctx, "fresh", 4)
	}
	if err != nil {
		return 0, 0, err
	}
	short, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for short.Err() == nil && t.exits() < t.recycles {
				send(short, "http://"+at+"/short")
			}
		})
	}
	wg.Wait()
	time.Sleep(8 * time.Second) // the exporter decides 5 s after its end how a worker ended; none may have last words
	list, err := t.lastWords(ctx)
	for _, w := range list {
		if w.App == "fresh" {
			said++
		}
	}
	return t.exits(), said, err
}

// exits returns how many workers gunicorn has recycled, by its log.
func (t *trialRun) exits() int {
	b, err := os.ReadFile(filepath.Join(t.dir, "fresh.log"))
	if err != nil {
		return 0
	}
	return strings.Count(string(b), "Worker exiting")
}

// send sends a request on a connection of its own, and reads the response.
func send(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
