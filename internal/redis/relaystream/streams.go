// Package relaystream has the keys by which exporters relay alerts to each other through
// one Redis: who is alive, a stream of entries for each of them, which entries are pending
// and which were acknowledged. It checks no signature: what it reads may be anybody's.
package relaystream

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const (
	// memberFor is how long an exporter counts as alive after a registration.
	memberFor = time.Minute
	// RegisterEvery is how often an exporter registers.
	RegisterEvery = 15 * time.Second
	// continuousFor is how long the mark of continuous registrations lasts. It is shorter
	// than memberFor less RegisterEvery: while the mark stands, no exporter that lives can
	// have lost its registration.
	continuousFor = 30 * time.Second
	// completeAfter is when all exporters that live have registered again in a Redis
	// that had lost its data.
	completeAfter = 2 * RegisterEvery
	// keptFor is the expiry of streams, pending entries, acknowledgements and of an exporter
	// that is away: longer than an alert is resent.
	keptFor = 2 * time.Hour

	// MaxLength is the number of entries of a stream; the oldest are trimmed.
	MaxLength = 1000
	// MaxPending is the number of entries of one exporter that wait for it.
	MaxPending = 500
	// MaxRead is the number of entries of one read. They fit into the limit of a reply.
	MaxRead = 32
	// takeOver is the age at which the pending entry of another receiver is replaced: it
	// would have been resent by then, after 90 s, even if the clocks differ by 5 minutes.
	takeOver = 7 * time.Minute

	group    = "exporter"
	consumer = "exporter"
	prefix   = redis.HealPrefix + "relay:"
)

// Streams are the keys below "resp:heal:relay:". Every error is a [redis.Error].
type Streams struct{ s *redis.Server }

// New returns the streams of a server.
func New(s *redis.Server) *Streams { return &Streams{s} }

// memberKey returns the key of an exporter's registration.
func memberKey(address string) string { return prefix + "member:{" + address + "}" }

// streamKey returns the key of the stream of an exporter.
func streamKey(address string) string { return prefix + "stream:{" + address + "}" }

// pendingKey returns the key of what is pending for an exporter.
func pendingKey(address string) string { return prefix + "pending:{" + address + "}" }

// ackKey returns the key of the acknowledgement of an item.
func ackKey(item string) string { return prefix + "ack:" + item }

// continuousKey holds since when (Unix time in ms of the Redis) registrations came without
// a gap.
const continuousKey = prefix + "continuous"

// Register registers an exporter as alive for a minute, and as known for longer.
func (x *Streams) Register(ctx context.Context, address string) error {
	return x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		c := l.Client()
		now, err := c.Time(ctx).Result()
		if err != nil {
			return err
		}
		_, err = c.Pipelined(ctx, func(p driver.Pipeliner) error {
			p.Set(ctx, memberKey(address), decimal(now.UnixMilli()), keptFor)
			p.SetNX(ctx, continuousKey, now.UnixMilli(), continuousFor)
			p.Expire(ctx, continuousKey, continuousFor)
			p.Expire(ctx, streamKey(address), keptFor)
			return nil
		})
		return err
	})
}

// Registrations are which exporters are alive.
type Registrations struct {
	Alive map[string]bool // by address
	Away  map[string]bool // those that registered within two hours, but not within a minute
	// Complete is false for half a minute after the Redis was unreachable for everybody or
	// lost its data: an exporter that is not in it may live all the same.
	Complete bool
}

// Registered returns which of the addresses are registered; who wrote a key is not proven.
// A key of another type, or whose value is no number, counts as none, and a time ahead as
// now. If a value is larger than exporters write, the keys are removed and both maps are
// empty, without an error, until the exporters register again.
func (x *Streams) Registered(ctx context.Context, addresses []string) (Registrations, error) {
	r := Registrations{Alive: make(map[string]bool, len(addresses)), Away: make(map[string]bool)}
	keys := []string{continuousKey}
	for _, a := range addresses {
		keys = append(keys, memberKey(a))
	}
	err := x.orRemove(ctx, keys, func(ctx context.Context, c driver.UniversalClient) error {
		var now *driver.TimeCmd
		values := make([]*driver.StringCmd, len(keys))
		_, err := c.Pipelined(ctx, func(p driver.Pipeliner) error {
			now = p.Time(ctx)
			for i, key := range keys {
				values[i] = p.Get(ctx, key)
			}
			return nil
		})
		if err := unlessForeign(err); err != nil {
			return err
		}
		ages := make([]time.Duration, len(keys))
		for i, v := range values {
			ages[i] = -1
			if ms, err := strconv.ParseInt(v.Val(), 10, 64); err == nil {
				ages[i] = max(0, now.Val().Sub(time.UnixMilli(ms)))
			}
		}
		r.Complete = ages[0] >= completeAfter
		for i, a := range addresses {
			age := ages[i+1]
			r.Alive[a], r.Away[a] = age >= 0 && age < memberFor, age >= memberFor
		}
		return nil
	})
	return r, err
}

