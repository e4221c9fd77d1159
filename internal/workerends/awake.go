package workerends

import (
	"context"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	// awakeInterval is how often it is noted that the exporter runs, and stallTime how long
	// it must not have run until the end of a worker may have been noticed late.
	awakeInterval = time.Second
	stallTime     = 3 * time.Second
)

// awake is when the exporter ran: on a host without a processor left, or after it was
// stopped, ends are noticed late.
type awake struct {
	mu       sync.Mutex
	last     time.Time // when it was last noted
	from, to time.Time // the last time without a note that was longer than stallTime
}

// watch records regularly, until ctx ends, that the exporter runs, so that a stall is
// known.
func (a *awake) watch(ctx context.Context) {
	t := ticks.New(awakeInterval)
	defer t.Stop()
	for {
		a.note(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			t.Again()
		}
	}
}

// note records that the exporter runs, and a stall if the last call was more than stallTime
// ago.
func (a *awake) note(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.last.IsZero() && now.Sub(a.last) > stallTime {
		a.from, a.to = a.last, now
	}
	a.last = now
}

// before returns the earliest time at which an event may have happened that was noticed
// at a time: when a stall of the exporter began, if it stalled then, else that time.
func (a *awake) before(at time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case at.Sub(a.last) > stallTime:
		return a.last
	case at.After(a.from) && !a.to.IsZero() && at.Sub(a.to) <= stallTime:
		return a.from
	}
	return at
}
