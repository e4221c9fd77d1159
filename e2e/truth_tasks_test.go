package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// awaitApp is an app for an ASGI server, whose requests wait until they are freed, or
// block the loop for SECONDS. The comments mark the lines.
const awaitApp = `import asyncio, os, time
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

here = os.path.dirname(os.path.abspath(__file__))
def freed(): return os.path.exists(here + "/free")

async def healthz(request): return PlainTextResponse("ok")

async def charge():
    while not freed(): await asyncio.sleep(0.2)  # pay

async def pay(request):
    await charge()
    return PlainTextResponse("ok")

async def catalogue(request):
    while not freed(): await asyncio.sleep(0.2)  # catalogue
    return PlainTextResponse("ok")

async def hold(request):
    time.sleep(SECONDS)  # hold
    return PlainTextResponse("ok")

async def spin(request):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end: pass  # spin
    return PlainTextResponse("ok")

class Passes(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)

shop = [Route("/catalogue", catalogue), Route("/hold", hold), Route("/spin", spin)]
app = Starlette(routes=[Route("/healthz", healthz), Route("/pay", pay), Mount("/shop", routes=shop)], middleware=[Middleware(Passes)])
`

// greenApp is the same for gevent.
const greenApp = `import os, time
from flask import Flask
from gevent import monkey

here = os.path.dirname(os.path.abspath(__file__))
app = Flask(__name__)
def freed(): return os.path.exists(here + "/free")

@app.get("/healthz")
def healthz(): return "ok"

def charge():
    while not freed(): time.sleep(0.2)  # pay

@app.get("/pay")
def pay():
    charge()
    return "ok"

@app.get("/shop/catalogue")
def catalogue():
    while not freed(): time.sleep(0.2)  # catalogue
    return "ok"

@app.get("/shop/hold")
def hold():
    monkey.get_original("time", "sleep")(SECONDS)  # hold
    return "ok"

@app.get("/shop/spin")
def spin():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end: pass  # spin
    return "ok"
`

// blockTime is how long requests block a loop on a machine with little to do, and
// longestBlock how long at most.
const blockTime, longestBlock = 10 * time.Second, 30 * time.Second

// spread puts empty lines into a source, at places that are drawn, and how long requests
// block the loop.
func spread(r *rand.Rand, source string, block time.Duration) string {
	var b strings.Builder
	source = strings.ReplaceAll(source, "SECONDS", fmt.Sprintf("%.1f", block.Seconds()))
	for part := range strings.SplitSeq(source, "\n\n") {
		b.WriteString(part + strings.Repeat("\n", 2+r.IntN(9)))
	}
	return b.String()
}

// lineOf returns the line of a source that a comment marks.
func lineOf(source, mark string) int {
	before, _, _ := strings.Cut(source, "# "+mark)
	return 1 + strings.Count(before, "\n")
}

// inLine is a thread or task of the status: its view and its line.
type inLine struct {
	view string
	line int
}

