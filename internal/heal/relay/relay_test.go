package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// An alert that two receivers get is taken once by the exporter that it is about, and both
// receivers know it. What is about no other host is the receiver's own.
func TestRelay(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, c, b := start(t, server, "a", launch{}), start(t, server, "c", launch{}), start(t, server, "b", launch{idle: true})
	registered(t, a.redis, "a")
	b2 := start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	nobody := alert("Heartbeat", "")
	delete(nobody.Labels, "instance")
	notification := []action.Alert{alert("Own", "a"), alert("Ill", "b"), nobody, alert("Ill", "b")}
	if d, err := a.Take(t.Context(), notification); err != nil || len(d) != 2 {
		t.Fatalf("%v, %v", d, err)
	}
	if _, err := c.Take(t.Context(), notification[1:2]); err != nil {
		t.Fatal(err)
	}
	took(t, a, "Own", "Heartbeat")
	took(t, b2, "Ill")
	delivered(t, a, 1)
	delivered(t, c, 1)
	counted(t, a.Stats().Alerts, map[relay.Outcome]uint64{relay.Accepted: 1, relay.Repeated: 1, relay.Delivered: 1})
	if s := a.Stats(); !s.On || !s.Up || len(b.runner.list()) != 0 {
		t.Errorf("%+v", s)
	}
	// The same alert once more, hours later: it is the runner's to decide.
	if _, err := a.Take(t.Context(), notification[1:2]); err != nil {
		t.Fatal(err)
	}
	took(t, b2, "Ill", "Ill")
}

// Without the Redis alerts about others are refused, and those about this host are not.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	server.Stop()
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b"), alert("Own", "a")}); !errors.Is(err, relay.ErrRedis) {
		t.Errorf("without a Redis: %v", err)
	}
	took(t, a, "Own")
	counted(t, a.Stats().Alerts, map[relay.Outcome]uint64{relay.Refused: 1})
	if a.Stats().Up {
		t.Error("it is up")
	}
	server.Restart()
	accepts(t, a, alert("Ill", "b")) // once b has registered again; until then its absence is not believed
	took(t, b, "Ill")
	delivered(t, a, 1)
}

// A Redis that loses its data between the relay and the reading loses no alert.
func TestDataLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	b.stop()
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if a.Stats().Sends == 0 {
			return errors.New("nothing is sent")
		}
		return nil
	})
	server.Stop()
	server.Restart()
	again := start(t, server, "b", launch{})
	took(t, again, "Ill")
	delivered(t, a, 1)
	if s := a.Stats(); s.Sends != 2 || s.Resends != 1 {
		t.Errorf("sent %d times, %d again", s.Sends, s.Resends)
	}
}

// An acknowledgement that is lost leads to a second entry, and to no second run.
func TestAcknowledgementLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{idle: true}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b")}); err != nil {
		t.Fatal(err)
	}
	a.Send(t)
	took(t, b, "Ill")
	eventually(t, func() (err error) { // it is written after the alert is taken
		do(t, a.redis, func(ctx context.Context, c driver.UniversalClient) error {
			keys := c.Keys(ctx, "resp:heal:relay:ack:*").Val()
			if len(keys) != 1 {
				err = fmt.Errorf("%d acknowledgements", len(keys))
				return nil
			}
			return c.Del(ctx, keys...).Err()
		})
		return err
	})
	time.Sleep(time.Second)
	a.Send(t)
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Duplicate]; n != 1 {
			return fmt.Errorf("%d duplicates", n)
		}
		return nil
	})
	took(t, b, "Ill")
}

// A full queue acknowledges nothing: the entry is read again until it is taken.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	b.runner.set(journal.DecisionQueueFull)
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "b")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Retried]; n < 2 {
			return fmt.Errorf("tried %d times", n)
		}
		return nil
	})
	if s := a.Stats(); s.Waiting != 1 || s.Oldest <= 0 {
		t.Errorf("%+v", s)
	}
	// Meanwhile it is resolved: the alert starts nothing any more.
	resolved := alert("Ill", "b")
	resolved.Resolved, resolved.EndsAt = true, time.Now()
	if _, err := a.Take(t.Context(), []action.Alert{resolved}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Resolved]; n != 1 {
			return fmt.Errorf("%d resolved", n)
		}
		return nil
	})
	b.runner.set("")
	took(t, b, "Ill/resolved")
	delivered(t, a, 2)
}

