package statsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/logs"
)

// The pause between two reads of a UDP socket that is receiving packets.
const (
	maxPause = 5 * time.Millisecond
	// fillRate is how fast small packets can fill the buffer, in bytes per second as the
	// kernel counts them (768 per packet). The pause is so short that even this rate does
	// not overflow an empty buffer.
	fillRate = 500_000 * 768
)

// ErrClosed is the error of Listen and Run after Close.
var ErrClosed = errors.New("statsd listener is closed")

// Options are a listener's settings.
type Options struct {
	Network string      // "udp" or "unixgram"
	Address string      // host:port, or the socket's path; its directory must exist
	Sink    ingest.Sink // receives every event; must not block
	// OnFault is called for each malformed line or datagram; it must not block. It may
	// be nil.
	OnFault func(why ingest.Fault, from ingest.Source)
	Logger  *slog.Logger
	// Inherited has sockets that are used instead of binding a new one, if one has the
	// address. It may be nil.
	Inherited *Inherited
	Counters  *Counters // shared by several listeners; nil: the listener's own
}

// Listener receives the datagrams of one socket and passes their events to a sink.
// There is no queue in between: parsing a line costs less than queueing it. The queue is
// the kernel's receive buffer, which is bounded, and the kernel counts what it drops.
type Listener struct {
	o Options

	mu     sync.Mutex
	sock   *socket
	stop   context.CancelFunc // not nil while Run runs
	closed bool
}

// New returns a listener. It opens nothing before [Listener.Listen].
func New(o Options) *Listener {
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	o.Logger = logs.Or(o.Logger)
	return &Listener{o: o}
}

// Listen binds the socket, unless it is bound; from then on the kernel queues datagrams. If
// another process has the address, the error wraps syscall.EADDRINUSE; after Close it is
// ErrClosed. It replaces the path of a UNIX socket that no process reads any more. An
// inherited socket stays bound after Close.
func (l *Listener) Listen(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if l.sock != nil {
		return nil
	}
	s, err := inherit(l.o.Inherited, l.o.Network, l.o.Address)
	if s == nil && err == nil {
		s, err = bind(ctx, l.o.Network, l.o.Address)
	}
	if err != nil {
		return fmt.Errorf("statsd listener %s %s: %w", l.o.Network, l.o.Address, err)
	}
	l.sock = s
	l.o.Counters.addSocket(s)
	l.o.Logger.Debug("StatsD socket bound", "network", l.o.Network, "address", s.addr, "receive_buffer_bytes", s.buffer)
	return nil
}

// Address returns the bound address, with the port that the kernel chose for port 0; ""
// before Listen.
func (l *Listener) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock == nil {
		return ""
	}
	return l.sock.addr
}

// Stats returns the counters of this listener and of all that share them.
func (l *Listener) Stats() Stats { return l.o.Counters.Stats() }

// Close closes the socket, if it is open, and removes the path of a UNIX socket that it has
// bound. If Run is active, it only makes Run return, and Run closes the socket.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
		return nil
	}
	return l.closeLocked()
}

// closeLocked closes the socket and removes the path that it has bound; nil if it is closed
// or was never open.
func (l *Listener) closeLocked() error {
	if l.closed || l.sock == nil {
		l.closed = true
		return nil
	}
	l.closed = true
	l.o.Counters.removeSocket(l.sock)
	return l.sock.close()
}

