package statsd

import (
	"sync"
	"sync/atomic"
)

// Stats is what all listeners that share a [Counters] received since its start.
type Stats struct {
	Parsed    uint64 // lines that were understood
	Unknown   uint64 // well-formed lines that are of no use here
	Malformed uint64 // lines that are no StatsD, and datagrams longer than our buffer
	Packets   uint64 // datagrams received
	// Dropped counts the datagrams that the kernel dropped because the socket's
	// buffer was full. A UNIX datagram socket drops none: its sender waits.
	Dropped uint64
	// BufferBytes is the sum of the receive buffers of the sockets that are open,
	// as getsockopt(SO_RCVBUF) tells it: twice what can be asked for, because the
	// kernel counts its own bookkeeping too. 0: no socket is open.
	BufferBytes int
}

// Counters holds what outlives a listener: a reload that closes one socket and
// opens another loses no count. The zero value is ready. It may be used from
// several goroutines.
type Counters struct {
	parsed, unknown, malformed, packets, dropped atomic.Uint64

	mu   sync.Mutex
	open map[*socket]struct{}
}

// Stats reads the counters, and asks the kernel for the drops of the sockets
// that are open.
func (c *Counters) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes := 0
	for s := range c.open {
		c.dropped.Add(s.dropsSinceLast())
		bytes += s.buffer
	}
	return Stats{
		Parsed:      c.parsed.Load(),
		Unknown:     c.unknown.Load(),
		Malformed:   c.malformed.Load(),
		Packets:     c.packets.Load(),
		Dropped:     c.dropped.Load(),
		BufferBytes: bytes,
	}
}

func (c *Counters) addSocket(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*socket]struct{})
	}
	c.open[s] = struct{}{}
}

// closing takes the last count of a socket's drops; the socket must still be open.
func (c *Counters) removeSocket(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[s]; ok {
		c.dropped.Add(s.dropsSinceLast())
		delete(c.open, s)
	}
}

// tally counts one batch without touching memory that others read.
type batchCounts struct{ parsed, unknown, malformed, packets uint64 }

func (c *Counters) add(b batchCounts) {
	c.packets.Add(b.packets)
	c.parsed.Add(b.parsed)
	c.unknown.Add(b.unknown)
	c.malformed.Add(b.malformed)
}
