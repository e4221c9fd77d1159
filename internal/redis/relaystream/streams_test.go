package relaystream_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

const me = "instance=web-1:9868"

// do runs f on the server's keys.
func do(t *testing.T, s *redis.Server, f func(ctx context.Context, c driver.UniversalClient) error) {
	t.Helper()
	if err := s.WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error { return f(ctx, l.Client()) }); err != nil {
		t.Fatal(err)
	}
}

// out returns an entry of an item for a key.
func out(item, key string, sent int64) relaystream.Outgoing {
	return relaystream.Outgoing{Entry: relaystream.Entry{To: me, Item: item, Key: key, Sent: sent, Alert: []byte(`{"n":1}`), MAC: "m"}}
}

// put puts entries and returns what became of them.
func put(t *testing.T, x *relaystream.Streams, list ...relaystream.Outgoing) []relaystream.Placed {
	t.Helper()
	p, err := x.Put(t.Context(), me, list)
	if err != nil || p.Trimmed != 0 || p.Discarded {
		t.Fatalf("put: %v, %+v", err, p)
	}
	return p.Placed
}

// read reads and returns the items of the entries.
func read(t *testing.T, x *relaystream.Streams, again bool) (list []relaystream.Entry, items string) {
	t.Helper()
	after := relaystream.None
	if again {
		after = ""
	}
	b, err := x.Read(t.Context(), me, after)
	if err != nil || b.Discarded {
		t.Fatalf("read: %v, discarded %t", err, b.Discarded)
	}
	return b.Entries, itemsOf(b.Entries)
}

func itemsOf(list []relaystream.Entry) string {
	var names []string
	for _, e := range list {
		names = append(names, e.Item)
	}
	return strings.Join(names, " ")
}

func TestRegistrations(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := relaystream.New(s)
	if r, err := x.Registered(t.Context(), []string{me}); err != nil || r.Alive[me] || r.Complete {
		t.Errorf("before the first: %+v, %v", r, err)
	}
	if err := x.Register(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	if r, err := x.Registered(t.Context(), []string{me, "instance=b"}); err != nil || !r.Alive[me] || r.Alive["instance=b"] || r.Complete {
		t.Errorf("after the first: %+v, %v", r, err)
	}
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		return c.Set(ctx, "resp:heal:relay:continuous", time.Now().Add(-31*time.Second).UnixMilli(), driver.KeepTTL).Err()
	})
	if err := x.Register(t.Context(), me); err != nil { // keeps the mark
		t.Fatal(err)
	}
	if r, err := x.Registered(t.Context(), nil); err != nil || !r.Complete {
		t.Errorf("after half a minute: %+v, %v", r, err)
	}
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		return c.Set(ctx, "resp:heal:relay:member:{"+me+"}", time.Now().Add(-time.Minute).UnixMilli(), driver.KeepTTL).Err()
	})
	if r, err := x.Registered(t.Context(), []string{me, "instance=b"}); err != nil || r.Alive[me] || !r.Away[me] || r.Away["instance=b"] {
		t.Errorf("a minute after the last registration: %+v, %v", r, err)
	}
	expires(t, s)
}

// expires checks that no key stays for ever.
func expires(t *testing.T, s *redis.Server) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		for _, k := range c.Keys(ctx, "*").Val() {
			if ttl := c.TTL(ctx, k).Val(); ttl <= 0 || !strings.HasPrefix(k, "resp:heal:relay:") {
				t.Errorf("%s expires in %s", k, ttl)
			}
		}
		return nil
	})
}