// Run receives until ctx ends or [Listener.Close] is called, then closes the
// socket and returns nil. It listens first if [Listener.Listen] has not been
// called. It must be called once only. An error: it cannot listen, receive or close.
func (l *Listener) Run(ctx context.Context) error {
	if err := l.Listen(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.stop = cancel
	l.mu.Unlock()

	r := newReceiver(l.sock, l.o)
	// The deadline of every read is the end of ctx.
	silent := context.AfterFunc(ctx, l.sock.poller.interrupt)
	defer silent()
	err := r.loop(ctx)
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("statsd receive %s %s: %w", l.o.Network, l.o.Address, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = nil
	return errors.Join(err, l.closeLocked())
}

// receiver is the state of one Run, with all memory that the hot path needs.
type receiver struct {
	sock     *socket
	sink     ingest.Sink
	onFault  func(ingest.Fault, ingest.Source)
	counters *Counters
	batch    *batch
	pause    time.Duration
	line     Line
	event    ingest.Event
}

// newReceiver returns a receiver for a bound socket.
func newReceiver(s *socket, o Options) *receiver {
	r := &receiver{sock: s, sink: o.Sink, onFault: o.OnFault, counters: o.Counters, batch: newBatch(s.unix)}
	if r.onFault == nil {
		r.onFault = func(ingest.Fault, ingest.Source) {}
	}
	if !s.unix {
		// No pause for a UNIX datagram socket: it queues only few datagrams
		// (net.unix.max_dgram_qlen, often 10), then its senders, the app's workers, wait.
		r.pause = min(maxPause, time.Duration(s.buffer)*time.Second/fillRate)
	}
	return r
}

// loop reads until ctx ends; then it returns nil or, if that ended a wait,
// os.ErrDeadlineExceeded. While packets keep coming, it pauses after each read, so that one
// wake-up reads many: a wake-up costs more than ten packets. After a single packet, with
// none shortly before, it does not pause, because that would cost a second wake-up.
func (r *receiver) loop(ctx context.Context) error {
	var last time.Time // of the last read that found packets
	paused := false
	for ctx.Err() == nil {
		n, err := r.batch.receive(r.sock.fd)
		if err != nil {
			return err
		}
		if n > 0 {
			r.handle(n)
		}
		if n == batchPackets {
			continue // there may be more already
		}
		if paused = r.pauseAfter(n, paused, &last); paused {
			continue
		}
		if err := r.sock.poller.wait(); err != nil {
			return err
		}
	}
	return nil
}

// pauseAfter pauses if more packets are likely to come soon after a read of n packets, and
// reports whether it did: if there was a pause before that read (paused) and n is above 1,
// or packets came less than a pause ago. Never for a UNIX socket, nor if n is 0.
func (r *receiver) pauseAfter(n int, paused bool, last *time.Time) bool {
	if n == 0 || r.pause == 0 {
		return false
	}
	now := time.Now()
	soon := paused && n > 1 || now.Sub(*last) < r.pause
	*last = now
	if soon {
		time.Sleep(r.pause)
	}
	return soon
}

// handle passes the n datagrams of a batch to the sink and counts them. One that was cut
// off is malformed.
func (r *receiver) handle(n int) {
	counts := batchCounts{packets: uint64(n)}
	for i := range n {
		p, whole := r.batch.packet(i)
		if !whole {
			counts.malformed++
			r.onFault(ingest.FaultSize, r.batch.source(i))
			continue
		}
		r.packet(p, r.batch.source(i), &counts)
	}
	r.batch.reset(n)
	r.counters.add(counts)
}

// packet passes the events of one datagram to the sink, and the faults to onFault, and
// counts both.
func (r *receiver) packet(p []byte, from ingest.Source, counts *batchCounts) {
	rest := Packet(p)
	for line, ok := rest.Next(); ok; line, ok = rest.Next() {
		switch err := Parse(line, &r.line); {
		case err == nil:
			counts.parsed++
			for r.line.Next(&r.event) {
				r.sink.Observe(&r.event, from)
			}
		case errors.Is(err, ErrUnknown):
			counts.unknown++
		default:
			counts.malformed++
			r.onFault(FaultOf(err), from)
		}
	}
}

// FaultOf returns the fault for an error of [Parse] other than [ErrUnknown]; FaultShape
// for any other error.
func FaultOf(err error) ingest.Fault {
	switch {
	case errors.Is(err, ErrSize):
		return ingest.FaultSize
	case errors.Is(err, ErrValue):
		return ingest.FaultValue
	case errors.Is(err, ErrRate):
		return ingest.FaultRate
	case errors.Is(err, ErrType):
		return ingest.FaultType
	}
	return ingest.FaultShape
}