// threadsOf returns how many tasks the status has in each line, and what the
// threads of the loops are in.
func (x *exporter) threadsOf(t *testing.T, app string) (tasks map[inLine]int, threads map[inLine]bool) {
	t.Helper()
	_, body, err := x.get("/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Apps []struct {
			Name    string
			Workers []struct {
				Threads []struct {
					Task bool
					On   string
					View *string
					Line *int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	tasks, threads = map[inLine]int{}, map[inLine]bool{}
	for _, a := range s.Apps {
		for _, w := range a.Workers {
			for _, x := range w.Threads {
				if a.Name != app || x.View == nil || x.Line == nil {
					continue
				}
				switch at := (inLine{*x.View, *x.Line}); {
				case !x.Task:
					threads[at] = true
				case x.On == "loop":
					tasks[at]++
				}
			}
		}
	}
	return tasks, threads
}

// TestTruthTasks checks that the requests that wait in an event loop are reported with
// their views, lines and exact number, and so is the line that blocks a loop. A seed draws
// how many wait in which view, and on which lines.
func TestTruthTasks(t *testing.T) {
	t.Parallel()
	need(t, "uvicorn", "gunicorn", "hypercorn")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	block := min(scaled(blockTime), longestBlock)
	asgi, green := spread(r, awaitApp, block), spread(r, greenApp, block)
	all := stacks(t, 0,
		stackOf{kind: "uvicorn", server: "uvicorn", workers: 1, args: []string{"--interface", "asgi3"}, loop: true, source: asgi},
		stackOf{kind: "gunicorn UvicornWorker", server: "gunicorn", workers: 1, args: []string{"-k", "uvicorn.workers.UvicornWorker"}, loop: true, source: asgi},
		stackOf{kind: "hypercorn", server: "hypercorn", workers: 1, loop: true, source: asgi},
		stackOf{kind: "gunicorn gevent", server: "gunicorn", workers: 1, args: []string{"-k", "gevent"}, loop: true, source: green},
	)
	x := watch(t, export{config: shortTimes(all)})
	for _, s := range all {
		s.client.Timeout = 20 * time.Minute // a server may cancel a request whose client is gone
		source := asgi
		if strings.Contains(s.kind, "gevent") {
			source = green
		}
		counts := map[string]int{"pay": 1 + r.IntN(5), "catalogue": r.IntN(5)}
		t.Run(s.kind, func(t *testing.T) {
			t.Parallel()
			x.knowsTasks(t, s, source, counts, block)
		})
	}
}

// knowsTasks sends so many requests of each view, and then some that block the loop for
// that long.
func (x *exporter) knowsTasks(t *testing.T, s *stack, source string, counts map[string]int, block time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	want := map[inLine]int{}
	for view, n := range counts {
		for range n {
			want[inLine{view, lineOf(source, view)}]++
			wg.Go(func() { s.get(map[string]string{"pay": "/pay", "catalogue": "/shop/catalogue"}[view]) })
		}
	}
	app := "app=" + s.name
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		tasks, _ := x.threadsOf(t, s.name)
		errs := []error{}
		if !maps.Equal(tasks, want) {
			errs = append(errs, fmt.Errorf("%s: tasks %v, want %v", s.kind, tasks, want))
		}
		for view, n := range counts {
			if n > 0 {
				errs = append(errs, m.want(float64(n), "resp_view_requests_in_flight", app, "view="+view))
			}
		}
		if age, _ := m.sum("resp_http_oldest_request_age_seconds", app); age < 1 {
			errs = append(errs, fmt.Errorf("the oldest request is %.1f s old", age))
		}
		return all(errs...)
	})
	for view, n := range counts {
		if n > 0 {
			x.addsSeconds(t, app, view, n)
		}
	}
	write(t, filepath.Join(s.dir, "free"), "")
	wg.Wait()
	for _, view := range []string{"hold", "spin"} {
		x.knowsBlocker(t, s, inLine{view, lineOf(source, view)}, block)
	}
}

// addsSeconds checks that so many requests in a view add so many seconds a second.
func (x *exporter) addsSeconds(t *testing.T, app, view string, n int) {
	t.Helper()
	seconds := func() float64 {
		v, _ := x.scrape(t).sum("resp_view_seconds_total", app, "view="+view, "on=loop")
		return v
	}
	began, before := time.Now(), seconds()
	eventually(t, 30*time.Second, func() error {
		if got := seconds() - before; got < 2*float64(n) {
			return fmt.Errorf("%.1f s of %d requests in %s", got, n, view)
		}
		return nil
	})
	if got, most := seconds()-before, (time.Since(began)+scaled(2*time.Second)).Seconds()*float64(n); got > most {
		t.Errorf("%.1f s of %d requests in %s, at most %.1f", got, n, view, most)
	}
}

// knowsBlocker sends a request that blocks the loop in a line for that long.
func (x *exporter) knowsBlocker(t *testing.T, s *stack, at inLine, block time.Duration) {
	t.Helper()
	blocked := func() float64 {
		v, _ := x.scrape(t).sum("resp_worker_loop_blocked_seconds_total", "app="+s.name)
		return v
	}
	before, began := blocked(), time.Now()
	done := make(chan int, 1)
	go func() { done <- s.get("/shop/" + at.view) }()
	seen := false
	for status := 0; status == 0; {
		_, threads := x.threadsOf(t, s.name)
		seen = seen || threads[at]
		select {
		case status = <-done:
			if status != http.StatusOK {
				t.Fatalf("%s: status %d", s.kind, status)
			}
		case <-time.After(300 * time.Millisecond):
		}
	}
	took := time.Since(began).Seconds()
	eventually(t, 2*time.Second, func() error { // the last seconds may be counted later
		if got := blocked() - before; got < 0.5*block.Seconds() || got > took+0.5 || !seen {
			return fmt.Errorf("%s: %s blocked for %.2f s of %s, line %d seen: %v", s.kind, at.view, got, block, at.line, seen)
		}
		return nil
	})
}