// An entry goes its way: put once, read, read again, acknowledged, gone.
func TestEntry(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := relaystream.New(s), relaystream.New(s)
	now := time.Now().UnixMilli()
	first := put(t, a, out("i1", "k1", now), out("i2", "k2", now))
	if first[0].ID == "" || first[1].ID == "" {
		t.Fatalf("placed: %+v", first)
	}
	if p := put(t, b, out("j1", "k1", now+1)); p[0].Behind != "i1" || p[0].ID != "" {
		t.Errorf("a second receiver: %+v", p)
	}
	statuses := func(items ...string) []relaystream.Status {
		var list []relaystream.Awaited
		for i, item := range items {
			list = append(list, relaystream.Awaited{Address: me, Key: "k" + strconv.Itoa(i+1), Item: item})
		}
		st, err := a.Statuses(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if got := statuses("i1", "other"); !slices.Equal(got, []relaystream.Status{{Pending: true}, {}}) {
		t.Errorf("pending: %+v", got)
	}
	again := out("i2", "k2", now+2)
	again.Replaces = first[1].ID
	put(t, a, again)
	list, items := read(t, b, false)
	if items != "i1 i2" || string(list[0].Alert) != `{"n":1}` || list[1].Sent != now+2 || list[0].To != me || list[0].MAC != "m" || list[0].Key != "k1" {
		t.Fatalf("read: %+v", list)
	}
	if _, items := read(t, b, false); items != "" {
		t.Errorf("read twice: %s", items)
	}
	if _, items := read(t, b, true); items != "i1 i2" {
		t.Errorf("not settled: %q", items)
	}
	if err := b.Settle(t.Context(), me, []relaystream.Settled{{ID: list[0].ID, Key: "k1", Item: "i1", Ack: "yes"}, {ID: list[1].ID}}); err != nil {
		t.Fatal(err)
	}
	if got := statuses("i1", "i2"); !slices.Equal(got, []relaystream.Status{{Ack: "yes"}, {Pending: true}}) {
		t.Errorf("acknowledged: %+v", got)
	}
	if _, items := read(t, b, true); items != "" {
		t.Errorf("after the end: %q", items)
	}
	expires(t, s)
}

// An entry that its sender replaces after it was read is read again without its fields.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	x := relaystream.New(redistest.Start(t).Open())
	now := time.Now().UnixMilli()
	p := put(t, x, out("i1", "k1", now))
	read(t, x, false)
	again := out("i1", "k1", now+1)
	again.Replaces = p[0].ID
	put(t, x, again)
	list, _ := read(t, x, true)
	if len(list) != 2 || !list[0].Empty || list[1].Empty {
		t.Errorf("read: %+v", list)
	}
}

// The entry of a receiver that is gone is replaced after seven minutes: its clock may be 5
// minutes slow.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	x := relaystream.New(redistest.Start(t).Open())
	now := time.Now().UnixMilli()
	put(t, x, out("i1", "k1", now))
	if p := put(t, x, out("j1", "k1", now+419_000)); p[0].Behind != "i1" {
		t.Errorf("too early: %+v", p)
	}
	if p := put(t, x, out("j1", "k1", now+420_000)); p[0].ID == "" {
		t.Errorf("not replaced: %+v", p)
	}
	if p := put(t, x, out("l1", "k1", now-420_000)); p[0].ID == "" {
		t.Errorf("a time in the future holds for ever: %+v", p)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := relaystream.New(s)
	now := time.Now().UnixMilli()
	for i := range relaystream.MaxPending / 100 {
		var list []relaystream.Outgoing
		for j := range 100 {
			n := strconv.Itoa(i*100 + j)
			list = append(list, out("i"+n, "k"+n, now))
		}
		put(t, x, list...)
	}
	if p := put(t, x, out("more", "more", now), out("i0", "k0", now)); !p[0].Full || p[1].ID == "" {
		t.Errorf("more than may be pending: %+v", p)
	}
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		_, err := c.Pipelined(ctx, func(q driver.Pipeliner) error {
			for range relaystream.MaxLength {
				q.XAdd(ctx, &driver.XAddArgs{Stream: "resp:heal:relay:stream:{" + me + "}", Values: []string{"a", "b"}})
			}
			return nil
		})
		return err
	})
	p, err := x.Put(t.Context(), me, []relaystream.Outgoing{out("i1", "k1", now)})
	if err != nil || p.Trimmed != relaystream.MaxPending+2 {
		t.Errorf("%+v, %v", p, err)
	}
	if list, _ := read(t, x, false); len(list) != relaystream.MaxRead || list[0].Item != "" {
		t.Errorf("%d entries of a stranger", len(list))
	}
}

