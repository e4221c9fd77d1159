package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"math"
	"strconv"
	"sync"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// The bounds of reading messages. One can be megabytes, and its length is not
// known before it is read.
const (
	priorities   = 10               // parts of a queue: priority 0 to 9
	headsAtOne   = 16               // in one pipeline
	largeHead    = 64 << 10         // bytes; a larger one is read again after largeAgain only
	largeAgain   = 30 * time.Second //
	tooLargeRest = 10 * time.Minute // after one beyond maxBulk, which ends the connection
	maxBroken    = 4                // connections ended so in one look
	maxHeads     = 10_000           // remembered
)

// celeryKeys is the ACL rule that is shown if the user may not read the keys.
const celeryKeys = "%R~<queue> %R~<queue>??[1-9] %R~unacked %R~unacked_index (before Redis 7 ~ for %R~)"

// Head is the oldest message in one part of a Celery queue.
type Head struct {
	Part   int       // its priority, 0 to 9
	ID     uint64    // distinguishes messages, within this process
	Sent   time.Time // when it was sent, by the message; zero: not known
	Unread bool      // it is too large to be read, and the rest is not known
}

// celeryLengths has the commands of one queue.
type celeryLengths struct {
	queue   int // index of its [Queue]
	name    string
	lengths []*driver.IntCmd // by priority
}

// celeryPart is one part of a queue in which messages wait.
type celeryPart struct {
	queue, part int
	key         string
}

// askCelery adds the commands for the lengths of one queue to p, and returns where their
// replies will be. Kombu puts messages of priority 0 into a list with the queue's name,
// and those of priority N into one whose name ends in the bytes 6, 22 and the digit N.
// The priorities are a setting of the app, so all ten are read.
func askCelery(ctx context.Context, p driver.Pipeliner, i int, name string) celeryLengths {
	c := celeryLengths{queue: i, name: name}
	for part := range priorities {
		c.lengths = append(c.lengths, p.LLen(ctx, partKey(name, part)))
	}
	return c
}

// partKey returns the key of a part of a Celery queue, by its priority.
func partKey(name string, part int) string {
	if part == 0 {
		return name
	}
	return name + "\x06\x16" + strconv.Itoa(part)
}

// counts returns the length of the queue by the replies, and its parts that are not
// empty, by priority. If a read was refused, Err of the queue says why, and there are no
// parts.
func (c *celeryLengths) counts() (Queue, []celeryPart) {
	var out Queue
	var parts []celeryPart
	for part, n := range c.lengths {
		if err := refused(celeryKeys, n); err != nil {
			return Queue{Err: err}, nil
		}
		if n.Val() > 0 {
			out.Length += n.Val()
			parts = append(parts, celeryPart{c.queue, part, partKey(c.name, part)})
		}
	}
	return out, parts
}

// readUnacked sets what workers hold: how many messages the hash unacked has, which are
// never read, and since when the oldest (unacked_index). A refusal is in its Err; an
// error is of the connection.
func (q *queueReader) readUnacked(ctx context.Context) error {
	var n *driver.IntCmd
	var first *driver.ZSliceCmd
	err := pipelined(ctx, q.link, func(p driver.Pipeliner) {
		n = p.HLen(ctx, "unacked")
		first = p.ZRangeByScoreWithScores(ctx, "unacked_index", &driver.ZRangeBy{Min: "0", Max: "+inf", Count: 1})
	})
	if err != nil {
		return err
	}
	q.unacked = &Unacked{Err: refused(celeryKeys, n, first), Count: size(n)}
	if z := first.Val(); len(z) > 0 {
		q.unacked.Oldest = unixTime(z[0].Score)
	}
	return nil
}

// knownHead is what is remembered of the oldest message at a key.
type knownHead struct {
	Head

	sum  uint64    // of all its bytes
	next time.Time // it is not read again before; zero: always
}

// heads adds to the queues the oldest message of each part, at the right end of its list. A
// large one is not read again for a while; one that is too large is added as Unread, and so
// are those that are left after four reads that were too large. An error is of the
// connection.
func (q *queueReader) heads(ctx context.Context, parts []celeryPart) error {
	var read []celeryPart
	for _, p := range parts {
		if k, ok := q.known.headOf(p.key); ok && q.now.Before(k.next) {
			q.addHead(p, k.Head)
			continue
		}
		read = append(read, p)
	}
	atOne := headsAtOne
	for broken := 0; len(read) > 0 && broken < maxBroken; {
		done, err := q.readHeads(ctx, read[:min(len(read), atOne)])
		read = read[done:]
		switch {
		case errors.Is(err, redis.ErrTooLarge):
			// The driver has ended the connection and makes a new one. What came with
			// the large message is lost too, so that only a read of one reports which it was.
			if broken++; atOne == 1 {
				q.keepHead(read[0], knownHead{Head: Head{Unread: true}, next: q.now.Add(tooLargeRest)})
				read = read[1:]
			}
			atOne = 1
		case err != nil:
			return err
		}
	}
	for _, p := range read { // next time
		q.addHead(p, Head{Unread: true})
	}
	return nil
}

