package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// instrumented is an app with the app side. Each worker says at /self what its memory
// file counts. With $IMPORTS, a directory, it uses a pool of SQLAlchemy while it is
// imported, and a task writes the pid of each run there.
const instrumented = `import os, sys, threading, time
sys.path.insert(0, os.environ["INTEGRATION"])
import resp_flask
from flask import Flask, jsonify, Response
app = application = Flask(__name__)
resp = resp_flask.init_app(app, name=os.environ["NAME"], statsd=os.environ["STATSD"], control_dir=os.environ.get("CONTROL", ""), lock_dir=os.environ.get("IMPORTS"))
imports = os.environ.get("IMPORTS")

def checkout():
    if imports:
        with engine.connect(): pass

if imports:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import QueuePool
    engine = create_engine("sqlite://", poolclass=QueuePool, connect_args={"check_same_thread": False})
    resp.pool(engine)
    checkout()

    @resp.task("mark", every=0.2)
    def mark():
        with open(imports + "/runs", "a") as f: f.write("%d " % os.getpid())

@app.get("/healthz")
def healthz(): return "ok"

@app.get("/items/<int:n>")
def item(n):
    checkout()
    return "item %d" % n

@app.get("/stream")
def stream(): return Response(iter([b"a" * 1000] * 5))

@app.get("/broken")
def broken(): raise ValueError("broken on purpose")

@app.get("/slow/<int:ms>")
def slow(ms):
    with open(os.environ["STARTED"], "a") as f: f.write("%d " % os.getpid())
    time.sleep(ms / 1000)
    return "ok"

@app.get("/self")
def self():
    m = resp.here()
    return jsonify(pid=os.getpid(), file=os.fstat(m.fd).st_ino, owner=m.pid, counted=m.requests, lost=m.lost, errors=m.errors, slots=len(m.free), threads=threading.active_count(), files=len(os.listdir("/proc/self/fd")))
`

// flaskServers are the servers with the app side.
var flaskServers = []struct {
	name, server string
	args         []string
	workers      int
	imports      bool // the app uses its pool while it is imported, and has a task
}{
	{"gunicorn sync", "gunicorn", []string{"-w", "3"}, 3, false},
	{"gunicorn gthread", "gunicorn", []string{"-w", "2", "--threads", "4"}, 2, false},
	{"gunicorn gevent", "gunicorn", []string{"-w", "2", "-k", "gevent"}, 2, false},
	{"gunicorn preload", "gunicorn", []string{"-w", "3", "--preload"}, 3, false},
	{"gunicorn preload, pool at import", "gunicorn", []string{"-w", "2", "--preload"}, 2, true},
	{"uWSGI threads", "uwsgi", []string{"--processes", "2", "--threads", "2"}, 2, false},
	{"uWSGI lazy-apps", "uwsgi", []string{"--processes", "2", "--lazy-apps"}, 2, false},
	{"uWSGI pool at import", "uwsgi", []string{"--processes", "3", "--threads", "2"}, 3, true},
	{"uWSGI master, pool at import", "uwsgi", []string{"--master", "--processes", "2", "--threads", "2"}, 2, true},
}

// flaskWorker is what a worker says of itself.
type flaskWorker struct {
	PID, File, Owner, Counted, Lost, Errors, Slots, Threads, Files int
}

// serveFlask starts an app with the app side that reports to x. gunicorn ends no worker that
// serves one request for as long as a test lasts.
func serveFlask(t *testing.T, x *exporter, server string, args []string, env ...string) *app {
	t.Helper()
	path, err := filepath.Abs(integration)
	if err != nil {
		t.Fatal(err)
	}
	name := unique("inside")
	source := write(t, filepath.Join(t.TempDir(), "app.txt"), instrumented)
	dir := openDir(t)
	if server == "gunicorn" {
		args = append([]string{"--timeout", "600"}, args...)
	}
	env = append([]string{"INTEGRATION=" + path, "NAME=" + name, "STATSD=udp://" + x.udp, "STARTED=" + filepath.Join(dir, name+".started"), "PYTHONDONTWRITEBYTECODE=1"}, env...)
	return serve(t, launch{server: server, name: name, dir: dir, source: source, args: args, env: env})
}

