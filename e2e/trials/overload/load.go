package overload

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	health   = "/healthz"
	checkout = "/checkout"
	beside   = 4 * workers * threads // clients that measure the capacity
	abandon  = 5 * time.Second       // from the end of the overload to that of requests that are still waited for
)

// load sends requests.
type load struct {
	url    string
	draws  *rand.Rand
	client *http.Client
}

// newLoad returns a load on a URL that has not begun.
func newLoad(url string, draws *rand.Rand) *load {
	return &load{url: url, draws: draws, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// close closes the connections that are idle.
func (l *load) close() { l.client.CloseIdleConnections() }

// path draws the path of a request.
func (l *load) path(c *Case, x float64) string {
	switch {
	case x < c.Slow:
		return "/slow"
	case x < 0.6:
		return "/"
	case x < 0.9:
		return "/report"
	default:
		return checkout
	}
}

// get sends a request and returns the status, 0 if there was no answer.
func (l *load) get(ctx context.Context, path string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

// capacity returns how many requests the app serves in a second while each client waits
// for its answer.
func (l *load) capacity(ctx context.Context, c *Case) float64 {
	ctx, cancel := context.WithTimeout(ctx, unloaded)
	defer cancel()
	var served atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range beside {
		draws := rand.New(rand.NewPCG(l.draws.Uint64(), 1)) //nolint:gosec // a trial that can be repeated
		wg.Go(func() {
			for ctx.Err() == nil {
				if l.get(ctx, l.path(c, draws.Float64())) == http.StatusOK {
					served.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(served.Load()) / time.Since(began).Seconds()
}

// overload sends requests at random times, whether earlier ones were answered or not, and a
// health check each second. It returns what became of them.
func (l *load) overload(ctx context.Context, c *Case, capacity float64, lasts time.Duration) (out []Request) {
	ctx, cancel := context.WithTimeout(ctx, lasts+abandon)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	send := func(path string, at time.Duration) {
		wg.Go(func() {
			r := Request{At: at, Path: path, Status: l.get(ctx, path)}
			r.Took = time.Since(began) - at
			mu.Lock()
			defer mu.Unlock()
			out = append(out, r)
		})
	}
	wg.Go(func() {
		for at := time.Duration(0); at < lasts && waits(ctx, began.Add(at)); at += time.Second {
			send(health, at)
		}
	})
	for at := time.Duration(0); at < lasts && waits(ctx, began.Add(at)); {
		send(l.path(c, l.draws.Float64()), at)
		at += time.Duration(l.draws.ExpFloat64() / (capacity * c.rate(at)) * float64(time.Second))
	}
	wg.Wait()
	return out
}

// waits waits until a time, and reports whether ctx lasts.
func waits(ctx context.Context, until time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(until)):
		return true
	}
}
