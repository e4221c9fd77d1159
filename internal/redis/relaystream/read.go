package relaystream

import (
	"context"
	"errors"
	"strings"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Batch is what one read of a stream returns.
type Batch struct {
	Entries []Entry
	// After is the ID after which the next read continues with entries that were read before
	// and not settled; "": it begins with the oldest.
	After string
	// Discarded reports that the stream had an entry that is larger than any exporter writes,
	// or was no stream, and was removed: what is pending is sent again.
	Discarded bool
}

// None is the after of [Streams.Read] for new entries only.
const None = "none"

// Read returns at most [MaxRead] entries of the stream of an address: first at most half
// of them that were read before and not settled, those after an ID, then new ones. So
// entries that are refused again and again never keep others out. If an entry is larger
// than exporters write, or a key of another type, the stream is removed and Discarded set.
func (x *Streams) Read(ctx context.Context, address, after string) (Batch, error) {
	r := &reading{stream: streamKey(address)}
	err := x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		if r.spoilt { // the link was replaced, and the entry counts as read
			return nil
		}
		r.Batch = Batch{}
		err := r.read(ctx, l.Client(), after)
		r.spoilt = errors.Is(err, redis.ErrTooLarge) || isForeign(err)
		return err
	})
	if !r.spoilt {
		return r.Batch, err
	}
	return Batch{Discarded: true}, x.remove(ctx, streamKey(address), pendingKey(address))
}

// reading is one read of a stream.
type reading struct {
	Batch

	stream string
	spoilt bool
}

// read reads pending entries after an id, unless it is None, and then new ones: at most
// MaxRead together. It sets After only if there may be more pending ones.
func (r *reading) read(ctx context.Context, c driver.UniversalClient, after string) error {
	if after != None {
		if after == "" {
			after = "0"
		}
		if err := r.from(ctx, c, after, MaxRead/2); err != nil {
			return err
		}
		if n := len(r.Entries); n == MaxRead/2 {
			r.After = r.Entries[n-1].ID
		}
	}
	return r.from(ctx, c, ">", MaxRead-len(r.Entries))
}

// from appends at most n entries after an ID to r.Entries; none is no error. The first time,
// and after the Redis has lost its data, it makes the stream and its group.
func (r *reading) from(ctx context.Context, c driver.UniversalClient, id string, n int) error {
	args := &driver.XReadGroupArgs{Group: group, Consumer: consumer, Streams: []string{r.stream, id}, Count: int64(n), Block: -1}
	streams, err := c.XReadGroup(ctx, args).Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOGROUP ") {
		if err := r.makeGroup(ctx, c); err != nil {
			return err
		}
		streams, err = c.XReadGroup(ctx, args).Result()
	}
	if err := unlessNil(err); err != nil {
		return err
	}
	for _, s := range streams {
		for _, m := range s.Messages {
			r.Entries = append(r.Entries, entryOf(m))
		}
	}
	return nil
}

// makeGroup creates the stream and its group, unless they exist, and sets its expiry.
func (r *reading) makeGroup(ctx context.Context, c driver.UniversalClient) error {
	err := c.XGroupCreateMkStream(ctx, r.stream, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP ") {
		return err
	}
	return c.Expire(ctx, r.stream, keptFor).Err()
}

// Settled is an entry that needs not be read again.
type Settled struct {
	ID string

	// Of an entry that is acknowledged; empty for one that is dropped.
	Key, Item, Ack string
}

// Settle removes entries from the stream of an address and writes their acknowledgements,
// all in one transaction. Without an Ack the item stays pending.
func (x *Streams) Settle(ctx context.Context, address string, list []Settled) error {
	if len(list) == 0 {
		return nil
	}
	return x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		_, err := l.Client().TxPipelined(ctx, func(q driver.Pipeliner) error {
			for _, s := range list {
				q.XAck(ctx, streamKey(address), group, s.ID)
				q.XDel(ctx, streamKey(address), s.ID)
				if s.Ack != "" {
					q.HDel(ctx, pendingKey(address), s.Key)
					q.Set(ctx, ackKey(s.Item), s.Ack, keptFor)
				}
			}
			return nil
		})
		return err
	})
}