// askFrom sends requests from that many clients and returns how many answers had each status.
func (a *app) askFrom(t *testing.T, clients, each int, paths ...string) map[int]int {
	t.Helper()
	out := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range each {
				status := a.get(paths[i%len(paths)])
				mu.Lock()
				out[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

// inside returns what each worker says of itself; n are expected.
func (a *app) inside(t *testing.T, n int) map[int]flaskWorker {
	t.Helper()
	var out map[int]flaskWorker
	eventually(t, 30*time.Second, func() error {
		out = map[int]flaskWorker{}
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 4 * n {
			wg.Go(func() {
				var w flaskWorker
				resp, err := a.client.Get("http://app/self")
				if err != nil {
					return
				}
				defer func() { _ = resp.Body.Close() }()
				if json.NewDecoder(resp.Body).Decode(&w) != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if old := out[w.PID]; w.Counted >= old.Counted {
					out[w.PID] = w
				}
			})
		}
		wg.Wait()
		return wants("workers", len(out), n)
	})
	return out
}

// keeps returns nil if the exporter has the memory file of a worker after a scrape.
func (x *exporter) keeps(t *testing.T, pid int) error {
	t.Helper()
	x.scrape(t)
	kept := memoryFiles(x.PID())
	for inode := range memoryFiles(pid) {
		if kept[inode] {
			return nil
		}
	}
	return fmt.Errorf("the exporter has no memory file of worker %d", pid)
}

// killsSlow begins a request that lasts, kills the worker that has it, and checks that it is
// counted as killed, with its route.
func (a *app) killsSlow(t *testing.T, x *exporter) {
	t.Helper()
	go a.get("/slow/600000")
	pid := 0
	eventually(t, 30*time.Second, func() error {
		b, err := os.ReadFile(filepath.Join(a.dir, a.name+".started"))
		if err != nil {
			return err
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err
	})
	eventually(t, 40*time.Second, func() error { return x.keeps(t, pid) })
	signals(t, pid, syscall.SIGKILL)
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_http_requests_killed_total", "app="+a.name), m.want(1, "resp_http_requests_killed_total", "app="+a.name, "method=GET", "route=/slow/<int:ms>"))
	})
}

// TestFlaskServers checks that N requests are counted as N under each server, with their
// routes, that each worker has a memory of its own, that nothing is left in use, and that a
// request of a killed worker is counted as killed.
func TestFlaskServers(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for _, s := range flaskServers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			var env []string
			if s.imports {
				env = []string{"IMPORTS=" + dir}
			}
			a := serveFlask(t, x, s.server, s.args, env...)
			got := a.askFrom(t, 8, 250, "/items/1", "/items/2", "/stream", "/broken", "/none")
			if got[http.StatusOK] != 1200 || got[http.StatusInternalServerError] != 400 || got[http.StatusNotFound] != 400 {
				t.Fatalf("%v", got)
			}
			eventually(t, scaled(20*time.Second), func() error { return a.countedAll(x.scrape(t)) })
			workers, files := a.inside(t, s.workers), map[int]bool{}
			for pid, w := range workers {
				if w.Errors != 0 || w.Slots < 124 || w.Owner != pid || files[w.File] {
					t.Errorf("worker %d: %+v", pid, w)
				}
				files[w.File] = true
			}
			if s.imports {
				runIn(t, workers, filepath.Join(dir, "runs"))
			}
			a.killsSlow(t, x)
		})
	}
}

// runIn checks that a task runs, and only in workers: the file has the pid of each run.
func runIn(t *testing.T, workers map[int]flaskWorker, path string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for text := range strings.FieldsSeq(string(b)) {
			if pid, _ := strconv.Atoi(text); workers[pid].PID == 0 {
				t.Fatalf("the task has run in process %s, which is no worker", text)
			}
		}
		return wants("runs", len(b) > 0, true)
	})
}

// countedAll reports whether each of the 2,000 requests is counted with its route and code,
// or as lost: by the app, or by the kernel, which does not say of which app. No request may
// be counted twice, and at most one in twenty may be lost.
func (a *app) countedAll(m metrics) error {
	dropped, _ := m.sum("resp_statsd_packets_dropped_total")
	own, _ := m.sum("resp_app_reports_lost_total", "app="+a.name)
	lost, missing := dropped+own, 0.0
	var errs []error
	for _, w := range []struct {
		n      float64
		labels []string
	}{
		{800, []string{"route=/items/<int:n>", "code=200", "method=GET"}}, {400, []string{"route=/stream", "code=200", "method=GET"}},
		{400, []string{"route=/broken", "code=500", "method=GET"}}, {400, []string{"code=404"}},
	} {
		n, _ := m.sum("resp_http_requests_total", append(w.labels, "app="+a.name)...)
		missing += w.n - n
		if n > w.n || n < w.n-min(lost, 100) {
			errs = append(errs, fmt.Errorf("%v: %.0f counted of %.0f, %.0f lost", w.labels, n, w.n, lost))
		}
	}
	if missing > min(lost, 100) {
		errs = append(errs, fmt.Errorf("%.0f requests are not counted, %.0f were lost", missing, lost))
	}
	return errors.Join(errs...)
}

