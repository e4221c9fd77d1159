package relay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
	"github.com/resp-exporter/resp-exporter/internal/retry"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	sendEvery   = time.Second      // between two looks at what waits
	resendAfter = 90 * time.Second // an entry is put again, with a new time; less than maxAge
	maxLook     = 10 * time.Second // between two looks after one entry
	maxChunk    = 100              // entries of one call
)

// backoff returns how long to wait after so many calls in a row that failed: between half
// and all of 1 s, twice as long after each more, at most 30 s; 0 after none.
func backoff(failed int) time.Duration {
	b := retry.Backoff{First: time.Second, Max: 30 * time.Second}
	return b.Jittered(failed)
}

// register registers this exporter again and again, until ctx ends.
func (r *Relay) register(ctx context.Context) {
	for wait := time.Duration(0); retry.Sleep(ctx, wait); wait = relaystream.RegisterEvery {
		set := r.o.Settings()
		if !set.on() {
			continue
		}
		streams, err := r.streams(set)
		if err == nil {
			err = streams.Register(ctx, set.address())
		}
		if ctx.Err() == nil {
			r.note(err)
		}
	}
}

// send sends what waits, until ctx ends.
func (r *Relay) send(ctx context.Context) {
	for failed := 0; ; {
		err := r.sendWaiting(ctx)
		failed++
		if err == nil {
			failed = 0
		}
		wait := ticks.Until(offEvery)
		if r.o.Settings().on() {
			wait = ticks.Until(sendEvery)
		}
		if failed > 0 {
			wait = backoff(failed)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			continue
		case <-r.wake:
			t.Stop()
		}
		if failed > 0 && !retry.Sleep(ctx, wait) { // a new alert does not make a Redis answer
			return
		}
	}
}

// sendWaiting removes what was acknowledged or is too old, and sends what is due; if no
// relay is configured, it only removes what is too old. nil too if the file cannot be
// opened, and nothing is done then: healing reports that.
func (r *Relay) sendWaiting(ctx context.Context) error {
	if err := r.load(ctx); err != nil { // healing reports why the directory cannot be used
		return nil //nolint:nilerr // see above
	}
	now := time.Now()
	ended := make(map[string]bool)
	var due []*waiting
	for _, w := range r.box.all() {
		switch {
		case now.Sub(w.Since) > keepFor:
			ended[w.Item] = true
		case !now.Before(w.next):
			due = append(due, w)
		}
	}
	r.lose(ended)
	set := r.o.Settings()
	if !set.on() {
		return r.end(ctx, ended)
	}
	err := r.exchange(ctx, set, due, ended, now)
	if len(due) > 0 && ctx.Err() == nil {
		r.note(err)
	}
	return errors.Join(err, r.end(ctx, ended))
}

// lose counts and logs the alerts that were not acknowledged in time.
func (r *Relay) lose(items map[string]bool) {
	if len(items) == 0 {
		return
	}
	r.count.alert(Lost, len(items))
	hosts := make(map[string]bool)
	example := ""
	for _, w := range r.box.all() {
		if items[w.Item] {
			hosts[w.Address], example = true, w.Address
		}
	}
	r.o.Logger.Error("Relayed alerts lost: not acknowledged within an hour", "alerts", len(items), "hosts", len(hosts), "host", example)
}

