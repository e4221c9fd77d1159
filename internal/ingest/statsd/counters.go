package statsd

import (
	"sync"
	"sync/atomic"
)

// Stats is what all listeners that share a [Counters] received since its start.
type Stats struct {
	Parsed    uint64 // lines that are used
	Unknown   uint64 // well-formed lines of unknown metrics
	Malformed uint64 // malformed lines, and datagrams longer than the buffer
	Packets   uint64 // datagrams received
	// Dropped is the number of datagrams that the kernel dropped because the socket's
	// buffer was full. A UNIX datagram socket drops none: its sender waits.
	Dropped uint64
	// BufferBytes is the sum of the receive buffers of the sockets that are open,
	// as getsockopt(SO_RCVBUF) reports it: twice the requested size, because the kernel
	// includes its own bookkeeping. 0: no socket is open.
	BufferBytes int
}

// Counters are the counters of several listeners. They outlive a listener, so that a
// reload which closes one socket and opens another loses no count. The zero value is
// ready to use, and safe for concurrent use.
type Counters struct {
	parsed, unknown, malformed, packets, dropped atomic.Uint64

	mu   sync.Mutex
	open map[*socket]struct{}
}

// Stats returns the counters since their start, with what the kernel has dropped until
// now, also of sockets that are closed; BufferBytes is that of the open sockets.
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

// addSocket adds an open socket.
func (c *Counters) addSocket(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*socket]struct{})
	}
	c.open[s] = struct{}{}
}

// removeSocket adds the last drops of a socket, which must still be open, and removes
// the socket.
func (c *Counters) removeSocket(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[s]; ok {
		c.dropped.Add(s.dropsSinceLast())
		delete(c.open, s)
	}
}

// batchCounts are the counts of one batch. They are local, so that the shared counters
// are changed once per batch.
type batchCounts struct{ parsed, unknown, malformed, packets uint64 }

// add adds the counts of one batch.
func (c *Counters) add(b batchCounts) {
	c.packets.Add(b.packets)
	c.parsed.Add(b.parsed)
	c.unknown.Add(b.unknown)
	c.malformed.Add(b.malformed)
}