// TestFlaskExporterAway checks that no request fails or waits while the exporter is
// stopped, hangs or is started again, and that requests are counted again afterwards.
func TestFlaskExporterAway(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	for name, listen := range map[string]string{"unix": "unixgram://" + filepath.Join(openDir(t), "s.sock"), "udp": fmt.Sprintf("udp://127.0.0.1:%d", port)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exporterAway(t, listen)
		})
	}
}

func exporterAway(t *testing.T, listen string) {
	statsd := fmt.Sprintf("statsd: {listen: [%q]}\n", listen)
	x := watch(t, export{statsd: statsd})
	a := serveFlask(t, x, "gunicorn", []string{"-w", "2"}, "STATSD="+listen)
	counted := func(x *exporter) float64 {
		n, _ := x.scrape(t).sum("resp_http_requests_total", "app="+a.name, "route=/items/<int:n>")
		return n
	}
	best := func(what string) time.Duration { // of three times 700 requests
		t.Helper()
		var times []time.Duration
		for range 3 {
			began := time.Now()
			if got := a.askFrom(t, 4, 175, "/items/1"); got[http.StatusOK] != 700 {
				t.Errorf("%s: %v", what, got)
			}
			times = append(times, time.Since(began).Round(time.Millisecond))
		}
		t.Logf("%s: 700 requests in %s", what, times)
		return slices.Min(times)
	}
	usual := best("exporter there")
	ask := func(what string) {
		t.Helper()
		// If each request waited 100 ms, one time would take 17 s.
		if took, limit := best(what), 3*usual+scaled(time.Second); took > limit {
			t.Errorf("%s: 700 requests took %s, and %s before: more than %s", what, took, usual, limit)
		}
	}
	lost := 0
	eventually(t, 20*time.Second, func() error {
		lost = 0 // the last lines may be lost only now
		for _, w := range a.inside(t, 2) {
			lost += w.Lost
		}
		dropped, _ := x.scrape(t).sum("resp_statsd_packets_dropped_total")
		return wants("counted", counted(x) >= 2100-float64(lost)-dropped, true)
	})
	t.Logf("%d lines lost", lost) // a UNIX socket takes few that have not been read
	if err := x.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ask("exporter hangs")
	if err := x.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-x.Done()
	ask("exporter gone")
	y := watch(t, export{statsd: statsd})
	eventually(t, 20*time.Second, func() error {
		a.askFrom(t, 2, 10, "/items/1")
		if counted(y) == 0 {
			return errors.New("nothing is counted after the restart")
		}
		return nil
	})
}

// TestFlaskRecycles checks that 50 workers that end leave no file, thread or memory behind.
func TestFlaskRecycles(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	a := serveFlask(t, x, "gunicorn", []string{"-w", "2", "--max-requests", "20"})
	first := a.inside(t, 2)
	kept, master := x.kept(t), resident(t, a.PID())
	eventually(t, 120*time.Second, func() error {
		a.askFrom(t, 2, 100, "/items/1")
		n, _ := x.scrape(t).sum("resp_worker_restarts_total", "app="+a.name)
		if n < 50 {
			return fmt.Errorf("%.0f restarts", n)
		}
		return nil
	})
	most := flaskWorker{}
	for _, w := range first {
		most.Threads, most.Files = max(most.Threads, w.Threads), max(most.Files, w.Files)
	}
	for pid, w := range a.inside(t, 2) {
		if w.Threads > most.Threads || w.Files > most.Files+2 || w.Errors > 0 {
			t.Errorf("worker %d: %+v, at first %+v", pid, w, most)
		}
	}
	if more := resident(t, a.PID()) - master; more > 4<<20 {
		t.Errorf("the master has %d KiB more than at first", more>>10)
	}
	eventually(t, 30*time.Second, func() error { return x.keptMore(t, kept, map[string]float64{"goroutines": 10, "descriptors": 10}) })
	left, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if !strings.HasPrefix(f.Name(), a.name) && f.Name() != "__pycache__" {
			t.Errorf("file %s is left", f.Name())
		}
	}
}