// orRemove calls f. If a reply is larger than what exporters write makes it, the keys that f
// reads are removed, and no error is returned.
func (x *Streams) orRemove(ctx context.Context, keys []string, f func(context.Context, driver.UniversalClient) error) error {
	large := false
	err := x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		if large { // the link was replaced
			return nil
		}
		err := f(ctx, l.Client())
		large = errors.Is(err, redis.ErrTooLarge)
		return err
	})
	if !large {
		return err
	}
	return x.remove(ctx, keys...)
}

// remove deletes keys. One that does not exist is no error.
func (x *Streams) remove(ctx context.Context, keys ...string) error {
	return x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		_, err := l.Client().Pipelined(ctx, func(p driver.Pipeliner) error {
			for _, key := range keys { // one command each: they are in different slots
				p.Del(ctx, key)
			}
			return nil
		})
		return err
	})
}

// unlessNil returns nil if err says that a key does not exist, else err.
func unlessNil(err error) error {
	if err == driver.Nil { //nolint:errorlint // the driver compares so, too
		return nil
	}
	return err
}

// isForeign reports whether an error says that a key is not of the type that exporters
// write: somebody else has made it.
func isForeign(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE ") }

// unlessForeign returns err unless it says that a key does not exist or is foreign.
func unlessForeign(err error) error {
	if isForeign(err) {
		return nil
	}
	return unlessNil(err)
}

// Entry is one entry of a stream. Anybody who can write to the Redis may have made it.
type Entry struct {
	ID    string // of the stream, "1700000000000-0"
	To    string // the address of the exporter that it is for
	Item  string // of one alert that one receiver accepted, the same each time it is sent
	Key   string // the alert's identity
	Got   int64  // Unix time in ms at which the receiver accepted it
	Sent  int64  // Unix time in ms
	Alert []byte // JSON
	MAC   string // hexadecimal
	Empty bool   // it was deleted from the stream: it only has an ID
}

// Size returns the bytes of its fields, without the ID.
func (e *Entry) Size() int {
	return len(e.To) + len(e.Item) + len(e.Key) + len(e.Alert) + len(e.MAC) + len(decimal(e.Got)) + len(decimal(e.Sent))
}

// values returns the fields of the entry, without the ID, and their values, in turn.
func (e *Entry) values() []any {
	return []any{"to", e.To, "item", e.Item, "key", e.Key, "got", decimal(e.Got), "sent", decimal(e.Sent), "alert", e.Alert, "mac", e.MAC}
}

// decimal returns a number in decimal.
func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// entryOf returns the entry of a message; what is missing in it is empty, and a time that
// is no number 0.
func entryOf(m driver.XMessage) Entry {
	e := Entry{ID: m.ID, Empty: len(m.Values) == 0}
	text := func(name string) string { s, _ := m.Values[name].(string); return s }
	e.To, e.Item, e.Key, e.MAC, e.Alert = text("to"), text("item"), text("key"), text("mac"), []byte(text("alert"))
	e.Sent, _ = strconv.ParseInt(text("sent"), 10, 64) // 0: it is no exporter's
	e.Got, _ = strconv.ParseInt(text("got"), 10, 64)
	return e
}

// Awaited is an entry whose acknowledgement is waited for.
type Awaited struct{ Address, Key, Item string }

// Status is the state of an awaited entry.
type Status struct {
	Ack     string // as the exporter that it is for wrote it; "": none
	Pending bool   // the entry is the one that is pending for its key
}

// Statuses returns the states of entries, in their order; who wrote an Ack is not proven. A
// key of a type that exporters do not write counts as none. If a value is larger than they
// write, the keys of all entries are removed and all states are zero, without an error.
func (x *Streams) Statuses(ctx context.Context, list []Awaited) ([]Status, error) {
	out := make([]Status, len(list))
	var keys []string
	for _, a := range list {
		keys = append(keys, pendingKey(a.Address), ackKey(a.Item))
	}
	err := x.orRemove(ctx, keys, func(ctx context.Context, c driver.UniversalClient) error {
		acks, pending := make([]*driver.StringCmd, len(list)), make([]*driver.StringCmd, len(list))
		_, err := c.Pipelined(ctx, func(p driver.Pipeliner) error {
			for i, a := range list { // in this order: an entry that is no longer pending has its acknowledgement by then
				pending[i] = p.HGet(ctx, pendingKey(a.Address), a.Key)
				acks[i] = p.Get(ctx, ackKey(a.Item))
			}
			return nil
		})
		if err := unlessForeign(err); err != nil {
			return err
		}
		for i, a := range list {
			item, _ := pendingOf(pending[i].Val())
			out[i] = Status{Ack: acks[i].Val(), Pending: item == a.Item}
		}
		return nil
	})
	return out, err
}

// pendingOf returns the item and the time of sending, in Unix milliseconds, in a value of
// the pending entries; "" and 0 for "", and 0 for a time that is missing or no number.
func pendingOf(value string) (item string, sent int64) {
	item, ms, _ := strings.Cut(value, " ")
	sent, _ = strconv.ParseInt(ms, 10, 64)
	return item, sent
}