// end removes alerts that no longer wait, from memory and from the file. If the file cannot
// be written, they are sent again after a restart, and that is no error: only the end of
// ctx is.
func (r *Relay) end(ctx context.Context, items map[string]bool) error {
	if len(items) == 0 {
		return nil
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	r.box.remove(items)
	_, bytes, _ := r.box.state()
	if err := r.disk.done(items, r.box.all, bytes); err != nil { // they are sent again after a restart, and acknowledged again
		r.o.Logger.Debug("Ends of relayed alerts not written", "alerts", len(items), "err", err)
	}
	return nil
}

// exchange reads the acknowledgements of the alerts that are due, adds their items to
// ended, and sends the others.
func (r *Relay) exchange(ctx context.Context, set Settings, due []*waiting, ended map[string]bool, now time.Time) error {
	if len(due) == 0 {
		return nil
	}
	streams, err := r.streams(set)
	if err != nil {
		return err
	}
	secret, err := token(set)
	if err != nil {
		return err
	}
	put, err := r.look(ctx, streams, secret, due, ended, now)
	if err != nil {
		return err
	}
	for _, group := range byAddress(put) {
		for chunk := range slices.Chunk(group, maxChunk) {
			if err := r.put(ctx, streams, secret, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// look reads the acknowledgements of what was sent and adds their items to ended. It returns
// the alerts that must be put on a stream: those that were not sent, are no longer on it, or
// have had no acknowledgement for resendAfter.
func (r *Relay) look(ctx context.Context, streams *relaystream.Streams, secret string, due []*waiting, ended map[string]bool, now time.Time) (put []*waiting, err error) {
	for chunk := range slices.Chunk(due, maxChunk) {
		asked := make([]relaystream.Awaited, len(chunk))
		for i, w := range chunk {
			asked[i] = relaystream.Awaited{Address: w.Address, Key: w.Key, Item: w.awaits()}
		}
		statuses, err := streams.Statuses(ctx, asked)
		if err != nil {
			return nil, err
		}
		for i, w := range chunk {
			switch s := statuses[i]; {
			case s.Ack != "" && equal(s.Ack, acknowledgement(secret, w.Address, w.awaits())):
				ended[w.Item] = true
				_, host, _ := strings.Cut(w.Address, "=")
				r.count.forget(host)
				r.count.alert(Delivered, 1)
			case w.sent.IsZero(), !s.Pending, now.Sub(w.sent) >= resendAfter:
				put = append(put, w)
			default:
				w.later(now)
			}
		}
	}
	return put, nil
}

// later sets when an entry that was put is looked after again.
func (p *progress) later(now time.Time) {
	p.next = now.Add(min(sendEvery<<min(p.tries, 10), maxLook))
	p.tries++
}

// byAddress returns alerts in one group for each exporter, in the order of the first of
// each, and within a group in their order.
func byAddress(list []*waiting) [][]*waiting {
	at := make(map[string]int)
	var out [][]*waiting
	for _, w := range list {
		i, ok := at[w.Address]
		if !ok {
			i = len(out)
			at[w.Address] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], w)
	}
	return out
}

// put adds alerts to the stream of their exporter. nil too if another sender was faster,
// some have no room, or the same alert of another receiver is pending there: they are tried
// again, or its acknowledgement is awaited.
func (r *Relay) put(ctx context.Context, streams *relaystream.Streams, secret string, list []*waiting) error {
	now := time.Now()
	out := make([]relaystream.Outgoing, len(list))
	for i, w := range list {
		e := entryOf(w, now)
		e.MAC = signature(secret, &e)
		out[i] = relaystream.Outgoing{Entry: e, Replaces: w.id}
	}
	puts, err := streams.Put(ctx, list[0].Address, out)
	if puts.Discarded {
		r.count.bound(BoundReply, 1)
		r.o.Logger.Warn("Relay's stream removed: it was not what exporters write", "host", list[0].Address)
	}
	if errors.Is(err, relaystream.ErrRaced) {
		return nil // it is tried again at the next look
	}
	if err != nil {
		return err
	}
	r.count.bound(BoundStream, puts.Trimmed)
	for i, w := range list {
		switch p := puts.Placed[i]; {
		case p.Full:
			r.count.bound(BoundPending, 1)
			w.id, w.sent = "", time.Time{}
			w.later(now)
		case p.Behind != "":
			w.id, w.behind, w.sent, w.tries = "", p.Behind, now, 0
			w.later(now)
		default:
			r.count.sent(w.puts > 0)
			w.puts++
			w.id, w.behind, w.sent, w.tries = p.ID, "", now, 0
			w.later(now)
		}
	}
	return nil
}
