// Package ingest names the one event that every push source speaks in. It
// holds no metric and opens no socket.
package ingest

import "net/netip"

// Kind says what an event reports.
type Kind uint8

// The kinds of event.
const (
	// Ignored is understood but holds nothing that is not known better from
	// elsewhere (gunicorn's .requests, .workers and .backlog).
	Ignored Kind = iota
	// Duration is the time one request took, without its status.
	Duration
	// Status is one answered request with its status, without its duration.
	Status
	// Request is one whole request: duration, status, and perhaps method and route.
	Request
	// Log is one line that the app's server logged at the level in Level.
	Log
)

// Event is one thing that a sender reported. Its byte slices point into the
// packet it came in and hold only until Observe returns.
type Event struct {
	Kind    Kind
	App     []byte  // from the app tag or the prefix: the sender's claim; empty: judge by Source
	Method  []byte  // Request: may be empty
	Route   []byte  // Request: may be empty
	Level   []byte  // Log: one of critical, error, warning, exception
	Code    int     // Status and Request: 100 to 599
	Seconds float64 // Duration and Request: finite, 0 to 86400
	Weight  float64 // how many such events it stands for: 1/sample rate, or the counter's value
	Again   bool    // an earlier event came from the same line
}

// Source is who sent a packet. What a packet itself reports about its sender is
// a claim; a source is proof only as far as Proven says.
type Source struct {
	PID    int32          // UNIX datagram: the sender's process id; 0 where our namespace of processes does not have it
	UID    uint32         // real user id of the sender, or of who made its UDP socket; see Proven
	Inode  uint64         // UDP: the socket that the packet came from; 0: not known
	Addr   netip.AddrPort // UDP: the sender's address; else the zero value
	Proven bool           // the kernel reported UID, and PID or Inode
	// Foreign reports that the address belongs to another host or network
	// namespace, where no sender can be proven.
	Foreign bool
}

// Sink takes events. Observe must not block, must not keep e or what its
// slices point to, and may be called from several goroutines at once.
type Sink interface {
	Observe(e *Event, from Source)
}
