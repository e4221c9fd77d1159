package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// retryListen is how often to retry an address on which the exporter cannot listen.
const retryListen = 15 * time.Second

// receivers holds one StatsD listener for each configured address. A reload
// that keeps an address keeps its socket.
type receivers struct {
	sink     requestSink
	counters *statsd.Counters
	log      *slog.Logger
	passed   *statsd.Inherited
	changed  chan struct{}

	mu   sync.Mutex
	want []string
	have map[string]*receiver
	wg   sync.WaitGroup
}

// requestSink receives requests, and the lines that cannot be read with the reason.
type requestSink interface {
	ingest.Sink
	ObserveFault(why ingest.Fault, from ingest.Source)
}

type receiver struct {
	listener *statsd.Listener // nil: not open
	stop     context.CancelFunc
	err      error
}

func newReceivers(sink requestSink, counters *statsd.Counters, log *slog.Logger) *receivers {
	return &receivers{sink: sink, counters: counters, log: log, changed: make(chan struct{}, 1), have: make(map[string]*receiver)}
}

// apply sets the addresses to listen on. It opens nothing itself: Run opens and closes
// the sockets.
func (r *receivers) apply(listen []string) {
	r.warnOfPassed(listen)
	r.mu.Lock()
	r.want = slices.Clone(listen)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// warnOfPassed logs the sockets that a supervisor passed and nothing reads:
// their senders block.
func (r *receivers) warnOfPassed(listen []string) {
	for _, passed := range r.passed.Addresses() {
		if !slices.ContainsFunc(listen, func(l string) bool {
			network, address, err := config.ParseStatsDListen(l)
			return err == nil && network+" "+address == passed
		}) {
			r.log.Warn("StatsD socket passed by systemd is not in statsd.listen: it is not read, and its senders block", "listen", passed)
		}
	}
}

// sockets returns each configured address with the error that keeps its socket closed;
// nil: it is open, or was not tried yet.
func (r *receivers) sockets() []collectors.Socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []collectors.Socket
	for _, listen := range r.want {
		s := collectors.Socket{Listen: listen}
		if x := r.have[listen]; x != nil {
			s.Err = x.err
		}
		out = append(out, s)
	}
	return out
}

// listening returns the addresses whose sockets are open, or were not tried yet.
func (r *receivers) listening() []string {
	out := make([]string, 0, 2)
	for _, s := range r.sockets() {
		if s.Err == nil {
			out = append(out, s.Listen)
		}
	}
	return out
}

// Run opens the configured sockets and keeps them open until ctx ends; it returns nil. It
// retries a socket that cannot be opened; a failure never ends the exporter.
func (r *receivers) Run(ctx context.Context) error {
	t := time.NewTicker(retryListen)
	defer t.Stop()
	defer r.wg.Wait()
	for {
		r.reconcile(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		case <-t.C:
		}
	}
}

// reconcile closes the sockets that are no longer configured and opens the missing ones.
func (r *receivers) reconcile(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for listen, x := range r.have {
		if !slices.Contains(r.want, listen) {
			if x.stop != nil {
				x.stop()
			}
			delete(r.have, listen)
		}
	}
	for _, listen := range r.want {
		if x := r.have[listen]; x == nil || x.err != nil {
			r.open(ctx, listen, x)
		}
	}
}

// open opens the socket of an address; an error stays with its receiver.
func (r *receivers) open(ctx context.Context, listen string, before *receiver) {
	x := &receiver{}
	r.have[listen] = x
	network, address, err := config.ParseStatsDListen(listen)
	if err == nil {
		x.listener = statsd.New(statsd.Options{Network: network, Address: address, Sink: r.sink, OnFault: r.sink.ObserveFault, Inherited: r.passed, Logger: r.log, Counters: r.counters})
		err = x.listener.Listen(ctx)
	}
	if err != nil {
		x.err = err
		if before == nil || before.err == nil || before.err.Error() != err.Error() {
			r.log.Warn("Cannot listen on StatsD address", "listen", listen, "err", err)
		}
		return
	}
	r.log.Info("Listening on StatsD address", "listen", listen)
	ctx, x.stop = context.WithCancel(ctx)
	r.wg.Go(func() {
		err := x.listener.Run(ctx)
		if err == nil {
			return
		}
		r.mu.Lock()
		x.err = err
		r.mu.Unlock()
		r.log.Error("StatsD listener ended", "listen", listen, "err", err)
	})
}
