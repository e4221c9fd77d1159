package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// Take decides on the alerts of a notification. Alerts about this host, and those whose
// label is empty or cannot be an address (without a relay all), go to the runner, whose
// decisions are returned, in their order; there is none for the others: what is to be
// passed on is on the disk when it returns. With an error some or all must be sent again.
func (r *Relay) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	set := r.o.Settings()
	if !set.on() {
		return r.o.Runner.Take(ctx, alerts)
	}
	var mine, others []action.Alert
	for _, a := range alerts {
		if to := addressOf(set.Label, a.Labels[set.Label]); to == "" || to == set.address() {
			mine = append(mine, a)
		} else {
			others = append(others, a)
		}
	}
	var decisions []journal.Decision
	var err error
	if len(mine) > 0 { // first: it does not depend on the Redis
		decisions, err = r.o.Runner.Take(ctx, mine)
	}
	if len(others) > 0 {
		err = errors.Join(err, r.accept(ctx, set, others))
	}
	return decisions, err
}

const (
	// knownFor is how long an exporter is away before it is unregistered, and how long a host
	// without one is shown.
	knownFor = 2 * time.Hour
	// askWithin bounds the question to the Redis which exporters are registered.
	askWithin = 2 * time.Second
)

// notified is one notification that is to be accepted, all of it or nothing.
type notified struct {
	alerts []action.Alert
	err    error
	done   bool // err is the result
}

// accept accepts alerts about other hosts, all or, with an error, none (if ctx ends, they
// may be accepted all the same). What comes at the same time is accepted together: with one
// question to the Redis and one write to the disk.
func (r *Relay) accept(ctx context.Context, set Settings, alerts []action.Alert) error {
	n := &notified{alerts: alerts}
	r.mu.Lock()
	r.queued = append(r.queued, n)
	r.mu.Unlock()
	unlock, err := r.lock(ctx)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.queued = slices.DeleteFunc(r.queued, func(x *notified) bool { return x == n }) // if it is being accepted, it is a repeat when it comes again
		r.count.alert(Refused, len(alerts))
		return err
	}
	defer unlock()
	if !n.done {
		r.mu.Lock()
		list := r.queued
		r.queued = nil
		r.mu.Unlock()
		r.acceptAll(ctx, set, list)
	}
	return n.err
}

// acceptAll accepts notifications, also after the end of the request that came first: the
// others must not fail with it. The lock is held.
func (r *Relay) acceptAll(ctx context.Context, set Settings, list []*notified) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
	defer cancel()
	known, err := r.registered(ctx, set, list)
	if err == nil {
		err = r.enqueue(set, list, known)
	}
	for _, n := range list {
		if n.done = true; n.err == nil {
			n.err = err
		}
		if n.err != nil {
			r.count.alert(Refused, len(n.alerts))
		}
	}
}

// registered returns which of the hosts have an exporter, or had one within two hours. With
// an error, which wraps ErrRedis, that is not known.
func (r *Relay) registered(ctx context.Context, set Settings, list []*notified) (relaystream.Registrations, error) {
	distinct := make(map[string]bool)
	var addresses []string
	for _, n := range list {
		for _, a := range n.alerts {
			if to := addressOf(set.Label, a.Labels[set.Label]); !distinct[to] {
				distinct[to] = true
				addresses = append(addresses, to)
			}
		}
	}
	streams, err := r.streams(set)
	var known relaystream.Registrations
	if err == nil {
		known, err = streams.Registered(ctx, addresses)
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // that says nothing about the Redis
		r.note(err)
	}
	if err != nil {
		return known, fmt.Errorf("%w: %w", ErrRedis, err)
	}
	r.recall(known, addresses, time.Now())
	return known, nil
}

// recall counts an exporter as away that this one has known to be registered within two
// hours: who removes its registration from the Redis hides none of its alerts. The lock is
// held.
func (r *Relay) recall(known relaystream.Registrations, addresses []string, now time.Time) {
	if len(r.lately) > maxWaiting {
		maps.DeleteFunc(r.lately, func(_ string, at time.Time) bool { return now.Sub(at) > knownFor })
	}
	for _, to := range addresses {
		at, ok := r.lately[to]
		switch {
		case known.Alive[to]:
			if ok || len(r.lately) <= maxWaiting {
				r.lately[to] = now
			}
		case ok && now.Sub(at) <= knownFor:
			known.Away[to] = true
		}
	}
}

