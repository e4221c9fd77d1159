package request_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// stylesOf returns how the app of a kind of server may handle a request.
func stylesOf(kind string) []string {
	switch kind {
	case "django":
		return []string{"plain", "decorated", "class", "early"}
	case "starlette":
		return []string{"plain", "blocking"}
	case "uwsgi": // it calls the app's iterator from no frame
		return []string{"plain", "decorated", "class", "early", "missing"}
	}
	return []string{"plain", "decorated", "class", "early", "stream", "missing"}
}

// expect changes the expected values to those of an app of a kind.
func (a *ask) expect(kind string) {
	switch a.Style {
	case "stream":
		a.view, a.Rule = "stream.<locals>.pieces", ""
	case "missing":
		a.view, a.Rule = "missing", ""
	}
	switch kind {
	case "django":
		a.Rule = strings.ReplaceAll(strings.TrimPrefix(a.Rule, "/"), "<value>", "<str:value>")
		switch a.view = "pages.plain"; a.Style {
		case "class":
			a.view = "pages.Resource"
		case "early":
			a.view, a.Rule = "Early.__call__", ""
		}
	case "starlette":
		a.view, a.Rule = a.Style, ""
		if a.Style == "plain" { // in a thread, without a frame that knows more
			a.method, a.path = "", ""
		}
	}
	if a.method == "BREW" {
		a.method = "other"
	}
}

// The request that a worker has in hand is the one that was sent, with each server
// and each interpreter.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		for kind := range servers(python, "", "") {
			if kind == "sync" && python != debian {
				continue // TestAlternating has it
			}
			t.Run(kind+python, func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				rng := rand.New(rand.NewPCG(seed, 0))
				routes := draw(rng, stylesOf(kind))
				s := open(t, python, kind, slices.DeleteFunc(slices.Clone(routes), func(r route) bool { return r.Style == "missing" }))
				rounds := 1
				if python == debian {
					rounds = 2
				}
				rng.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
				for round := range rounds {
					for _, r := range routes {
						s.check(kind, drawAsk(rng, r), round)
					}
				}
			})
		}
	}
}

// check sends a request and compares what is read of it with what was sent.
func (s *shop) check(kind string, a ask, round int) {
	s.t.Helper()
	sent := time.Now()
	found, free := s.send(a)
	defer free()
	a.expect(kind)
	for range 2 {
		got, _ := s.look(found.PID, found.TID)
		want := request.Request{InHand: true, View: a.view, Route: a.Rule, Method: a.method, Path: a.path, Started: got.Started}
		if s.worker(found.PID).process.Version().Minor < 11 { // it has no qualified names
			want.View = a.view[strings.LastIndexByte(a.view, '.')+1:]
		}
		if got != want {
			s.t.Errorf("round %d, %s %s:\ngot  %+v\nwant %+v", round, a.Style, a.target, got, want)
		}
		if s.start {
			s.between(sent, got.Started, found.Time)
		} else if !got.Started.IsZero() {
			s.t.Errorf("started %v", got.Started)
		}
	}
	s.unmoved(found)
	if counts := s.worker(found.PID).reader.Objects().Counts; counts.Wild > 0 {
		s.t.Errorf("wild addresses: %+v", counts)
	}
}

// unmoved checks that a look at a thread that has not run since the last one reads nothing,
// and returns the same.
func (s *shop) unmoved(found truth) {
	s.t.Helper()
	want, stack := s.look(found.PID, found.TID)
	w := s.worker(found.PID)
	var got request.Request
	calls := w.memory.Calls()
	w.reader.Read(w.threads[found.TID], &stack, time.Now(), &got)
	if got != want || w.memory.Calls() != calls {
		s.t.Errorf("got %+v with %d calls, want %+v", got, w.memory.Calls()-calls, want)
	}
}

// between checks that a request started after it was sent and before its handler.
func (s *shop) between(sent, started time.Time, handled float64) {
	s.t.Helper()
	const rounding = time.Millisecond
	if started.Before(sent.Add(-rounding)) || started.After(time.UnixMicro(int64(handled*1e6)).Add(rounding)) {
		s.t.Errorf("sent %v, started %v, handled %f", sent, started, handled)
	}
}

// Threads of a pool are idle while they wait for work, and only then.
func TestIdlePools(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"gthread", "waitress"} {
		t.Run(kind, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			routes := draw(rng, []string{"plain"})
			s := open(t, debian, kind, routes)
			var free []func()
			for range 3 { // so that gthread has its three threads
				_, f := s.send(drawAsk(rng, routes[0]))
				free = append(free, f)
			}
			free[1]()
			free[2]()
			// A thread that has answered needs a moment to come back to its pool.
			s.wait("one thread is idle and two are not", func() bool {
				found, f := s.send(drawAsk(rng, routes[0]))
				defer f()
				idle, busy := s.count(found)
				if busy < 2 || idle+busy > 3 {
					t.Fatalf("%d threads are idle, %d busy", idle, busy)
				}
				return idle == 1 && busy == 2
			})
			free[0]()
		})
	}
}

// count returns how many threads of a process are idle ones of a pool, and how
// many have a request in hand.
func (s *shop) count(found truth) (idle, busy int) {
	s.t.Helper()
	tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(found.PID), "task"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			s.t.Fatal(err)
		}
		got, _ := s.look(found.PID, tid)
		if got.InHand {
			busy++
		}
		if got.IdlePool {
			idle++
		}
	}
	return idle, busy
}
