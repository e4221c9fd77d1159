package watch_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
)

// source is a sampler that has seen each request to two views, of which one leaks.
type source struct {
	mu    sync.Mutex
	h     *host
	rng   *rand.Rand
	start uint64
	anon  float64
	seen  views.Seen
	busy  bool
	known bool
}

func (s *source) Quiet(int, uint64) (quiet, known bool) { return !s.busy, s.known }

func (s *source) TakeViews(int, uint64) *views.Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.seen
	s.seen = views.Seen{}
	return &out
}

// pass makes requests arrive for some seconds.
func (s *source) pass(seconds float64, leaks bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range int(seconds / 5) {
		s.seen.Looks += 50
		for _, name := range []string{"pay", "list"} {
			n := uint64(s.rng.IntN(4))
			s.seen.Views = append(s.seen.Views, views.View{Name: name, Requests: n})
			if name == "pay" && leaks {
				s.anon += float64(n) * 20000
			}
		}
	}
	s.h.write(77, s.start, s.anon)
}

func TestViews(t *testing.T) {
	for name, c := range map[string]struct {
		leaks, busy, known, named bool
		hours                     int
	}{
		"one leaks":                      {true, false, true, true, 3},
		"none leaks":                     {false, false, true, false, 2},
		"requests are never over":        {true, true, true, true, 8},
		"the views are not known at all": {true, false, false, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{t: t, root: t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := &source{h: h, rng: rand.New(rand.NewPCG(1, 2)), start: 500, anon: 50e6, busy: c.busy, known: c.known}
				w := watch.New(watch.Options{
					Apps: h, ProcRoot: h.root, Interval: func() time.Duration { return 30 * time.Second },
					Requests: func(string) (float64, bool) { return 0, false }, Views: s,
				})
				h.worker(77, time.Now())
				s.pass(0, false)
				done := make(chan error)
				go func() { done <- w.Run(ctx) }()
				time.Sleep(time.Second) // the watcher does nothing while requests pass
				for range c.hours * 720 {
					time.Sleep(5 * time.Second)
					synctest.Wait()
					s.pass(5, c.leaks)
				}
				if found, ok := w.Of("shop", 2, 77); !ok || found.Leak != c.leaks {
					t.Errorf("%+v, %v", found, ok)
				}
				named := w.Views("shop")
				if c.named != (len(named) == 1 && named[0].View == "pay") || !c.named && len(named) > 0 {
					t.Errorf("%+v", named)
				}
				if w.Views("blog") != nil || w.DroppedViews() != 0 {
					t.Error("views of an app that does not exist")
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
