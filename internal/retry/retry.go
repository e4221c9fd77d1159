// Package retry spaces repeated attempts, and waits between them.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the delay between attempts: First after one failure and twice as
// long after each more, at most Max.
type Backoff struct{ First, Max time.Duration }

// Delay returns the delay after n failures in a row: First after one, twice as long after
// each further one, Max at most; 0 for none.
func (b Backoff) Delay(n int) time.Duration {
	if n <= 0 || b.First <= 0 {
		return 0
	}
	d := b.First
	for range n - 1 {
		if d >= b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return min(d, b.Max)
}

// Jittered returns a random delay between half of [Backoff.Delay] and all of it, so that
// many exporters do not come back at once.
func (b Backoff) Jittered(n int) time.Duration {
	d := b.Delay(n)
	return d/2 + rand.N(d/2+1)
}

// Sleep waits for d and returns true; false as soon as ctx ends, also if it has ended by
// then.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
