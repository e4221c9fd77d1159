package redis

import (
	"slices"
	"time"
)

const (
	// share is the part of a server's time that a walk may take: one in so many.
	share = 100
	// A page is this many keys, and fewer where a page takes the server longer
	// than dear.
	largestPage  = 100
	smallestPage = 10
	dear         = time.Millisecond
	cheap        = dear / 4
	// leastCost is the least that one key is thought to cost, however fast the
	// answer was. A million keys take 200 s at least.
	leastCost = time.Microsecond
	// tripCost is what a trip costs a server beside its command: to be woken, to
	// read and to write. A ping pays it too, so that it goes away with the way.
	tripCost = 40 * time.Microsecond
	// A ping is slow from three times the quiet one, and slack more.
	slowTimes = 3
	slack     = time.Millisecond
	// A quiet ping is the least of the last one to two rounds of pings. What is
	// slow for that long is what is usual there.
	pingRound  = 500
	firstPings = 5
)

// pace says how fast a walk may go. It has no clock: it is told what things took.
type pace struct {
	page int // keys to ask for at once

	pings       int // of the round under way
	least, past time.Duration
	costs       []time.Duration // of the last pages, at most 15
	next        int
}

func newPace() *pace { return &pace{page: largestPage, costs: make([]time.Duration, 0, 15)} }

// quiet is the time of a round trip to a server with nothing else to do; 0 while
// there was none.
func (p *pace) quiet() time.Duration {
	if p.past == 0 {
		return p.least
	}
	return min(p.least, p.past)
}

// ping takes the time of a ping, and tells whether the server is slower than it
// can be.
func (p *pace) ping(took time.Duration) (slow bool) {
	if p.pings == pingRound {
		p.past, p.pings = p.least, 0
	}
	if p.pings == 0 {
		p.least = took
	}
	p.pings++
	p.least = min(p.least, took)
	return took > slowTimes*p.quiet()+slack
}

// known is whether enough pings were seen to tell what is quiet.
func (p *pace) known() bool { return p.past > 0 || p.pings >= firstPings }

// charge takes how long a page took at our side, in so many trips, and how many
// keys were looked at, and gives what it is thought to have cost the server:
// what it took less the way, and the trips with the ping before them. A page is
// the same work as the next one, a bounded number of steps of constant time. So
// once it is known what they usually cost each is charged that: what took longer
// has waited for something else, and the pings show if that goes on.
func (p *pace) charge(took time.Duration, trips, keys int) time.Duration {
	cost := max(took-time.Duration(trips)*p.quiet(), time.Duration(keys)*leastCost) + time.Duration(trips+1)*tripCost
	if len(p.costs) < cap(p.costs) {
		p.costs = append(p.costs, cost)
	} else {
		p.costs[p.next] = cost
		p.next = (p.next + 1) % len(p.costs)
	}
	if usual, known := p.usual(); known {
		p.resize(usual)
		return usual
	}
	return cost
}

// usual is the lower quartile of what the last pages cost, once there are
// enough: on a host that is short of processors, waiting for one is in most.
func (p *pace) usual() (time.Duration, bool) {
	if len(p.costs) < cap(p.costs) {
		return 0, false
	}
	var sorted [15]time.Duration
	n := copy(sorted[:], p.costs)
	slices.Sort(sorted[:n])
	return sorted[n/4], true
}

// resize makes pages smaller that take a server long, and larger again.
func (p *pace) resize(usual time.Duration) {
	size := p.page
	switch {
	case usual > dear:
		size = max(p.page/2, smallestPage)
	case usual < cheap:
		size = min(p.page*2, largestPage)
	}
	if size != p.page {
		p.page, p.costs, p.next = size, p.costs[:0], 0
	}
}

// rest is how long to leave a server alone after a page that cost so much.
func rest(cost time.Duration) time.Duration { return (share - 1) * cost }
