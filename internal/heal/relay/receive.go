package relay

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
	"github.com/resp-exporter/resp-exporter/internal/retry"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	readEvery = 2 * time.Second // between two reads of the stream
	offEvery  = 5 * time.Second // between two looks whether there is a relay
)

// receive reads the entries for this exporter until ctx ends.
func (r *Relay) receive(ctx context.Context) {
	p := progressOfReads{} // after a start there may be entries that were read and not acknowledged
	for wait := time.Duration(0); retry.Sleep(ctx, wait); {
		wait = ticks.Until(offEvery)
		if set := r.o.Settings(); set.on() {
			wait = r.receiveNext(ctx, set, &p)
		}
	}
}

// progressOfReads is what the reads before leave to the next one.
type progressOfReads struct {
	failed int    // in a row
	after  string // as in [relaystream.Batch]
	left   bool   // entries were refused since the reads began with the oldest
}

// next returns with what to read next after a batch, in which entries were refused or not:
// after, or at the end "", to begin with the oldest entries if some are left, else
// [relaystream.None], for new ones only.
func (p *progressOfReads) next(after string, left bool) string {
	p.left = p.left || left
	if after != "" {
		return after
	}
	if p.left {
		p.left = false
		return ""
	}
	return relaystream.None
}

// receiveNext reads once, and returns how long to wait before the next read: 0 if the batch of new
// entries was full, or ctx has ended; after an error a backoff, which grows; else readEvery.
func (r *Relay) receiveNext(ctx context.Context, set Settings, p *progressOfReads) time.Duration {
	n, after, err := r.receiveOnce(ctx, set, p)
	if ctx.Err() != nil {
		return 0
	}
	r.note(err)
	if err != nil {
		p.failed++
		p.after, p.left = "", false
		return backoff(p.failed)
	}
	p.failed, p.after = 0, after
	if n == relaystream.MaxRead && after == relaystream.None {
		return 0 // there is more
	}
	return readEvery
}

// receiveOnce reads entries and decides on them. It returns how many were read, also those
// that were dropped, and with what to read next, as [progressOfReads.next] does.
func (r *Relay) receiveOnce(ctx context.Context, set Settings, p *progressOfReads) (n int, next string, err error) {
	streams, err := r.streams(set)
	if err != nil {
		return 0, "", err
	}
	if err := r.seen.open(r.o.Store(), time.Now()); err != nil {
		r.o.Logger.Debug("Relayed alerts that were taken are remembered in memory only", "err", err)
	}
	batch, err := streams.Read(ctx, set.address(), p.after)
	if err != nil {
		return 0, "", err
	}
	if batch.Discarded {
		r.count.bound(BoundReply, 1)
		r.o.Logger.Warn("Relay's stream removed: it was not what exporters write", "redis", set.Redis)
	}
	if len(batch.Entries) == 0 {
		return 0, p.next(batch.After, false), nil
	}
	secret, err := token(set)
	if err != nil {
		return 0, "", err
	}
	b := r.open(secret, set.address(), batch.Entries, time.Now())
	next = p.next(batch.After, r.decide(ctx, b))
	r.remember(b) // what follows may fail: then they are read again, and known
	return len(batch.Entries), next, streams.Settle(ctx, set.address(), b.settled(secret))
}

// remember records the alerts that were taken, also on the disk if possible.
func (r *Relay) remember(b *reading) {
	for _, o := range b.taken {
		r.seen.add(o.entry.Item, b.now)
		if !o.alert.Resolved {
			r.seen.add(decidedOn(o.alert), b.now)
		}
	}
	r.count.bound(BoundTaken, r.seen.overflow())
	if err := r.seen.write(b.now); err != nil {
		r.o.Logger.Debug("Relayed alerts that were taken are remembered in memory only", "err", err)
	}
}

// opened is one entry of a read whose HMAC is right.
type opened struct {
	entry *relaystream.Entry
	alert action.Alert
}

// reading is one read of the stream.
type reading struct {
	now     time.Time
	dropped []*relaystream.Entry // and not acknowledged
	known   []opened             // acknowledged without a decision
	fresh   []opened             // to be decided on
	taken   []opened             // of these: decided on
}

