package sessions

import (
	"slices"
	"time"
)

const (
	// share is the part of a server's time that a scan may take: one in so many.
	timeShare = 100
	// A page is this many keys, and fewer where a page takes the server longer
	// than dear.
	maxPageSize = 100
	minPageSize = 10
	slowPage    = time.Millisecond
	fastPage    = slowPage / 4
	// minKeyCost is the least that one key is thought to cost, however fast the
	// answer was. A million keys take 200 s at least.
	minKeyCost = time.Microsecond
	// roundTripCost is what a trip costs a server beside its command: to be woken, to
	// read and to write. A ping pays it too, so that it goes away with the way.
	roundTripCost = 40 * time.Microsecond
	// A ping is slow from three times the quiet one, and slack more.
	slowFactor = 3
	slack      = time.Millisecond
	// A quiet ping is the least of the last one to two rounds of pings. What is
	// slow for that long is what is usual there.
	pingRound  = 500
	firstPings = 5
)

// throttle decides how fast to scan a node, from how long reads took. It has no
// clock.
type throttle struct {
	page int // keys to ask for at once

	pings       int // of the round under way
	least, past time.Duration
	costs       []time.Duration // of the last pages, at most 15
	next        int
}

func newThrottle() *throttle {
	return &throttle{page: maxPageSize, costs: make([]time.Duration, 0, 15)}
}

// baseline returns the round-trip time of an idle server; 0 before the first
// ping.
func (p *throttle) baseline() time.Duration {
	if p.past == 0 {
		return p.least
	}
	return min(p.least, p.past)
}

// ping records the time of a ping, and reports whether the server is slower
// than its baseline.
func (p *throttle) ping(took time.Duration) (slow bool) {
	if p.pings == pingRound {
		p.past, p.pings = p.least, 0
	}
	if p.pings == 0 {
		p.least = took
	}
	p.pings++
	p.least = min(p.least, took)
	return took > slowFactor*p.baseline()+slack
}

// hasBaseline reports whether there were enough pings for a baseline.
func (p *throttle) hasBaseline() bool { return p.past > 0 || p.pings >= firstPings }

// cost returns the estimated cost of a page to the server, from how long it
// took here, in how many round trips, for how many keys: the time without the
// network's, plus the round trips and the ping before them. Pages are alike, a
// bounded number of steps of constant time. So once the typical cost is known,
// each page is charged that: what took longer has waited for something else,
// which the pings show if it continues.
func (p *throttle) cost(took time.Duration, trips, keys int) time.Duration {
	cost := max(took-time.Duration(trips)*p.baseline(), time.Duration(keys)*minKeyCost) + time.Duration(trips+1)*roundTripCost
	if len(p.costs) < cap(p.costs) {
		p.costs = append(p.costs, cost)
	} else {
		p.costs[p.next] = cost
		p.next = (p.next + 1) % len(p.costs)
	}
	if usual, known := p.typicalCost(); known {
		p.resizePage(usual)
		return usual
	}
	return cost
}

// typicalCost returns the lower quartile of the cost of the last pages, once
// there are enough: on a host that is short of processors, most include a wait
// for one.
func (p *throttle) typicalCost() (time.Duration, bool) {
	if len(p.costs) < cap(p.costs) {
		return 0, false
	}
	var sorted [15]time.Duration
	n := copy(sorted[:], p.costs)
	slices.Sort(sorted[:n])
	return sorted[n/4], true
}

// resizePage halves pages that take a server long, and doubles them again.
func (p *throttle) resizePage(usual time.Duration) {
	size := p.page
	switch {
	case usual > slowPage:
		size = max(p.page/2, minPageSize)
	case usual < fastPage:
		size = min(p.page*2, maxPageSize)
	}
	if size != p.page {
		p.page, p.costs, p.next = size, p.costs[:0], 0
	}
}

// pauseAfter returns the pause after a page of that cost.
func pauseAfter(cost time.Duration) time.Duration { return (timeShare - 1) * cost }
