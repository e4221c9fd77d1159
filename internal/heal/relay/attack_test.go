package relay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// A stranger is a program that may write to the relay's Redis and does not have the token.
const strangersToken = "a-token-of-the-stranger"

// Entries of a stranger run nothing and are counted: forged ones, true ones that are replayed,
// cut, changed, sent to another host or too late, and noise. True alerts come all the same.
func TestStrangersEntries(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b, c := start(t, server, "a", launch{}), start(t, server, "b", launch{}), start(t, server, "c", launch{})
	registered(t, a.redis, "b")
	registered(t, a.redis, "c")
	genuine := relay.SignedEntry(token, "instance=b", alert("Genuine", "b"), time.Now()) // as the stranger has read it
	inject(t, b, "b", genuine)
	took(t, b, "Genuine")
	change := func(f func(*relaystream.Entry)) relaystream.Entry {
		e := genuine
		f(&e)
		return e
	}
	other := relay.SignedEntry(strangersToken, "instance=b", alert("Evil", "b"), time.Now())
	forged := []relaystream.Entry{
		other,
		{},
		change(func(e *relaystream.Entry) { e.Alert = other.Alert }),
		change(func(e *relaystream.Entry) { e.Alert, e.Key = other.Alert, other.Key }),
		change(func(e *relaystream.Entry) { e.Alert = e.Alert[:len(e.Alert)-1] }),
		change(func(e *relaystream.Entry) { e.Item = other.Item }),
		change(func(e *relaystream.Entry) { e.Got++ }),
		change(func(e *relaystream.Entry) { e.Sent++ }),
		change(func(e *relaystream.Entry) { e.Sent = time.Now().Add(time.Hour).UnixMilli() }),
		change(func(e *relaystream.Entry) { e.MAC = "" }),
		change(func(e *relaystream.Entry) { e.MAC = e.MAC[:63] }),
		change(func(e *relaystream.Entry) { e.MAC = strings.ToUpper(e.MAC) + "0" }),
		change(func(e *relaystream.Entry) { e.Key, e.Item = e.Key+e.Item[:1], e.Item[1:] }), // the same bytes, cut elsewhere
	}
	for _, e := range forged {
		inject(t, b, "b", e)
	}
	countedEntries(t, b, relay.Forged, uint64(len(forged)))
	for n := range 3 {
		inject(t, b, "b", genuine)
		countedEntries(t, b, relay.Duplicate, uint64(n)+1)
	}
	inject(t, c, "c", genuine)
	countedEntries(t, c, relay.Misaddressed, 1)
	inject(t, c, "c", change(func(e *relaystream.Entry) { e.To = "instance=c" }))
	countedEntries(t, c, relay.Forged, 1)
	inject(t, b, "b", relay.SignedEntry(token, "instance=b", alert("Old", "b"), time.Now().Add(-301*time.Second)))
	countedEntries(t, b, relay.Stale, 1)
	inject(t, b, "b", change(func(e *relaystream.Entry) { e.Alert = []byte(strings.Repeat("x", 100<<10)) }))
	countedEntries(t, b, relay.TooLarge, 1)
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b"), alert("Ill", "c")}); err != nil {
		t.Fatal(err)
	}
	took(t, b, "Genuine", "Ill")
	took(t, c, "Ill")
	delivered(t, a, 2)
}

// spoil does one of the things to the keys of a host that a stranger may do.
func spoil(ctx context.Context, c driver.UniversalClient, rnd *rand.Rand, host string) {
	const prefix = "resp:heal:relay:"
	stream, pending, member := prefix+"stream:{instance="+host+"}", prefix+"pending:{instance="+host+"}", prefix+"member:{instance="+host+"}"
	key := []string{stream, pending, member, prefix + "continuous"}[rnd.IntN(4)]
	switch rnd.IntN(9) {
	case 0:
		c.Del(ctx, key)
	case 1:
		c.Del(ctx, key)
		c.Set(ctx, key, strings.Repeat("x", 2<<20), time.Minute)
	case 2:
		c.Del(ctx, key)
		c.SAdd(ctx, key, "x")
	case 3:
		c.XAdd(ctx, &driver.XAddArgs{Stream: stream, Values: []any{"alert", strings.Repeat("x", 2<<20)}})
	case 4:
		_, _ = c.Pipelined(ctx, func(p driver.Pipeliner) error {
			for n := range 1500 {
				p.XAdd(ctx, &driver.XAddArgs{Stream: stream, Values: []any{"to", "instance=" + host, "alert", fmt.Sprint(n)}})
			}
			return nil
		})
	case 5:
		_, _ = c.Pipelined(ctx, func(p driver.Pipeliner) error {
			for n := range 500 {
				p.HSet(ctx, pending, fmt.Sprint(n), "x 9999999999999")
			}
			return nil
		})
	case 6:
		c.XTrimMaxLen(ctx, stream, 0)
	case 7:
		c.XGroupDestroy(ctx, stream, "exporter")
	case 8:
		for _, k := range c.Keys(ctx, prefix+"ack:*").Val() {
			c.Set(ctx, k, strings.Repeat("0", 64), time.Minute)
		}
	}
}

// A stranger who deletes, fills and replaces keys of every kind delays alerts at most: when he
// has gone, all of them have been taken, each once.
func TestStrangersKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b, c := start(t, server, "a", launch{}), start(t, server, "b", launch{}), start(t, server, "c", launch{})
	stranger := server.Open()
	for _, host := range []string{"a", "b", "c"} {
		registered(t, stranger, host)
	}
	rnd := rand.New(rand.NewPCG(7, 7))                        //nolint:gosec // no secret
	accepts(t, a, alert("Before", "b"), alert("Before", "c")) // the receiver has heard of both
	want := map[string]int{"b Before": 1, "c Before": 1}
	for n := range 30 {
		do(t, stranger, func(ctx context.Context, client driver.UniversalClient) error {
			spoil(ctx, client, rnd, []string{"b", "c"}[n%2])
			return nil
		})
		name := fmt.Sprintf("Ill%d", n)
		for _, host := range []string{"b", "c"} {
			if _, err := a.Take(t.Context(), []action.Alert{alert(name, host)}); err == nil {
				want[host+" "+name]++ // what is refused comes again from Alertmanager
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	eventually(t, func() error {
		got := make(map[string]int)
		for host, x := range map[string]*exporter{"b": b, "c": c} {
			for _, name := range x.runner.list() {
				got[host+" "+name]++
			}
		}
		for name := range want {
			if got[name] != 1 {
				return fmt.Errorf("%s was taken %d times; %+v", name, got[name], a.Stats())
			}
		}
		return nil
	})
	if len(want) < 10 {
		t.Errorf("only %d alerts were accepted", len(want))
	}
	if n := a.Stats().Bounds[relay.BoundReply] + b.Stats().Bounds[relay.BoundReply] + c.Stats().Bounds[relay.BoundReply]; n == 0 {
		t.Error("no foreign key was counted")
	}
}