// open checks the entries of a read, and returns which are new, which are known, such as those
// of an alert that was resolved or decided on since, and which are to be dropped: not genuine,
// empty, or twice in the read. Each entry is in one of the three lists.
func (r *Relay) open(secret, me string, entries []relaystream.Entry, now time.Time) *reading {
	b := &reading{now: now}
	r.seen.prune(now)
	var right []opened
	for i := range entries {
		e := &entries[i]
		if e.Empty { // it was replaced by its sender
			b.dropped = append(b.dropped, e)
			continue
		}
		a, fault := check(secret, me, e, now)
		if fault != "" {
			if fault == TooLarge {
				r.count.bound(BoundEntry, 1)
			}
			r.count.entry(fault)
			r.o.Logger.Debug("Relayed entry dropped", "reason", string(fault))
			b.dropped = append(b.dropped, e)
			continue
		}
		if a.Resolved { // also where its entry comes before that of the alert
			r.resolve(a, e, now)
		}
		right = append(right, opened{e, a})
	}
	items := make(map[string]bool)
	for _, o := range right {
		switch {
		case r.seen.has(o.entry.Item):
			r.count.entry(Duplicate)
			b.known = append(b.known, o)
		case items[o.entry.Item]: // what becomes of the first one decides whether it is acknowledged
			r.count.entry(Duplicate)
			b.dropped = append(b.dropped, o.entry)
		case !o.alert.Resolved && r.seen.since(incidentOf(o.alert), time.UnixMilli(o.entry.Got)): // one that is got later fires anew
			r.count.entry(Resolved)
			b.known = append(b.known, o)
		case !o.alert.Resolved && r.seen.since(decidedOn(o.alert), time.UnixMilli(o.entry.Got)):
			r.count.entry(Duplicate) // another receiver was told before the decision, and is late
			b.known = append(b.known, o)
		default:
			b.fresh = append(b.fresh, o)
		}
		items[o.entry.Item] = true
	}
	return b
}

// resolve records when an incident ended: a receiver got the resolution then. Its clock may
// be as wrong as that of any sender, and no more.
func (r *Relay) resolve(a action.Alert, e *relaystream.Entry, now time.Time) {
	at := time.UnixMilli(e.Got)
	if limit := now.Add(maxAge); at.After(limit) {
		at = limit
	}
	if !r.seen.since(incidentOf(a), at) {
		r.seen.add(incidentOf(a), at)
	}
}

// decide passes the fresh alerts to the runner, and adds those that it kept to b.taken. It
// reports whether some were refused, because the queue is full, the journal cannot be
// written or the runner did not decide on all in time.
func (r *Relay) decide(ctx context.Context, b *reading) (left bool) {
	if len(b.fresh) == 0 {
		return false
	}
	alerts := make([]action.Alert, len(b.fresh))
	for i, o := range b.fresh {
		alerts[i] = o.alert
	}
	ctx, cancel := context.WithTimeout(ctx, decideWithin)
	defer cancel()
	decisions, err := r.o.Runner.Take(ctx, alerts)
	for i, o := range b.fresh {
		if len(decisions) != len(alerts) || refused(decisions[i]) {
			r.count.entry(Retried)
			left = true
			continue
		}
		r.count.entry(Taken)
		b.taken = append(b.taken, o)
	}
	if left {
		r.o.Logger.Debug("Relayed alerts not accepted, they are tried again", "err", err)
	}
	return left
}

// decideWithin bounds the wait for the runner.
const decideWithin = 10 * time.Second

// refused reports whether the runner kept nothing of an alert, so that it must come
// again.
func refused(d journal.Decision) bool {
	return d == "" || d == journal.DecisionQueueFull || d == journal.DecisionUnwritten
}

// settled returns the entries that are removed from the stream: the dropped ones, without
// an acknowledgement, and the known and the taken ones, each with its own.
func (b *reading) settled(secret string) []relaystream.Settled {
	var out []relaystream.Settled
	for _, e := range b.dropped {
		out = append(out, relaystream.Settled{ID: e.ID})
	}
	for _, list := range [][]opened{b.known, b.taken} {
		for _, o := range list {
			e := o.entry
			out = append(out, relaystream.Settled{ID: e.ID, Key: e.Key, Item: e.Item, Ack: acknowledgement(secret, e.To, e.Item)})
		}
	}
	return out
}
