package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// pooled is an app whose first request makes a pool of two processes, which
// inherit the listening socket.
const pooled = `
import concurrent.futures, multiprocessing, os
pool = None
def square(x): return x * x
def app(environ, start_response):
    global pool
    if pool is None and not os.environ.get("NO_POOL"):
        pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
        list(pool.map(square, range(8)))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
if __name__ == "__main__":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", int(os.environ["PORT"]), app, threaded=True)
`

// watchdog is a configuration of gunicorn whose master forks a helper.
const watchdog = `
import multiprocessing, time
def loop():
    while True: time.sleep(60)
def when_ready(server):
    multiprocessing.get_context("fork").Process(target=loop, daemon=True).start()
`

// TestTruthHelpersAreNoWorkers checks that helpers that a server forks are not workers,
// and that a server of one process is one.
func TestTruthHelpersAreNoWorkers(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	source, conf := write(t, filepath.Join(dir, "pooled.py"), pooled), write(t, filepath.Join(dir, "conf.py"), watchdog)
	plain := append([]string{"NO_POOL=1"}, withoutTitles(t)...)
	x := watch(t, export{})
	for name, c := range map[string]struct {
		launch  launch
		workers float64
	}{
		"waitress": {launch{server: "waitress"}, 1},
		"uvicorn":  {launch{server: "uvicorn"}, 1},
		"a script": {launch{server: "script", name: unique("till")}, 1},
		"gunicorn": {launch{server: "gunicorn", args: []string{"-w", "2", "-c", conf}, env: plain}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c.launch.source = source
			a := serve(t, c.launch)
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				return all(m.want(1, "resp_up", "component=app:"+a.name), m.want(c.workers, "resp_app_workers", "app="+a.name), m.slots(a.name, int(c.workers)))
			})
		})
	}
}

// keeper opens a listening socket for a server, starts that, and keeps it.
const keeper = `
import os, signal, socket, subprocess, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(os.environ["PORT"])))
s.listen(16)
held = []
def serve(*_):
    held.append(subprocess.Popen(["gunicorn", "-w", "1", "--bind", "fd://%d" % s.fileno(), sys.argv[1] + ":app"], pass_fds=[s.fileno()]))
signal.signal(signal.SIGUSR1, serve)
serve()
while True: time.sleep(60)
`

// kept starts an app whose socket its parent keeps; each SIGUSR1 starts another
// server, and none is waited for.
func kept(t *testing.T, name, parent string) *run.Proc {
	t.Helper()
	need(t, "gunicorn")
	dir := openDir(t)
	write(t, filepath.Join(dir, name+".py"), pooled)
	script := write(t, filepath.Join(dir, parent+".py"), keeper)
	return start(t, run.Spec{Name: "keeper", Path: python, Args: []string{script, name}, Dir: dir, Env: []string{"NO_POOL=1", fmt.Sprintf("PORT=%d", freePort(t))}})
}

// TestTruthKeeperOfASocketIsNoApp checks that a program that only holds the socket of the
// server that it started is not an app.
func TestTruthKeeperOfASocketIsNoApp(t *testing.T) {
	t.Parallel()
	name, parent := unique("shop"), unique("keeper")
	x := watch(t, export{})
	kept(t, name, parent)
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		if _, is := m.sum("resp_up", "component=app:"+parent); is {
			return fmt.Errorf("%s is an app", parent)
		}
		return all(up(m, name, name), m.want(1, "resp_app_workers", "app="+name))
	})
}

// TestTruthEndedMasterKeepsNoName checks that a zombie master does not keep the name of
// the app that now serves at the socket. The app starts before the tests that run side by
// side, and is old enough when this one is among them.
func TestTruthEndedMasterKeepsNoName(t *testing.T) {
	name := unique("shop")
	p, old := kept(t, name, unique("keeper")), time.Now().Add(65*time.Second)
	t.Parallel()
	passes(t, time.Until(old), "the command line of a process that is older than a minute is read once")
	x := watch(t, export{})
	eventually(t, 20*time.Second, func() error { return up(x.scrape(t), name, name) })
	kids, err := run.Children(p.PID())
	if err != nil || len(kids) != 1 {
		t.Fatal(err, kids)
	}
	master := kids[0]
	if err := syscall.Kill(master, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", master))
		return all(err, wants("a zombie", strings.Contains(string(stat), ") Z "), true))
	})
	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		if pids := m.pids(name); len(pids) != 1 || pids["0"] == 0 {
			return fmt.Errorf("workers of %s: %v", name, pids)
		}
		return up(m, name, name)
	})
}

// TestTruthForkedWorkersAreWorkers checks that workers that Hypercorn before 0.14.4 forks
// are its workers, and that neither the server that forked them nor a pool of a single
// server is one.
func TestTruthForkedWorkersAreWorkers(t *testing.T) {
	t.Parallel()
	need(t, "hypercorn")
	source := write(t, filepath.Join(openDir(t), "forked.py"), forked)
	x := watch(t, export{})
	for name, c := range map[string]struct {
		args    []string
		workers int
	}{
		"with workers": {[]string{"--workers", "3"}, 3},
		"alone":        {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, launch{server: "hypercorn", source: source, args: c.args})
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				return all(seen(m, a, "hypercorn", c.workers), m.want(float64(c.workers), "resp_app_workers", "app="+a.name, "state=idle"))
			})
		})
	}
}

// forked is an app for event loops that forks a helper when it starts.
const forked = `
import os, time
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] != "http": return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
`
