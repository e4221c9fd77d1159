// Package ingest has the types of what apps and their servers push: an [Event], its
// [Source], the [Sink] that receives it, and the [Fault] of a malformed line.
package ingest

import "net/netip"

// Kind is what an event reports.
type Kind uint8

// The kinds of event.
const (
	// Ignored is a valid event with nothing of use (gunicorn's .requests, .workers and
	// .backlog, which the exporter knows from better sources).
	Ignored Kind = iota
	// Duration is the time one request took, without its status.
	Duration
	// Status is one answered request with its status, without its duration.
	Status
	// Request is one whole request: duration, status, and perhaps method and route.
	Request
	// Log is one line that the app's server logged at the level in Level.
	Log
	// QueueTime is the time that one request waited before the app began with it.
	QueueTime
	// PoolWait is the time that one request waited for a connection of the pool Name.
	PoolWait
	// TaskRun is one run of the background task Name, with its duration.
	TaskRun
)

// Event is one event that a sender reported. Its byte slices point into the packet and
// are valid only until Observe returns.
type Event struct {
	Kind    Kind
	App     []byte  // from the app tag or the prefix, as the sender claims; empty: unnamed
	Method  []byte  // Request: may be empty
	Route   []byte  // Request: may be empty
	Level   []byte  // Log: one of critical, error, warning, exception
	Name    []byte  // PoolWait and TaskRun: the pool or the task; never empty
	Failed  bool    // TaskRun: it failed
	Code    int     // Status and Request: 100 to 599
	Seconds float64 // all but Ignored, Status and Log: finite, 0 to 86400
	Weight  float64 // the number of events that it stands for: 1/sample rate, or the counter's value
	Again   bool    // an earlier event came from the same line
}

// Source is the sender of a packet, as the kernel reports it. UID, and PID or Inode, are
// valid only if Proven is set.
type Source struct {
	PID    int32          // UNIX datagram: the sender's process id; 0 if it is in another pid namespace
	UID    uint32         // real user id of the sender, or of the creator of its UDP socket; see Proven
	Inode  uint64         // UDP: the socket that the packet came from; 0: not known
	Addr   netip.AddrPort // UDP: the sender's address; else the zero value
	Proven bool           // the kernel reported UID, and PID or Inode
	// Foreign reports that the address belongs to another host or network
	// namespace, where no sender can be proven.
	Foreign bool
}

// Sink receives events. Observe must not block, must not keep e or what its slices
// point to, and may be called from several goroutines at once.
type Sink interface {
	Observe(e *Event, from Source)
}
