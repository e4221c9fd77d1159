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
	// minKeyCost is the minimum that is charged for one key, however fast the reply
	// was: a million keys take at least 200 s.
	minKeyCost = time.Microsecond
	// roundTripCost is what a round trip costs a server in addition to its command:
	// wake-up, read and write. A ping costs it too, so that it is subtracted together
	// with the network's time.
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

// newThrottle returns a throttle that begins with the largest pages.
func newThrottle() *throttle {
	return &throttle{page: maxPageSize, costs: make([]time.Duration, 0, 15)}
}

// baseline returns the round-trip time of an idle server: the shortest of the last one to
// two rounds of 500 pings; 0 before the first ping.
func (p *throttle) baseline() time.Duration {
	if p.past == 0 {
		return p.least
	}
	return min(p.least, p.past)
}

// ping records the round-trip time of a ping. It reports whether it is slow: more than
// three times the baseline and 1 ms.
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

// cost returns the estimated cost of a page to the server: from the time that it took,
// less that of the network, its round trips and its keys. Pages are alike. So once the
// typical cost is known, each page is charged that: what took longer has waited for
// something else, which the pings show if it continues.
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

// typicalCost returns the lower quartile of the cost of the last 15 pages; 0 and false
// while there are fewer. On a host that is short of processors, most include a wait for
// one.
func (p *throttle) typicalCost() (time.Duration, bool) {
	if len(p.costs) < cap(p.costs) {
		return 0, false
	}
	var sorted [15]time.Duration
	n := copy(sorted[:], p.costs)
	slices.Sort(sorted[:n])
	return sorted[n/4], true
}

// resizePage halves the page size if the usual page takes long, and doubles it if it is
// fast.
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

// pauseAfter returns the pause after a page of that cost, 99 times as long.
func pauseAfter(cost time.Duration) time.Duration { return (timeShare - 1) * cost }
