package serve

import (
	"context"
	"net/netip"
	"sync"
)

// Semaphore limits the requests of a kind that are in progress: in all, and to
// three quarters of it for one remote address.
type Semaphore struct {
	limit, share int

	mu      sync.Mutex
	taken   int
	remotes map[netip.Prefix]int
}

// NewSemaphore returns a semaphore with limit slots, of which one remote address has three
// quarters at most; 0 or less is no limit.
func NewSemaphore(limit int) *Semaphore {
	return &Semaphore{limit: limit, share: max(1, limit-limit/4), remotes: make(map[netip.Prefix]int)}
}

// Limit returns the number of slots; 0 or less: there is no limit.
func (p *Semaphore) Limit() int { return p.limit }

// Acquire acquires a slot for the request of a context of [Connections.Attach]; it does not
// wait. free releases it. ok is false, and free nil, if none is free, or its remote address
// has three quarters of them, which is not checked if ctx has no connection. A semaphore of
// limit 0 or less has no limit.
func (p *Semaphore) Acquire(ctx context.Context) (free func(), ok bool) {
	if p.limit <= 0 {
		return func() {}, true
	}
	conn := connOf(ctx)
	var remote netip.Prefix
	if conn != nil {
		remote = remoteOf(conn)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.limit || conn != nil && p.remotes[remote] >= p.share {
		return nil, false
	}
	p.taken++
	p.remotes[remote]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.remotes[remote]--; p.remotes[remote] <= 0 {
			delete(p.remotes, remote)
		}
	}, true
}
