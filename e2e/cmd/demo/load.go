package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	perSecond = 25 // requests, on the mean
	inFlight  = 6  // at most; what would be more is left out
)

// pages is what the load asks for, each by its weight.
var pages = [...]struct {
	path   string
	weight int
}{
	{"/", 60}, {"/products", 25}, {"/products/3", 8}, {"/cpu?ms=40", 3}, {"/slow?s=1", 2}, {"/products/99", 1}, {"/error", 1},
}

// load sends a light, bounded mix of requests to base until ctx ends.
func load(ctx context.Context, base string) {
	client := &http.Client{Timeout: 15 * time.Second}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, inFlight)
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case room <- struct{}{}:
		default:
			continue
		}
		wg.Go(func() {
			defer func() { <-room }()
			ask(ctx, client, base+pick())
		})
	}
}

func pick() string {
	total := 0
	for _, p := range pages {
		total += p.weight
	}
	n := rand.IntN(total)
	for _, p := range pages {
		if n -= p.weight; n < 0 {
			return p.path
		}
	}
	return "/"
}

// ask sends one request. A failed one is part of the demo: the exporter shows it.
func ask(ctx context.Context, client *http.Client, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