// An entry that is too large for a reply costs the stream, and nothing else.
func TestTooLargeToRead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := relaystream.New(s)
	put(t, x, out("i1", "k1", time.Now().UnixMilli()))
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		return c.XAdd(ctx, &driver.XAddArgs{Stream: "resp:heal:relay:stream:{" + me + "}", Values: []string{"alert", strings.Repeat("x", 2<<20)}}).Err()
	})
	if b, err := x.Read(t.Context(), me, relaystream.None); err != nil || !b.Discarded || len(b.Entries) != 0 {
		t.Errorf("read: %d, %t, %v", len(b.Entries), b.Discarded, err)
	}
	put(t, x, out("i1", "k1", time.Now().UnixMilli()))
	if _, items := read(t, x, false); items != "i1" {
		t.Errorf("after that: %q", items)
	}
}

// After a Redis that has lost its data the stream is made again.
func TestDataLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	x := relaystream.New(server.Open())
	read(t, x, false)
	server.Stop()
	var fault *redis.Error
	if _, err := x.Read(t.Context(), me, relaystream.None); !errors.As(err, &fault) {
		t.Errorf("without a server: %v", err)
	}
	server.Restart()
	deadline := time.Now().Add(time.Minute)
	for {
		if _, err := x.Put(t.Context(), me, []relaystream.Outgoing{out("i1", "k1", 1)}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no Redis within a minute")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, items := read(t, x, true); items != "i1" {
		t.Errorf("read: %q", items)
	}
}

// Each right that is missing is named, and nothing is changed by the check.
func TestRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Open()
	rules := redis.Rights{Relay: true}.Rules(false)
	as := func(drop ...string) *relaystream.Streams {
		do(t, admin, func(ctx context.Context, c driver.UniversalClient) error {
			args := []any{"acl", "setuser", "u", "reset", "on", ">p"}
			for _, r := range rules {
				words := strings.Fields(strings.Trim(r, "()"))
				words = slices.DeleteFunc(words, func(w string) bool { return slices.Contains(drop, w) })
				if strings.HasPrefix(r, "(") {
					args = append(args, "("+strings.Join(words, " ")+")")
				} else if len(words) > 0 {
					args = append(args, r)
				}
			}
			return c.Do(ctx, args...).Err()
		})
		return relaystream.New(server.OpenAs("u", "p"))
	}
	if got, err := as().Refused(t.Context(), me); err != nil || len(got) != 0 {
		t.Errorf("with all rights: %q, %v", got, err)
	}
	for right := range strings.FieldsSeq("time set get del expire hlen hget hgetall hmget hset hdel xadd xlen xdel xack xreadgroup xgroup|create watch unwatch multi exec") {
		got, err := as("+"+right).Refused(t.Context(), me)
		if err != nil || !slices.Equal(got, []string{right}) {
			t.Errorf("without %s: %q, %v", right, got, err)
		}
	}
	if got, err := as("~resp:heal:relay:*").Refused(t.Context(), me); err != nil || !slices.Equal(got, []string{"resp:heal:relay:*"}) {
		t.Errorf("without the keys: %q, %v", got, err)
	}
	if n := keys(t, admin); n != 0 {
		t.Errorf("%d keys were made", n)
	}
}

func keys(t *testing.T, s *redis.Server) (n int) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		n = len(c.Keys(ctx, "*").Val())
		return nil
	})
	return n
}

// Entries that are not settled are read in turn, and never keep new ones out.
func TestUnsettledInTurn(t *testing.T) {
	t.Parallel()
	x := relaystream.New(redistest.Start(t).Open())
	now := time.Now().UnixMilli()
	const half = relaystream.MaxRead / 2
	var want []string
	for i := range 2*half + 1 {
		n := strconv.Itoa(i)
		put(t, x, out("i"+n, "k"+n, now))
		want = append(want, "i"+n)
	}
	for range 2 {
		read(t, x, false)
	}
	after := ""
	for round, wanted := range []string{
		strings.Join(want[:half], " ") + " new0", strings.Join(want[half:2*half], " ") + " new1", want[2*half] + " new0 new1 new2",
	} {
		n := strconv.Itoa(round)
		put(t, x, out("new"+n, "new"+n, now))
		b, err := x.Read(t.Context(), me, after)
		if got := itemsOf(b.Entries); err != nil || got != wanted || (b.After == "") != (round == 2) {
			t.Errorf("round %d: %q after %q, %v; want %q", round, got, after, err, wanted)
		}
		after = b.After
	}
}