// The end of the request that came first is not that of the others: what is accepted with it is
// accepted, and the relay counts as up. Who waits for their turn waits no longer than they want.
func TestFirstRequestEnds(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := start(t, server, "a", launch{idle: true})
	start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	unlock := a.Hold(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	for i, ctx := range []context.Context{ctx, t.Context()} {
		go func() {
			_, err := a.Take(ctx, []action.Alert{alert(fmt.Sprintf("Ill%d", i), "b")})
			results <- err
		}()
		eventually(t, func() error {
			if n := a.Queued(); n != i+1 {
				return fmt.Errorf("%d wait", n)
			}
			return nil
		})
		time.Sleep(50 * time.Millisecond) // they come in this order to the lock
	}
	held, release := make(chan struct{}), make(chan struct{})
	go func() { // another reader of the Redis has its turn
		_ = a.redis.WithKeys(t.Context(), func(context.Context, *redis.Link) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	unlock()
	eventually(t, func() error {
		if n := a.Queued(); n != 0 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	cancel()
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := a.Take(short, []action.Alert{alert("Late", "b")}); !errors.Is(err, context.DeadlineExceeded) || len(results) > 0 {
		t.Errorf("a short wait: %v, %d were answered before", err, len(results))
	}
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if s := a.Stats(); !s.Up || s.Waiting != 2 {
		t.Errorf("up %t, %d wait", s.Up, s.Waiting)
	}
}

// A host without an exporter is counted and shown; right after the Redis has lost its
// data nobody is called absent.
func TestUnregistered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := start(t, server, "a", launch{})
	registered(t, a.redis, "a")
	do(t, a.redis, func(ctx context.Context, c driver.UniversalClient) error {
		return c.Del(ctx, "resp:heal:relay:continuous").Err()
	})
	if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "z")}); !errors.Is(err, relay.ErrIncomplete) {
		t.Errorf("%v", err)
	}
	registered(t, a.redis, "a")
	for range 2 {
		if _, err := a.Take(t.Context(), []action.Alert{alert("Ill", "z")}); err != nil {
			t.Error(err)
		}
	}
	s := a.Stats()
	counted(t, s.Alerts, map[relay.Outcome]uint64{relay.Refused: 1, relay.Unregistered: 2})
	if len(s.Missing) != 1 || s.Missing[0].Host != "z" || s.Missing[0].Alerts != 2 || s.Missing[0].Alert != "Ill" {
		t.Errorf("%+v", s.Missing)
	}
	start(t, server, "z", launch{})
	registered(t, a.redis, "z")
	accepts(t, a, alert("Ill", "z"))
	if len(a.Stats().Missing) != 0 {
		t.Error("it is still missing")
	}
}

// Waiting alerts survive any end of the receiver: one without notice, or a torn line.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dir := stateDir(t)
	a, b := start(t, server, "a", launch{dir: dir, idle: true}), start(t, server, "b", launch{})
	registered(t, a.redis, "b")
	if _, err := a.Take(t.Context(), []action.Alert{alert("One", "b"), alert("Two", "b")}); err != nil {
		t.Fatal(err)
	}
	a.stop()
	file := filepath.Join(dir, "relay.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old, _, _ := strings.Cut(string(text), "\n")
	old = strings.Replace(old, `"item":"`, `"item":"`, 1)
	broken := "{}\nnonsense\n" + strings.Replace(old, `"address":"instance=b"`, `"address":"instance"`, 1) + "\n" + old[:40]
	if err := os.WriteFile(file, append(text, broken...), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, server, "a", launch{dir: dir})
	took(t, b, "One", "Two")
	delivered(t, again, 2)
	again.stop()
	last := start(t, server, "a", launch{dir: dir})
	time.Sleep(100 * time.Millisecond)
	if n := last.Stats().Waiting; n != 0 {
		t.Errorf("%d wait after a restart", n)
	}
}

// What is not acknowledged within an hour is lost, counted and no longer kept.
func TestLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dir := stateDir(t)
	a, b := start(t, server, "a", launch{dir: dir, idle: true}), start(t, server, "b", launch{token: "another"})
	registered(t, a.redis, "b")
	if _, err := a.Take(t.Context(), []action.Alert{alert("One", "b")}); err != nil {
		t.Fatal(err)
	}
	a.stop()
	file := filepath.Join(dir, "relay.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`"since":"\d{4}`).ReplaceAllString(string(text), `"since":"2001`)
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, server, "a", launch{dir: dir})
	eventually(t, func() error {
		if s := again.Stats(); s.Alerts[relay.Lost] != 1 || s.Waiting != 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if len(b.runner.list()) != 0 {
		t.Error("it was taken")
	}
}

// An entry by another token is dropped, and an alert that is too large for an entry is
// counted.
func TestBounds(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := start(t, server, "a", launch{}), start(t, server, "b", launch{token: "another"})
	registered(t, a.redis, "b")
	large := alert("Large", "b")
	large.Annotations["description"] = strings.Repeat("x", 65<<10)
	if _, err := a.Take(t.Context(), []action.Alert{large, alert("Ill", "b")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := b.Stats().Entries[relay.Forged]; n != 1 {
			return fmt.Errorf("%d forged", n)
		}
		return nil
	})
	counted(t, a.Stats().Alerts, map[relay.Outcome]uint64{relay.Accepted: 1, relay.Oversized: 1})
	counted(t, a.Stats().Bounds, map[relay.Bound]uint64{relay.BoundEntry: 1})
	// More than may wait are refused, all of them.
	var many []action.Alert
	for i := range relay.MaxWaiting {
		many = append(many, alert(fmt.Sprint(i), "b"))
	}
	if _, err := a.Take(t.Context(), many); !errors.Is(err, relay.ErrFull) {
		t.Errorf("%v", err)
	}
	if s := a.Stats(); s.Bounds[relay.BoundWaiting] == 0 || s.Waiting != 1 {
		t.Errorf("%d wait", s.Waiting)
	}
}
