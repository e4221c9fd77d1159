package e2e_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// plainApp is an app without threads of its own.
const plainApp = `import os, threading, time
never = threading.Lock()
never.acquire()
def app(environ, start_response):
    what = environ["PATH_INFO"].split("/")
    if what[1] == "sleep": time.sleep(float(what[2]))
    if what[1] == "lock": never.acquire()
    if what[1] == "spin":
        end = time.monotonic() + float(what[2])
        while time.monotonic() < end: pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
`

// asgiApp is an app for UvicornWorker.
const asgiApp = `import time
async def app(scope, receive, send):
    if scope["type"] != "http": return
    what = scope["path"].split("/")
    if what[1] == "block": time.sleep(float(what[2]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
`

// TestTruthHeartbeatIsNoAge checks that the heartbeat of a worker is used as the age of
// its request only if gunicorn updates it right before it accepts.
func TestTruthHeartbeatIsNoAge(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uvicorn")
	stay := []string{"--timeout", "120"} // an idle sync worker touches it every 60 s
	all := stacks(t, 0,
		stackOf{kind: "two binds", server: "gunicorn", workers: 1, source: plainApp, args: append([]string{"-b", fmt.Sprintf("127.0.0.1:%d", freePort(t))}, stay...)},
		stackOf{kind: "UvicornWorker", server: "gunicorn", workers: 1, source: asgiApp, args: append([]string{"-k", "uvicorn.workers.UvicornWorker"}, stay...)},
	)
	passes(t, scaled(time.Second), "the threads of the apps begin to wait: the first look must find them idle")
	x := watch(t, export{config: shortTimes(all), args: []string{"--no-collector.host", "--no-collector.disk"}})
	eventually(t, 5*time.Second, func() error { return allRest(x.scrape(t), all) })
	quiet(t, 4*time.Second, time.Second, "all workers are idle", func() error { return allRest(x.scrape(t), all) })
	busy := map[string]bool{}
	eventually(t, 10*time.Second, func() error { // a busy machine may look at one too late
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { all[0].get("/sleep/2.5") })
		wg.Go(func() { all[1].get("/block/2.5") })
		quiet(t, 2*time.Second, 100*time.Millisecond, "a request of less than 2 s is not stuck", func() (err error) {
			m := x.scrape(t)
			for _, s := range all {
				if n, _ := m.sum("resp_app_workers", "app="+s.name, "state=busy"); n == 1 {
					busy[s.kind] = true
				}
				err = errors.Join(err, m.want(0, "resp_app_workers", "app="+s.name, "state=stuck"))
			}
			return err
		})
		return wants(fmt.Sprintf("seen busy: %v: how many", busy), len(busy), 2)
	})
}

// TestTruthDeadlockIsStuck checks that a worker is stuck if all its threads wait for a
// lock that is never released, although it still accepts connections.
func TestTruthDeadlockIsStuck(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "waitress-serve")
	all := stacks(t, 0,
		stackOf{kind: "gthread", server: "gunicorn", workers: 1, source: plainApp, args: []string{"--threads", "2"}},
		stackOf{kind: "waitress", server: "waitress", workers: 1, source: plainApp, args: []string{"--threads=2"}},
	)
	x := watch(t, export{config: shortTimes(all), args: []string{"--no-collector.host", "--no-collector.disk"}})
	eventually(t, 10*time.Second, func() error { return errors.Join(all[0].rests(x.scrape(t)), all[1].rests(x.scrape(t))) })
	for _, s := range all {
		for range 4 {
			s.behind("/lock")
		}
	}
	eventually(t, 25*time.Second, func() error {
		var errs []error
		m := x.scrape(t)
		says, _ := x.verdicts(t)
		for _, s := range all {
			errs = append(errs, m.want(1, "resp_app_workers", "app="+s.name, "state=stuck"), wants(s.kind, says[s.name].Health.Overall, "critical"))
		}
		return errors.Join(errs...)
	})
}

