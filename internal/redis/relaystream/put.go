package relaystream

import (
	"context"
	"errors"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Outgoing is an entry to be put on a stream.
type Outgoing struct {
	Entry

	Replaces string // the ID under which it was put before; "": none
}

// Placed is what became of an [Outgoing].
type Placed struct {
	ID     string // of the new entry; "": none was made
	Behind string // the item of another receiver that is pending for the same key
	Full   bool   // [MaxPending] are pending
}

// ErrRaced means that others changed the same stream at the same time, three times.
var ErrRaced = errors.New("the stream was changed meanwhile")

// Puts are what became of the entries of one [Streams.Put].
type Puts struct {
	Placed    []Placed
	Trimmed   int  // entries that the stream lost because of [MaxLength]
	Discarded bool // a key of the address was not what exporters write, and was removed before
}

// Put puts entries on the stream of an address, and returns what became of each, in their
// order; [Placed] says which are not put: Behind another item of the same length, sent less
// than 7 minutes before or after, that is pending for the key. After three attempts that
// others disturbed the error is ErrRaced, and only Discarded is set.
func (x *Streams) Put(ctx context.Context, address string, list []Outgoing) (Puts, error) {
	discarded := false
	for range 3 {
		p := &placing{address: address, list: list}
		if err := x.s.WithKeys(ctx, p.try); err != nil {
			return Puts{}, err
		}
		switch {
		case p.foreign:
			discarded = true
			if err := x.remove(ctx, streamKey(address), pendingKey(address)); err != nil {
				return Puts{}, err
			}
		case !p.raced:
			return Puts{p.placed, p.trimmed, discarded}, nil
		}
	}
	return Puts{Discarded: discarded}, ErrRaced
}

// placing is one try to put entries on a stream.
type placing struct {
	address string
	list    []Outgoing

	placed  []Placed
	trimmed int
	raced   bool
	foreign bool
}

// try adds the entries to the stream, unless the pending entries change meanwhile: then
// p.raced is set. p.foreign is set if a key is not what exporters write. Neither is an
// error.
func (p *placing) try(ctx context.Context, l *redis.Link) error {
	p.placed, p.trimmed, p.raced, p.foreign = make([]Placed, len(p.list)), 0, false, false
	err := l.Client().Watch(ctx, func(tx *driver.Tx) error { return p.transact(ctx, tx) }, pendingKey(p.address))
	if errors.Is(err, driver.TxFailedErr) {
		p.raced = true
		return nil
	}
	if isForeign(err) || errors.Is(err, redis.ErrTooLarge) {
		p.foreign = true
		return nil
	}
	return err
}

// transact reads what is pending, and adds the entries that are not, in one transaction.
// If more is pending than exporters leave, it adds none and sets p.foreign, without an
// error.
func (p *placing) transact(ctx context.Context, tx *driver.Tx) error {
	keys := make([]string, len(p.list))
	for i := range p.list {
		keys[i] = p.list[i].Key
	}
	var pending, length *driver.IntCmd
	var values *driver.SliceCmd
	if _, err := tx.Pipelined(ctx, func(q driver.Pipeliner) error {
		pending, length, values = q.HLen(ctx, pendingKey(p.address)), q.XLen(ctx, streamKey(p.address)), q.HMGet(ctx, pendingKey(p.address), keys...)
		return nil
	}); err != nil {
		return err
	}
	var stale []string
	n := int(pending.Val())
	if n >= MaxPending {
		if n > MaxPending { // no exporter does that
			p.foreign = true
			return nil
		}
		all, err := tx.HGetAll(ctx, pendingKey(p.address)).Result()
		if err != nil {
			return err
		}
		stale = p.stale(all)
		n -= len(stale)
	}
	var added []*driver.StringCmd
	extra := 0
	if _, err := tx.TxPipelined(ctx, func(q driver.Pipeliner) error {
		if len(stale) > 0 {
			q.HDel(ctx, pendingKey(p.address), stale...)
		}
		added, extra = p.addAll(ctx, q, values.Val(), n)
		return nil
	}); err != nil {
		return err
	}
	p.trimmed = max(0, int(length.Val())+extra-MaxLength)
	for i, cmd := range added {
		if cmd != nil {
			p.placed[i].ID = cmd.Val()
		}
	}
	return nil
}

// stale returns the keys of pending entries whose time of sending is 7 minutes or more
// before or after now, or no number: their receiver is gone, or never was one. Those that
// are to be put now are not among them.
func (p *placing) stale(all map[string]string) (keys []string) {
	for _, e := range p.list {
		delete(all, e.Key)
	}
	for key, value := range all {
		if _, sent := pendingOf(value); !recent(p.list[0].Sent, sent) {
			keys = append(keys, key)
		}
	}
	return keys
}

// recent reports whether a pending entry that was sent at a Unix time in ms is its
// sender's to send again: it was less than 7 minutes before or after now.
func recent(now, sent int64) bool {
	age := time.Duration(now-sent) * time.Millisecond
	return age < takeOver && age > -takeOver
}

// addAll queues the commands that put the entries on the stream, where values are pending
// for their keys and n entries are pending in all. It returns the command that adds each
// entry, nil for one that is not put, and by how many entries the stream grows.
func (p *placing) addAll(ctx context.Context, q driver.Pipeliner, values []any, n int) (added []*driver.StringCmd, extra int) {
	added = make([]*driver.StringCmd, len(p.list))
	for i := range p.list {
		value, _ := values[i].(string)
		if !p.admit(i, value, n) {
			continue
		}
		if value == "" {
			n++
		}
		if old := p.list[i].Replaces; old != "" {
			q.XDel(ctx, streamKey(p.address), old)
			extra--
		}
		added[i] = p.add(ctx, q, &p.list[i].Entry)
		extra++
	}
	q.Expire(ctx, streamKey(p.address), keptFor)
	q.Expire(ctx, pendingKey(p.address), keptFor)
	return added, extra
}

// admit reports whether to add an entry, where value is pending for its key and n entries
// are pending in all. If not, Full or Behind of what is placed says why.
func (p *placing) admit(i int, value string, n int) bool {
	e := &p.list[i]
	item, sent := pendingOf(value)
	switch {
	case value == "" && n >= MaxPending:
		p.placed[i].Full = true
		return false
	case value != "" && len(item) == len(e.Item) && item != e.Item && recent(e.Sent, sent): // else it is no exporter's
		p.placed[i].Behind = item
		return false
	}
	return true
}

// add queues the commands that add an entry and mark it as pending. It returns the
// command whose reply is the entry's ID.
func (p *placing) add(ctx context.Context, q driver.Pipeliner, e *Entry) *driver.StringCmd {
	q.HSet(ctx, pendingKey(p.address), e.Key, e.Item+" "+decimal(e.Sent))
	return q.XAdd(ctx, &driver.XAddArgs{Stream: streamKey(p.address), MaxLen: MaxLength, Values: e.values()})
}