// readHeads reads the oldest messages of some parts in one round trip, and returns how
// many it has read. redis.ErrTooLarge: the next one, or one behind it, is too large. With
// another error the number means nothing.
func (q *queueReader) readHeads(ctx context.Context, parts []celeryPart) (int, error) {
	cmds := make([]*driver.StringSliceCmd, len(parts))
	err := pipelined(ctx, q.link, func(p driver.Pipeliner) {
		for i, part := range parts {
			cmds[i] = p.LRange(ctx, part.key, -1, -1)
		}
	})
	for i, c := range cmds {
		if err != nil && errors.Is(c.Err(), redis.ErrTooLarge) {
			return i, err
		}
		if err := refused(celeryKeys, c); err != nil {
			to := &q.list[parts[i].queue]
			*to = Queue{Lack: err, Length: to.Length}
			continue
		}
		if len(c.Val()) == 1 { // it may have been taken since the length was read
			q.learnHead(parts[i], c.Val()[0])
		}
	}
	return len(parts), err
}

// learnHead stores a message that was read at the head of a queue. It parses the message
// only if it differs from the one before.
func (q *queueReader) learnHead(p celeryPart, message string) {
	sum := maphash.String(q.known.seed, message)
	k, ok := q.known.headOf(p.key)
	if !ok || k.sum != sum || k.Unread {
		m := ParseMessage([]byte(message))
		k = knownHead{Head: Head{ID: sum, Sent: m.Sent}, sum: sum}
		if m.Tag != "" { // it stays when the broker puts a message back
			k.ID = maphash.String(q.known.seed, m.Tag)
		}
	}
	if k.next = (time.Time{}); len(message) > largeHead {
		k.next = q.now.Add(largeAgain)
	}
	q.keepHead(p, k)
}

// keepHead stores the head of a part, and adds it to the queue.
func (q *queueReader) keepHead(p celeryPart, k knownHead) {
	q.known.setHead(p.key, k)
	q.addHead(p, k.Head)
}

// addHead adds a head to its queue, unless the queue has an error.
func (q *queueReader) addHead(p celeryPart, h Head) {
	h.Part = p.part
	if to := &q.list[p.queue]; to.Err == nil && to.Lack == nil {
		to.Heads = append(to.Heads, h)
	}
}

// headStore remembers the oldest message of each key between two reads.
type headStore struct {
	seed maphash.Seed

	mu    sync.Mutex // guards heads, and is never held while reading
	heads map[string]knownHead
}

// newHeadStore returns a store without heads.
func newHeadStore() *headStore {
	return &headStore{seed: maphash.MakeSeed(), heads: make(map[string]knownHead)}
}

// headOf returns the head that was stored for a key; false if there is none.
func (s *headStore) headOf(key string) (knownHead, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.heads[key]
	return k, ok
}

// setHead stores the head of a key. When there are maxHeads, all others are removed.
func (s *headStore) setHead(key string, k knownHead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) >= maxHeads {
		clear(s.heads)
	}
	s.heads[key] = k
}

// Message is the part of a Celery message that the exporter uses.
type Message struct {
	Tag  string    // delivery_tag, which kombu sets for each message; "": none
	Sent time.Time // the property timestamp, where the sender sets it; else zero
}

// ParseMessage returns the tag and the time of sending in a message of kombu's Redis
// transport, a JSON object with the object "properties". Fields that are missing or of
// another type stay zero, and so does a tag of more than 256 bytes. It reads neither the body
// nor the headers.
func ParseMessage(b []byte) Message {
	var m struct {
		Properties struct {
			Tag       json.RawMessage `json:"delivery_tag"`
			Timestamp json.RawMessage `json:"timestamp"`
		} `json:"properties"`
	}
	if json.Unmarshal(b, &m) != nil {
		return Message{}
	}
	var out Message
	if json.Unmarshal(m.Properties.Tag, &out.Tag) != nil || len(out.Tag) > maxNameLen {
		out.Tag = ""
	}
	var seconds float64
	if json.Unmarshal(m.Properties.Timestamp, &seconds) == nil {
		out.Sent = unixTime(seconds)
	}
	return out
}

// unixTime returns the time of Unix seconds above 0 and below 1e11, the year 5138; the zero
// time for anything else.
func unixTime(seconds float64) time.Time {
	if !(seconds > 0 && seconds < 1e11) {
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9))
}
