package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// inject puts an entry on the stream of a host, as whoever can write to the Redis may.
func inject(t *testing.T, x *exporter, host string, e relaystream.Entry) {
	t.Helper()
	do(t, x.redis, func(ctx context.Context, c driver.UniversalClient) error {
		return c.XAdd(ctx, &driver.XAddArgs{Stream: "resp:heal:relay:stream:{instance=" + host + "}", Values: []any{
			"to", e.To, "item", e.Item, "key", e.Key, "got", e.Got, "sent", e.Sent, "alert", e.Alert, "mac", e.MAC,
		}}).Err()
	})
}

// countedEntries waits until an exporter has counted so many entries of an outcome.
func countedEntries(t *testing.T, x *exporter, o relay.Outcome, n uint64) {
	t.Helper()
	eventually(t, func() error {
		if got := x.Stats().Entries[o]; got != n {
			return fmt.Errorf("%d entries %s, want %d", got, o, n)
		}
		return nil
	})
}

// What the other receiver was told before the alert was decided on is no news, however late it
// comes; what it was told later is. Nor does a restart of the exporter make it news.
func TestLateRepeat(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dir := stateDir(t)
	b := start(t, server, "b", launch{dir: dir})
	registered(t, b.redis, "b")
	now := time.Now()
	entry := func(got time.Time) relaystream.Entry {
		e := relay.SignedEntry(token, "instance=b", alert("Ill", "b"), now)
		e.Got = got.UnixMilli()
		relay.Sign(token, &e)
		return e
	}
	first := entry(now.Add(-time.Second))
	inject(t, b, "b", first)
	took(t, b, "Ill")
	inject(t, b, "b", entry(now.Add(-2*time.Second)))
	countedEntries(t, b, relay.Duplicate, 1)
	b.stop()
	again := start(t, server, "b", launch{dir: dir})
	inject(t, again, "b", first)
	inject(t, again, "b", entry(now.Add(-3*time.Second)))
	countedEntries(t, again, relay.Duplicate, 2)
	took(t, again)
	inject(t, again, "b", entry(now.Add(time.Minute)))
	took(t, again, "Ill")
}

// An exporter that is away for longer than it stays registered gets its alerts when it is
// back, and until then it is counted and shown.
func TestAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	b.stop()
	do(t, a.redis, func(ctx context.Context, c driver.UniversalClient) error {
		return c.Set(ctx, "resp:heal:relay:member:{instance=b}", time.Now().Add(-time.Minute).UnixMilli(), time.Hour).Err()
	})
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b"), alert("Ill", "b")}); err != nil {
		t.Fatal(err)
	}
	s := a.Stats()
	counted(t, s.Alerts, map[relay.Outcome]uint64{relay.Away: 1, relay.Repeated: 1})
	if len(s.Missing) != 1 || s.Missing[0].Host != "b" || !s.Missing[0].Away || s.Missing[0].Alerts != 1 || s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b"), alert("Other", "b")}); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); len(s.Missing) != 1 || s.Missing[0].Alerts != 2 {
		t.Errorf("two alerts wait, and one came twice: %+v", s.Missing)
	}
	took(t, start(t, server, "b", launch{}), "Ill", "Other")
	delivered(t, a, 2)
	if s := a.Stats(); len(s.Missing) != 0 {
		t.Errorf("after the acknowledgements: %+v", s.Missing)
	}
}

// What was got before the resolution starts nothing, however late it comes. What was got later
// fires anew, also with the same start: Prometheus keeps it when Alertmanager resolves an alert
// by its timeout. Nor does a restart of the exporter change that.
func TestFiresAnew(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dir := stateDir(t)
	b := start(t, server, "b", launch{dir: dir})
	registered(t, b.redis, "b")
	now := time.Now()
	entry := func(got time.Time, resolved bool) relaystream.Entry {
		a := alert("Ill", "b")
		a.Resolved = resolved
		e := relay.SignedEntry(token, "instance=b", a, now)
		e.Got = got.UnixMilli()
		relay.Sign(token, &e)
		return e
	}
	inject(t, b, "b", entry(now.Add(-time.Minute), true))
	took(t, b, "Ill/resolved")
	inject(t, b, "b", entry(now.Add(-time.Minute-time.Second), false))
	countedEntries(t, b, relay.Resolved, 1)
	b.stop()
	again := start(t, server, "b", launch{dir: dir})
	inject(t, again, "b", entry(now.Add(-time.Minute-2*time.Second), false))
	countedEntries(t, again, relay.Resolved, 1)
	inject(t, again, "b", entry(now.Add(-time.Minute+time.Second), false))
	took(t, again, "Ill")
}