// TestTruthFirstRequestIsNoBoot checks that a worker that was started for its first
// request is busy, not booting.
func TestTruthFirstRequestIsNoBoot(t *testing.T) {
	t.Parallel()
	need(t, "uwsgi")
	s := stacks(t, 0, stackOf{kind: "cheaper", server: "uwsgi", source: plainApp, args: []string{"--processes", "3", "--cheaper", "1", "--cheaper-initial", "1"}})[0]
	x := watch(t, export{config: shortTimes([]*stack{s}), args: []string{"--no-collector.host", "--no-collector.disk"}})
	eventually(t, 10*time.Second, func() error { return x.scrape(t).want(1, "resp_app_workers", "app="+s.name, "state=idle") })
	for range 6 { // more than there are workers: a new one has a request before it has waited for one
		s.behind("/spin/6.0")
	}
	most, boots := 0.0, 0
	looks := 0
	poll(t, 20*time.Second, 50*time.Millisecond, func() error {
		m := x.scrape(t)
		n, _ := m.sum("resp_app_workers", "app="+s.name)
		if most = max(most, n); most > 1 {
			looks++
		}
		if n, _ := m.sum("resp_app_workers", "app="+s.name, "state=booting"); n > 0 {
			boots++
		}
		if looks < 60 {
			return fmt.Errorf("at most %v workers; %d looks since there are two", most, looks)
		}
		return nil
	})
	if most < 2 || boots > 20 { // of 60: the app is loaded in a moment, even on a busy machine
		t.Fatalf("at most %v workers, and in %d looks one booted", most, boots)
	}
}

// TestTruthFlaskDebugDuringStart checks that an exporter that reads while the development
// server starts sees the final server a moment later.
func TestTruthFlaskDebugDuringStart(t *testing.T) {
	t.Parallel()
	need(t, python)
	dir, name, at := openDir(t), unique("debug"), freePort(t)
	write(t, filepath.Join(dir, name+".py"), "import time\nfrom flask import Flask\napp = Flask(__name__)\ntime.sleep(0.5)\n@app.get('/healthz')\ndef healthz(): return 'ok'\n")
	s := &stack{app: &app{name: name, dir: dir, listen: fmt.Sprintf("127.0.0.1:%d", at)}, kind: "flask debug", workers: 1}
	x := watch(t, export{config: shortTimes([]*stack{s}), args: []string{"--no-collector.host", "--no-collector.disk"}})
	s.Proc = start(t, run.Spec{Name: "flask", Path: python, Args: []string{"-m", "flask", "--app", name, "--debug", "run", "--port", fmt.Sprint(at)}, Dir: dir})
	quiet(t, 6*time.Second, 20*time.Millisecond, "each scrape is answered while the server starts", func() error {
		x.scrape(t)
		return nil
	})
	eventually(t, 10*time.Second, func() error { return s.rests(x.scrape(t)) })
}

// TestTruthDyingWorkersAreCritical checks that an app whose workers die before they serve
// is critical.
func TestTruthDyingWorkersAreCritical(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn")
	dir, name, at := openDir(t), unique("dying"), freePort(t)
	write(t, filepath.Join(dir, name+".py"), "import os, time\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)\n")
	s := &stack{app: &app{name: name, dir: dir, listen: fmt.Sprintf("127.0.0.1:%d", at)}, kind: "dying"}
	s.Proc = start(t, run.Spec{Name: "gunicorn", Path: "gunicorn", Args: []string{"-w", "2", "-b", s.listen, name + ":app"}, Dir: dir, Env: []string{"PYTHONPATH=" + dir}})
	x := watch(t, export{config: shortTimes([]*stack{s}), args: []string{"--no-collector.host", "--no-collector.disk"}})
	eventually(t, time.Minute, func() error { return x.scrape(t).want(1, "resp_up", "component=app:"+name) })
	passes(t, 12*time.Second, "the app is no longer recovering from its start")
	eventually(t, 30*time.Second, func() error {
		says, _ := x.verdicts(t)
		v := says[name]
		return errors.Join(wants("the master runs", v.Up, true), wants("health", v.Health.Overall, "critical"),
			wants("a worker is idle", slices.ContainsFunc(v.Workers, func(w workerJSON) bool { return w.State == "idle" }), false))
	})
}
