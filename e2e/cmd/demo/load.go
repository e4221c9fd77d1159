package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"time"
)

const (
	perSecond = 25 // visits, on the mean
	inFlight  = 6  // at most; what would be more is left out
	customers = 12 // at a time, each with cookies of its own
	stays     = 60 // visits of a customer, on the mean, before another comes
)

// visits lists the requests of the load, each by its weight. N is a product.
var visits = [...]struct {
	weight int
	steps  []string
}{
	{48, []string{"GET /"}},
	{25, []string{"GET /products"}},
	{10, []string{"GET /products/N"}},
	{4, []string{"GET /cart"}},
	{4, []string{"POST /cart/N"}},
	{2, []string{"POST /cart/N", "POST /checkout"}},
	{3, []string{"GET /cpu?ms=40"}},
	{2, []string{"GET /slow?s=1"}},
	{1, []string{"GET /products/99"}},
	{1, []string{"GET /error"}},
}

// load sends a light, bounded mix of requests to base until ctx ends.
func load(ctx context.Context, base string) {
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight}
	defer transport.CloseIdleConnections()
	var wg sync.WaitGroup
	defer wg.Wait()
	var crowd [customers]*http.Client
	paced(ctx, perSecond, inFlight, func(done func()) {
		who := rand.IntN(customers)
		if crowd[who] == nil || rand.IntN(stays) == 0 {
			jar, _ := cookiejar.New(nil) // it returns no error without options
			crowd[who] = &http.Client{Transport: transport, Jar: jar, Timeout: 15 * time.Second}
		}
		client := crowd[who]
		wg.Go(func() {
			defer done()
			for _, step := range pick() {
				ask(ctx, client, base, step)
			}
		})
	})
}

// paced calls begin n times a second until ctx ends, except while most of its calls have not
// called done.
func paced(ctx context.Context, n, most int, begin func(done func())) {
	room := make(chan struct{}, most)
	ticker := time.NewTicker(time.Second / time.Duration(n))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case room <- struct{}{}:
			begin(func() { <-room })
		default:
		}
	}
}

// pick returns the steps of a visit, drawn by weight.
func pick() []string {
	total := 0
	for _, v := range visits {
		total += v.weight
	}
	n := rand.IntN(total)
	for _, v := range visits {
		if n -= v.weight; n < 0 {
			return v.steps
		}
	}
	return nil
}

// ask sends one request, "GET /path". A failed one is part of the demo: the
// exporter shows it.
func ask(ctx context.Context, client *http.Client, base, step string) {
	method, path, _ := strings.Cut(step, " ")
	path = strings.Replace(path, "/N", fmt.Sprintf("/%d", 1+rand.IntN(5)), 1)
	req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
	if err != nil {
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
}