// An item that is twice in one read is not acknowledged before one of both was taken.
func TestTwiceInOneRead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	idle := start(t, server, "b", launch{idle: true})
	e := relay.SignedEntry(token, "instance=b", alert("Ill", "b"), time.Now())
	inject(t, idle, "b", e)
	inject(t, idle, "b", e)
	runner := &recorder{answer: journal.DecisionQueueFull}
	b := start(t, server, "b", launch{runner: runner})
	acknowledged := func() (n int64) {
		do(t, idle.redis, func(ctx context.Context, c driver.UniversalClient) error {
			n = c.Exists(ctx, "resp:heal:relay:ack:"+e.Item).Val()
			return nil
		})
		return n
	}
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Retried]; n < 2 {
			return fmt.Errorf("tried %d times", n)
		}
		return nil
	})
	counted(t, map[relay.Outcome]uint64{relay.Duplicate: b.Stats().Entries[relay.Duplicate]}, map[relay.Outcome]uint64{relay.Duplicate: 1})
	if acknowledged() != 0 {
		t.Error("acknowledged before it was taken")
	}
	runner.set("")
	eventually(t, func() error {
		if got := runner.list(); !slices.Equal(got, []string{"Ill"}) || acknowledged() != 1 {
			return fmt.Errorf("%q taken", got)
		}
		return nil
	})
}

// picky is a runner that refuses some alerts.
type picky struct{ recorder }

// Take implements [relay.Runner].
func (p *picky) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	out := make([]journal.Decision, len(alerts))
	for i, a := range alerts {
		out[i] = journal.DecisionQueueFull
		if !strings.HasPrefix(a.Name(), "Refused") {
			_, _ = p.recorder.Take(ctx, alerts[i:i+1])
			out[i] = journal.DecisionQueued
		}
	}
	return out, nil
}

// hesitant is a runner that refuses what [picky] refuses, and other alerts once.
type hesitant struct {
	picky

	before map[string]bool // only the reader calls it
}

// Take implements [relay.Runner].
func (h *hesitant) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	out, err := h.picky.Take(ctx, alerts)
	for i, a := range alerts {
		if !h.before[a.Name()] {
			h.before[a.Name()] = true
			out[i] = journal.DecisionQueueFull
		}
	}
	return out, err
}

// Alerts that are refused are tried again although none was refused at the end of what was read
// before.
func TestRefusedComeAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	idle := start(t, server, "b", launch{idle: true})
	const page = relaystream.MaxRead / 2
	for i := range page {
		inject(t, idle, "b", relay.SignedEntry(token, "instance=b", alert(fmt.Sprintf("Refused%d", i), "b"), time.Now()))
	}
	inject(t, idle, "b", relay.SignedEntry(token, "instance=b", alert("Ill", "b"), time.Now()))
	b := start(t, server, "b", launch{runner: &hesitant{before: make(map[string]bool)}})
	eventually(t, func() error {
		s := b.Stats()
		if s.Entries[relay.Taken] != 1 || s.Entries[relay.Retried] < 1+4*page {
			return fmt.Errorf("%v", s.Entries)
		}
		return nil
	})
}

// Alerts that are refused again and again keep out no others.
func TestRefusedKeepOutNoOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	runner := &picky{}
	b := start(t, server, "b", launch{runner: runner})
	registered(t, b.redis, "b")
	for i := range 2*relaystream.MaxRead + 3 {
		inject(t, b, "b", relay.SignedEntry(token, "instance=b", alert(fmt.Sprintf("Refused%d", i), "b"), time.Now()))
	}
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Retried]; n < 2*relaystream.MaxRead+3 {
			return fmt.Errorf("%d tried", n)
		}
		return nil
	})
	inject(t, b, "b", relay.SignedEntry(token, "instance=b", alert("Ill", "b"), time.Now()))
	eventually(t, func() error {
		if got := runner.list(); !slices.Equal(got, []string{"Ill"}) {
			return fmt.Errorf("%q taken", got)
		}
		return nil
	})
}
