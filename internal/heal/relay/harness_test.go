package relay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

const token = "s3cret-token-of-the-webhook"

// recorder is a runner that records what it takes.
type recorder struct {
	mu     sync.Mutex
	taken  []string // names of alerts, with "/resolved"
	answer journal.Decision
}

// Take implements [relay.Runner].
func (r *recorder) Take(_ context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]journal.Decision, len(alerts))
	for i, a := range alerts {
		out[i] = journal.DecisionQueued
		if r.answer != "" {
			out[i] = r.answer
			continue
		}
		name := a.Name()
		if a.Resolved {
			name += "/resolved"
		}
		r.taken = append(r.taken, name)
	}
	if r.answer == journal.DecisionQueueFull {
		return out, errors.New("full")
	}
	return out, nil
}

func (r *recorder) set(d journal.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = d
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

// exporter is one end of the relay.
type exporter struct {
	*relay.Relay

	runner *recorder
	redis  *redis.Server
	store  *journal.Store
	stop   func()
}

// launch describes an exporter to be started.
type launch struct {
	dir   string // of its state; "": a new one
	token string // "": token
	idle  bool   // its loops do not run

	runner relay.Runner // nil: a recorder
}

// start starts the exporter of a host. It ends with the test.
func start(t *testing.T, server *redistest.Server, host string, o launch) *exporter {
	t.Helper()
	if o.dir == "" {
		o.dir = stateDir(t)
	}
	if o.token == "" {
		o.token = token
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(o.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := journal.Open(o.dir, journal.FileSize)
	if err != nil {
		t.Fatal(err)
	}
	x := &exporter{runner: &recorder{}, redis: server.Open(), store: store}
	if o.runner == nil {
		o.runner = x.runner
	}
	x.Relay = relay.New(relay.Options{
		Runner: o.runner, Store: func() *journal.Store { return store }, Redis: func(string) *redis.Server { return x.redis },
		Settings: func() relay.Settings {
			return relay.Settings{Redis: "cache", TokenFile: file, Label: "instance", Value: host}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !o.idle {
			_ = x.Run(ctx)
		}
	}()
	x.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		_ = store.Close()
	})
	t.Cleanup(x.stop)
	return x
}

// stateDir returns the path of a state directory that does not exist yet.
func stateDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

var began = time.Now().Add(-time.Minute).UTC()

// alert returns a firing alert about a host.
func alert(name, host string) action.Alert {
	return action.Alert{
		Labels: map[string]string{"alertname": name, "instance": host}, Annotations: map[string]string{"summary": "it is <ill>"},
		StartsAt: began, Fingerprint: fmt.Sprintf("%x", name+host),
	}
}

// eventually waits until f returns no error, at most for a minute.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within a minute: %v", err)
}

// accepts waits until a receiver accepts alerts, as Alertmanager does.
func accepts(t *testing.T, x *exporter, alerts ...action.Alert) {
	t.Helper()
	eventually(t, func() error { _, err := x.Take(t.Context(), alerts); return err })
}

// took waits until an exporter has taken exactly the alerts.
func took(t *testing.T, x *exporter, names ...string) {
	t.Helper()
	eventually(t, func() error {
		if got := x.runner.list(); !slices.Equal(got, names) {
			return fmt.Errorf("%q taken, want %q; %+v", got, names, x.Stats())
		}
		return nil
	})
}

// delivered waits until a receiver waits for no acknowledgement.
func delivered(t *testing.T, x *exporter, n uint64) {
	t.Helper()
	eventually(t, func() error {
		if s := x.Stats(); s.Waiting > 0 || s.Alerts[relay.Delivered] != n {
			return fmt.Errorf("%d wait, %d delivered, want %d", s.Waiting, s.Alerts[relay.Delivered], n)
		}
		return nil
	})
}

// registered waits until an exporter is registered, and makes the registrations count as
// complete.
func registered(t *testing.T, s *redis.Server, host string) {
	t.Helper()
	eventually(t, func() error {
		var there int64
		err := s.WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error {
			there = l.Client().Exists(ctx, "resp:heal:relay:member:{instance="+host+"}").Val()
			return l.Client().Set(ctx, "resp:heal:relay:continuous", time.Now().Add(-time.Minute).UnixMilli(), time.Minute).Err()
		})
		if there == 0 {
			return errors.Join(err, errors.New("not registered"))
		}
		return err
	})
}

// do runs f on the server's keys.
func do(t *testing.T, s *redis.Server, f func(ctx context.Context, c driver.UniversalClient) error) {
	t.Helper()
	if err := s.WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error { return f(ctx, l.Client()) }); err != nil {
		t.Fatal(err)
	}
}

// counted checks counters; those that are not named are 0.
func counted[K comparable](t *testing.T, got, want map[K]uint64) {
	t.Helper()
	got = maps.Clone(got)
	maps.DeleteFunc(got, func(_ K, n uint64) bool { return n == 0 })
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
