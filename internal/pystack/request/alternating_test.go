package request_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// While a worker goes from request to request, each look that is believed shows
// one of them, and nothing of the next.
func TestAlternating(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			routes := draw(rng, []string{"quick", "quick", "plain"})
			s := open(t, python, "sync", routes)
			found, free := s.send(drawAsk(rng, routes[2])) // the process starts the request
			free()
			stop := s.load(routes[:2])
			defer stop()
			records, wrong := s.watch(found, routes, 100)
			if wrong > 0 || len(records) != 2 {
				t.Errorf("%d wrong, of each %v", wrong, records)
			}
		})
	}
}

// load sends requests to routes in turn, marked by their method, until stop is
// called.
func (s *shop) load(routes []route) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			r := routes[i%len(routes)]
			method := []string{http.MethodGet, http.MethodPost}[i%2]
			req, err := http.NewRequestWithContext(ctx, method, "http://shop"+strings.Replace(r.Rule, "<value>", r.Endpoint, 1), nil)
			if err != nil {
				s.t.Error(err)
				return
			}
			if resp, err := s.client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	})
	return func() { cancel(); group.Wait() }
}

// watch reads a thread until it has seen most requests. It returns how many of each view it
// has seen, and how many looks had parts that contradict each other.
func (s *shop) watch(found truth, routes []route, most int) (records map[string]int, wrong int) {
	s.t.Helper()
	w := s.worker(found.PID)
	thread, stack := &request.Thread{}, pystack.Stack{}
	records = map[string]int{}
	n, last := 0, time.Time{}
	s.wait("enough requests", func() bool {
		for range 200 {
			var got request.Request
			outcome := w.process.LookThen(found.TID, &stack, func(stack *pystack.Stack) error {
				w.reader.Read(thread, stack, time.Now(), &got)
				return nil
			})
			if outcome != pystack.OK || !stack.Frozen || got.View == "" || got.Route == "" {
				continue
			}
			if !agrees(got, routes) {
				s.t.Errorf("%+v", got)
				wrong++
			}
			if !got.Started.Equal(last) {
				last = got.Started
				records[got.View]++
				n++
			}
		}
		return n >= most
	})
	return records, wrong
}

// agrees reports whether all that is known of a request belongs to one of two
// routes.
func agrees(got request.Request, routes []route) bool {
	for i, r := range routes[:2] {
		if got.View == r.Endpoint {
			age := time.Since(got.Started)
			return got.InHand && got.Route == r.Rule && got.Method == []string{"GET", "POST"}[i] &&
				got.Path == strings.Replace(r.Rule, "<value>", r.Endpoint, 1) && age > -time.Second && age < time.Minute
		}
	}
	return false
}