// entering is what several notifications add to the outbox.
type entering struct {
	list     []*waiting
	bytes    int
	names    map[string]bool
	outcomes map[Outcome]int
	hosts    []about
}

// about is what one alert says about the host that it names, for people.
type about struct {
	host, alert string
	outcome     Outcome
	alive       bool // its exporter is registered
}

// enqueue writes the alerts of notifications to the disk and lets them wait to be sent. A
// notification that cannot be accepted has the reason in its field err then. ErrUnwritten:
// none is accepted.
func (r *Relay) enqueue(set Settings, list []*notified, known relaystream.Registrations) error {
	all := &entering{names: make(map[string]bool), outcomes: make(map[Outcome]int)}
	now := time.Now()
	for _, n := range list {
		n.err = r.enter(all, set, n.alerts, known, now)
	}
	if len(all.list) > 0 {
		if err := errors.Join(r.loadLocked(), r.disk.accept(all.list)); err != nil {
			return fmt.Errorf("%w: %w", ErrUnwritten, err)
		}
		r.box.add(all.list...)
		r.poke()
	}
	for outcome, n := range all.outcomes {
		r.count.alert(outcome, n)
	}
	r.count.bound(BoundEntry, all.outcomes[Oversized])
	r.recordHosts(all.hosts, now)
	return nil
}

// enter adds those alerts of one notification that are to be passed on, and counts the others,
// such as repeated ones. With ErrIncomplete (an exporter is not registered, and not all may
// have registered yet) or ErrFull it adds none.
func (r *Relay) enter(all *entering, set Settings, alerts []action.Alert, known relaystream.Registrations, now time.Time) error {
	var list []*waiting
	var hosts []about
	outcomes, bytes := make(map[Outcome]int), 0
	names := make(map[string]bool)
	for _, a := range alerts {
		to := addressOf(set.Label, a.Labels[set.Label])
		if !known.Alive[to] && !known.Away[to] && !known.Complete {
			return ErrIncomplete
		}
		w, outcome := r.waitingOf(set, a, known, now)
		if w != nil {
			name := nameOf(w.Address, w.Key)
			if names[name] || all.names[name] {
				w, outcome = nil, Repeated
			}
			names[name] = true
		}
		hosts = append(hosts, about{a.Labels[set.Label], a.Name(), outcome, known.Alive[to]})
		if outcomes[outcome]++; w != nil {
			list = append(list, w)
			bytes += w.size()
		}
	}
	if !r.box.fits(len(all.list)+len(list), all.bytes+bytes) {
		r.count.bound(BoundWaiting, len(list))
		return ErrFull
	}
	all.list, all.bytes, all.hosts = append(all.list, list...), all.bytes+bytes, append(all.hosts, hosts...)
	maps.Copy(all.names, names)
	for outcome, n := range outcomes {
		all.outcomes[outcome] += n
	}
	return nil
}

// waitingOf returns the outcome of an alert, and for [Accepted] and [Away] what is to wait;
// nil for [Unregistered], [Repeated] (one of its key waits for the exporter) and [Oversized].
func (r *Relay) waitingOf(set Settings, a action.Alert, known relaystream.Registrations, now time.Time) (*waiting, Outcome) {
	to := addressOf(set.Label, a.Labels[set.Label])
	if !known.Alive[to] && !known.Away[to] {
		return nil, Unregistered
	}
	w := &waiting{Item: newItem(), Address: to, Key: keyOf(a), Since: now}
	if r.box.has(w.Address, w.Key) {
		return nil, Repeated
	}
	alert, err := encodeAlert(a)
	w.Alert = alert
	if e := entryOf(w, now); err != nil || e.Size() > maxEntry-2*sha256.Size { // the HMAC is not in it yet
		r.o.Logger.Warn("Alert dropped: too large for the relay", "alert", a.Name(), "bytes", len(alert))
		return nil, Oversized
	}
	if known.Away[to] {
		return w, Away
	}
	return w, Accepted
}

// recordHosts records the hosts without an exporter, for people. An alert that waits already
// was counted before.
func (r *Relay) recordHosts(list []about, now time.Time) {
	for _, a := range list {
		switch {
		case a.alive:
			r.count.forget(a.host)
		case a.outcome == Away, a.outcome == Unregistered:
			r.count.missing(a.host, a.alert, a.outcome == Away, now)
		}
	}
}
