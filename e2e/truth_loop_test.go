package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// loopApp is an app of an event loop: its requests block the loop, or wait within
// it.
const loopApp = `import asyncio, time

async def app(scope, receive, send):
    if scope["type"] != "http": return
    _, kind, ms = (scope["path"] + "/0").split("/")[:3]
    if kind == "block": time.sleep(int(ms) / 1000)
    if kind == "wait": await asyncio.sleep(int(ms) / 1000)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
`

// loops starts an app of an event loop and adds it to the exporter's configuration.
func (x *exporter) loops(t *testing.T) {
	t.Helper()
	need(t, "uvicorn")
	source := write(t, filepath.Join(openDir(t), "loops.py"), loopApp)
	a := serve(t, launch{server: "uvicorn", name: unique("loops"), source: source, args: []string{"--interface", "asgi3", "--lifespan", "off"}})
	x.configure(t, a)
	eventually(t, 40*time.Second, func() error { return x.scrape(t).has("resp_worker_loop_blocked_seconds_total", "app="+a.name) })
}

// configure adds an app to the exporter's configuration, and reloads that.
func (x *exporter) configure(t *testing.T, a *app) {
	t.Helper()
	text, err := os.ReadFile(x.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, x.config, strings.Replace(string(text), "\napps:\n", fmt.Sprintf("\napps:\n  - {name: %s, match: {listen: %q}}\n", a.name, a.listen), 1))
	if err := x.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestTruthLoopBlocked checks that an event loop that a request blocks is distinguished
// from one in which requests wait, and from one without requests.
func TestTruthLoopBlocked(t *testing.T) {
	t.Parallel()
	need(t, "uvicorn")
	s := stacks(t, 0, stackOf{kind: "uvicorn", server: "uvicorn", workers: 1, args: []string{"--interface", "asgi3", "--lifespan", "off"}, loop: true, source: loopApp})[0]
	x := watch(t, export{config: shortTimes([]*stack{s})})
	app := "app=" + s.name
	seconds := func(name string, pairs ...string) float64 {
		v, _ := x.scrape(t).sum(name, append([]string{app}, pairs...)...)
		return v
	}
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(m.has("resp_worker_loop_blocked_seconds_total", app), m.has("resp_worker_wait_seconds_total", app, "on=idle"))
	})
	before := seconds("resp_worker_loop_blocked_seconds_total")
	began := time.Now()
	const times, each = 4, 1500 * time.Millisecond
	for range times {
		if status := s.get(fmt.Sprintf("/block/%d", each.Milliseconds())); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	took := time.Since(began).Seconds()
	eventually(t, 2*time.Second, func() error { // the last seconds may be counted later
		if got := seconds("resp_worker_loop_blocked_seconds_total") - before; got < 0.6*(times*each).Seconds() || got > took {
			return fmt.Errorf("blocked for %.2f s, truth %.2f to %.2f s", got, (times * each).Seconds(), took)
		}
		return nil
	})
	before = seconds("resp_worker_loop_blocked_seconds_total")
	var wg sync.WaitGroup
	long := min(scaled(8*time.Second), 35*time.Second) // less than the client waits
	for range 2 {
		wg.Go(func() { s.get(fmt.Sprintf("/wait/%d", long.Milliseconds())) })
	}
	eventually(t, 20*time.Second, func() error {
		if got := seconds("resp_worker_wait_seconds_total", "on=loop"); got < 1 {
			return fmt.Errorf("%.2f s in the loop with requests", got)
		}
		return nil
	})
	wg.Wait()
	if got := seconds("resp_worker_loop_blocked_seconds_total") - before; got > 0.5 {
		t.Errorf("blocked for %.2f s by requests that wait", got)
	}
}
