package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// What happens while a batch is sent, as it is in the file.
const (
	whileRedis = "redis" // the Redis is killed
	whileHalt  = "halt"  // the first Alertmanager is stopped
	whileCrash = "crash" // exporters are killed
)

// events returns what happens while a batch is sent, and a function that does it.
func (b *bench) events(ctx context.Context, batch int) (while string, do func() error) {
	switch {
	case batch == b.o.killsIn():
		return whileRedis, func() error {
			if !sleep(ctx, b.o.Spread/3) {
				return ctx.Err()
			}
			if err := b.group.redis.kill(ctx); err != nil {
				return err
			}
			sleep(ctx, b.o.Down)
			return b.group.redis.start(ctx)
		}
	case b.o.Stops && batch == b.o.haltsIn():
		return whileHalt, func() error {
			p := b.group.managers[0].Proc
			if err := p.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
			sleep(ctx, haltFor)
			return p.Signal(syscall.SIGCONT)
		}
	case b.o.Stops && batch == b.o.crashesIn():
		return whileCrash, func() error { return b.all.crash(ctx, crashFor) }
	}
	return "", func() error { return nil }
}

// send sends a batch to both Alertmanagers, as a pair of Prometheus servers does.
func (b *bench) send(ctx context.Context, batch int, order []int, gaps *rand.Rand, while string) ([]Alert, error) {
	var alerts []Alert
	var wg sync.WaitGroup
	var failed []error
	var mu sync.Mutex
	spread := b.o.Spread
	if batch == 1 && while == "" { // one common cause
		spread = 0
	}
	begin := time.Now()
	for at := 0; at < len(order); {
		n := min(1+gaps.IntN(40), len(order)-at)
		chunk := make([]Alert, n)
		for i := range chunk {
			host := order[at+i]
			chunk[i] = Alert{Batch: batch, Host: hostName(host), Real: host < b.o.Real}
			if while != whileCrash || b.all.down(chunk[i].Host) {
				chunk[i].While = while
			}
		}
		sleep(ctx, time.Until(begin.Add(spread*time.Duration(at)/time.Duration(len(order)))))
		sent, err := b.post(ctx, &wg, chunk, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		})
		if err != nil {
			return alerts, err
		}
		for i := range chunk {
			chunk[i].Sent = sent
		}
		alerts, at = append(alerts, chunk...), at+n
	}
	wg.Wait()
	if len(failed) > 0 {
		return alerts, failed[0]
	}
	return alerts, nil
}

// post sends alerts to both Alertmanagers, and returns when the first one has taken them.
func (b *bench) post(ctx context.Context, wg *sync.WaitGroup, alerts []Alert, fail func(error)) (time.Time, error) {
	body := make([]map[string]any, len(alerts))
	for i, a := range alerts {
		body[i] = map[string]any{
			"labels":   map[string]string{"alertname": nameOf(a.Batch), "job": "resp", "instance": a.Host, "app": "shop", "severity": "warning", "component": "app"},
			"startsAt": time.Now().UTC(), "endsAt": time.Now().Add(2 * time.Hour).UTC(),
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return time.Time{}, err
	}
	first := make(chan time.Time, len(b.group.managers))
	for _, m := range b.group.managers {
		wg.Go(func() {
			at, err := postUntil(ctx, m.base+"/api/v2/alerts", text)
			if err != nil {
				fail(err)
			}
			first <- at
		})
	}
	select {
	case at := <-first:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// postUntil sends a body until it is accepted, at most for two minutes.
func postUntil(ctx context.Context, url string, body []byte) (time.Time, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return time.Time{}, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Now(), nil
			}
			err = fmt.Errorf("POST %s: %s", url, resp.Status)
		}
		if time.Now().After(deadline) || !sleep(ctx, time.Second) {
			return time.Time{}, err
		}
	}
}
