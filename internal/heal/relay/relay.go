// Package relay hands alerts about other hosts to the exporters that they are about, through
// streams of a Redis, so that Alertmanager needs to know two exporters of a fleet only. The
// receiver keeps an alert on its disk, and sends it again, until the exporter that it is
// about has acknowledged it. No entry is believed without its HMAC.
package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// Errors of [Relay.Take]: alerts about other hosts are to be sent again.
var (
	ErrRedis      = errors.New("the relay's Redis does not answer")
	ErrIncomplete = errors.New("the relay's Redis has lost its data: not all exporters have registered again")
	ErrFull       = errors.New("too many alerts wait for other exporters")
	ErrUnwritten  = errors.New("the relay's file cannot be written")
)

// Settings are what the configuration says about the relay.
type Settings struct {
	Redis        string // the name of a server; "": alerts are not relayed
	TokenFile    string
	Label, Value string // of this exporter's alerts
}

// on reports whether the settings say that alerts are relayed.
func (s Settings) on() bool { return s.Redis != "" && s.Label != "" && s.TokenFile != "" }

// address returns the address of this exporter in the relay; "" if its identity cannot be
// one.
func (s Settings) address() string { return addressOf(s.Label, s.Value) }

// Runner decides on the alerts of this host.
type Runner interface {
	Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error)
}

// Options are what a [Relay] needs.
type Options struct {
	Runner   Runner
	Settings func() Settings                 // in force
	Store    func() *journal.Store           // the state directory; nil: there is none
	Redis    func(name string) *redis.Server // nil: none of that name
	Logger   *slog.Logger
}

// Relay is both ends of the relay: what this exporter receives for others, and what others
// have received for it.
type Relay struct {
	o      Options
	box    *outbox
	disk   *disk
	count  *counters
	serial chan struct{} // one notification at a time
	wake   chan struct{} // an alert waits
	seen   *seen
	lately map[string]time.Time // when exporters were alive that alerts were about, by address; serial guards it

	mu     sync.Mutex
	up     link        // of the last call to the Redis
	queued []*notified // notifications that nobody has begun to accept
}

// link is whether the Redis answers.
type link int

const (
	linkUnknown link = iota // there was no call yet
	linkUp
	linkDown
)

// New returns a relay; nothing is sent or read before [Relay.Run].
func New(o Options) *Relay {
	o.Logger = logs.Or(o.Logger)
	return &Relay{
		o: o, box: newOutbox(), disk: &disk{store: o.Store}, count: newCounters(), seen: newSeen(), lately: make(map[string]time.Time),
		serial: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Stats returns a copy of the counters and the state now. Up is whether the last call to the
// Redis succeeded, false before the first one and if no relay is configured. Oldest is 0 if
// nothing waits.
func (r *Relay) Stats() Stats {
	s := r.count.copy(time.Now())
	s.On = r.o.Settings().on()
	r.mu.Lock()
	s.Up = s.On && r.up == linkUp
	r.mu.Unlock()
	var oldest time.Time
	if s.Waiting, _, oldest = r.box.state(); s.Waiting > 0 {
		s.Oldest = time.Since(oldest)
	}
	return s
}

// streams returns the streams in the Redis of the settings. It is an error if that is no
// longer in the configuration.
func (r *Relay) streams(set Settings) (*relaystream.Streams, error) {
	if s := r.o.Redis(set.Redis); s != nil {
		return relaystream.New(s), nil
	}
	return nil, errors.New("the server is no longer in the configuration")
}

// token returns the token in the file of the settings; an [*secret.Error] if there is none
// or the file is not as [secret.Read] wants it.
func token(set Settings) (string, error) { return secret.Read(set.TokenFile) }

// note records whether the last call to the Redis failed. It logs only a change.
func (r *Relay) note(err error) {
	now := linkUp
	if err != nil {
		now = linkDown
	}
	r.mu.Lock()
	before := r.up
	r.up = now
	r.mu.Unlock()
	switch {
	case before == now:
	case now == linkDown:
		r.o.Logger.Warn("Relay interrupted, alerts wait", "redis", r.o.Settings().Redis, "err", err)
	default:
		r.o.Logger.Info("Relay works", "redis", r.o.Settings().Redis)
	}
}

// load opens the file once the directory is there, and adds its alerts to those that wait;
// [journal.ErrClosed] until then. It does nothing if the file is open.
func (r *Relay) load(ctx context.Context) error {
	unlock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return r.loadLocked()
}

// loadLocked is load under the lock. With an error it still adds the alerts that it read.
func (r *Relay) loadLocked() error {
	list, broken, err := r.disk.open(time.Now())
	if broken > 0 {
		r.o.Logger.Warn("Lines of the relay's file skipped", "lines", broken)
	}
	r.box.add(list...)
	return err
}

// lock acquires the relay's lock, so that no notification is accepted until unlock is
// called. It fails only if ctx ends first.
func (r *Relay) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case r.serial <- struct{}{}:
		return func() { <-r.serial }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// poke wakes the sender.
func (r *Relay) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Summary returns the state of the relay now; nil if it is not configured.
func (r *Relay) Summary() *Summary {
	s := r.Stats()
	if !s.On {
		return nil
	}
	return &Summary{Up: s.Up, Waiting: s.Waiting, Missing: s.Missing}
}
