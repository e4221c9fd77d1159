package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The crowd of the fault overload asks for three times what the workers can serve beside
// the load: a request of them takes 0.23 s on the mean.
const (
	crowdPerSecond = 50
	crowdInFlight  = 250              // at most; what would be more is left out
	crowdPatience  = 30 * time.Second // of one visitor
	crowdStays     = 15 * time.Second // after the throttle was verified: those requests are counted
)

// crowded lists the requests of the crowd with their weights, and the priority that
// each has in the shop.
var crowded = [...]struct {
	weight         int
	path, priority string
}{
	{60, "/search?s=0.25", "normal"},
	{30, "/slow?s=0.25", "low"},
	{10, "/cart", "high"},
}

// crowd is more visitors than the shop can serve, and what became of their requests.
type crowd struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	counts bool
	sent   map[string]int // by priority; those of waited are left out
	served map[string]int
	took   []time.Duration // of those that were served
	shed   []time.Duration // of those that got 503
	failed int             // got another answer, or none
	waited int             // had no answer when the crowd left
}

// gather starts a crowd that sends requests to base until its stop is called or ctx ends, and
// returns it.
func gather(ctx context.Context, base string) *crowd {
	ctx, stop := context.WithCancel(ctx)
	c := &crowd{stop: stop, sent: map[string]int{}, served: map[string]int{}}
	c.done.Go(func() { c.come(ctx, base) })
	return c
}

func (c *crowd) come(ctx context.Context, base string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crowdInFlight}, Timeout: crowdPatience}
	defer client.CloseIdleConnections()
	paced(ctx, crowdPerSecond, crowdInFlight, func(done func()) {
		c.done.Go(func() {
			defer done()
			c.visit(ctx, client, base)
		})
	})
}

// visit sends one request. Of those that begin while the crowd counts it records the result.
func (c *crowd) visit(ctx context.Context, client *http.Client, base string) {
	n, i := rand.IntN(100), 0
	for n >= crowded[i].weight {
		n -= crowded[i].weight
		i++
	}
	c.mu.Lock()
	counts := c.counts
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+crowded[i].path, nil)
	if err != nil {
		return
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
	}
	if !counts {
		return
	}
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	c.note(crowded[i].priority, status, time.Since(began), ctx.Err() != nil)
}

// note counts one request: its status, 0 without an answer, after what time, and whether the
// crowd has left meanwhile.
func (c *crowd) note(priority string, status int, took time.Duration, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left { // it would wait longer
		c.waited++
		return
	}
	c.sent[priority]++
	switch status {
	case http.StatusOK:
		c.served[priority]++
		c.took = append(c.took, took)
	case http.StatusServiceUnavailable:
		c.shed = append(c.shed, took)
	default:
		c.failed++
	}
}

// released waits until what became of a crowd's requests is printed and the crowd has stopped,
// and until the shop serves all requests again; c is nil without a crowd.
func (s *stack) released(ctx context.Context, t *told, c *crowd, began time.Time) error {
	if c != nil {
		c.count()
		if err := s.rests(ctx, crowdStays); err != nil {
			return err
		}
		say(time.Since(began), "crowd", c.leave())
	}
	if sheds, err := s.throttled(ctx); err == nil && !sheds && t.ends == "" && c == nil {
		return nil // nothing was shed
	}
	wait, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err := s.until(wait, func() error {
		sheds, err := s.throttled(wait)
		if err == nil && sheds {
			err = errors.New("the shop still sheds requests")
		}
		return err
	})
	if err != nil && (wait.Err() == nil || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		t.why = err.Error()
		return nil
	}
	say(time.Since(began), "released", "the shop serves all requests again")
	return nil
}

// count begins to count.
func (c *crowd) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = true
}

// leave ends the crowd, and returns what became of the requests that were counted.
func (c *crowd) leave() string {
	c.stop()
	c.done.Wait()
	text := "served nothing"
	if len(c.took) > 0 {
		share := func(priority string) float64 {
			return 100 * float64(c.served[priority]) / float64(max(c.sent[priority], 1))
		}
		text = fmt.Sprintf("served %.0f %% of high, %.0f %% of normal, %.0f %% of low, %s",
			share("high"), share("normal"), share("low"), most(c.took))
	}
	text += fmt.Sprintf("; in all %d served, %d got 503", len(c.took), len(c.shed))
	if len(c.shed) > 0 {
		text += ", " + most(c.shed)
	}
	return text + fmt.Sprintf(", %d failed otherwise, %d still waited", c.failed, c.waited)
}

// most returns in how many seconds 95 % of some requests were answered. It sorts the times,
// of which there is at least one.
func most(took []time.Duration) string {
	slices.Sort(took)
	return fmt.Sprintf("95 %% of them within %.1f s", took[len(took)*95/100].Seconds())
}
