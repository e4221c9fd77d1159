package e2e_test

import (
	"path/filepath"
	"testing"
	"time"
)

// forks is a server under the title of a gunicorn master that forks a process for each
// request, 250 a second. Each lives for up to 0.4 s; half inherit the listening socket,
// half bind the port anew.
const forks = `
import os, random, signal, socket, sys, time
if len(sys.argv) < 2:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", 0)); s.listen(64); s.set_inheritable(True)
    os.execv(sys.executable, ["gunicorn: master [evil]", "-S", os.path.abspath(sys.argv[0]), str(s.fileno())])
s = socket.socket(fileno=int(sys.argv[1]))
address = s.getsockname()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
next = time.monotonic()
for i in range(1 << 30):
    if os.fork() == 0:
        if i % 2:
            s.close()
            own = socket.socket(); own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.bind(address); own.listen(1)
        time.sleep(random.random() * 0.4)
        os._exit(0)
    next = max(next + 0.004, time.monotonic() - 1)
    time.sleep(max(0, next - time.monotonic()))
`

// forkingApp is an app whose workers fork 250 processes a second, which inherit the
// listening socket and end soon.
const forkingApp = `import os, random, signal, threading, time
from flask import Flask
app = Flask(__name__)

def run():
    while True:
        pid = os.fork()
        if pid == 0:
            time.sleep(random.random() * 0.4)
            os._exit(0)
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
        time.sleep(0.004)

@app.get("/healthz")
def healthz(): return "ok"

@app.get("/start")
def start():
    threading.Thread(target=run, daemon=True).start()
    return "ok"

@app.get("/rest")
def rest():
    time.sleep(600)
    return "ok"
`

// coreUse is what the exporter and its sampler used of a core, from one moment on.
type coreUse struct {
	x            *exporter
	began        time.Time
	all, sampler float64
}

// useOf begins to measure what the exporter uses.
func useOf(t *testing.T, x *exporter) *coreUse {
	t.Helper()
	l := &coreUse{x: x, began: time.Now()}
	m := x.scrape(t)
	l.all, _ = m.sum("process_cpu_seconds_total")
	l.sampler, _ = m.sum("resp_waits_cpu_seconds_total")
	return l
}

// shares returns the parts of one core that the exporter and its sampler have used.
func (l *coreUse) shares(t *testing.T) (all, sampler float64) {
	t.Helper()
	m := l.x.scrape(t)
	all, _ = m.sum("process_cpu_seconds_total")
	sampler, ok := m.sum("resp_waits_cpu_seconds_total")
	if !ok {
		t.Fatal("the sampler does not say what it uses")
	}
	passed := time.Since(l.began).Seconds()
	return (all - l.all) / passed, (sampler - l.sampler) / passed
}

// TestAttackForkPerRequest checks that apps that fork hundreds of processes a second cost
// the exporter little, that what is read of them is bounded, and that the requests of
// their true workers and of another app are seen.
func TestAttackForkPerRequest(t *testing.T) {
	b := newBox(t)
	real := b.serve(t, launch{args: []string{"--timeout", "600"}})
	dir := openDir(t)
	forking := serve(t, launch{
		server: "gunicorn", name: unique("forking"), source: write(t, filepath.Join(t.TempDir(), "forking.txt"), forkingApp),
		dir: dir, args: []string{"--threads", "4", "--chdir", dir, "--timeout", "600"}, wrap: b.in(attacker),
	})
	x := b.watch(t, export{config: "monitoring_interval: 1s\n"})
	eventually(t, 30*time.Second, func() error { return seen(x.scrape(t), real, "gunicorn", 2) })
	quiet := useOf(t, x)
	passes(t, 10*time.Second, "the use before the attack is measured")
	before, _ := quiet.shares(t)

	eventually(t, 30*time.Second, func() error { return wants("status", forking.get("/start"), 200) })
	b.attack(t, forks)
	eventually(t, 30*time.Second, func() error { return x.scrape(t).has("resp_up", "component=app:evil") })
	real.behind("/slow?s=600")
	forking.behind("/rest")
	eventually(t, 60*time.Second, func() error { return x.scrape(t).want(1, "resp_http_requests_in_flight", "app="+real.name) })
	busy := useOf(t, x)
	slept, _ := x.scrape(t).sum("resp_worker_wait_seconds_total", "app="+real.name, "on=sleep")
	began := time.Now()
	series := 0
	for time.Since(began) < 20*time.Second {
		n := 0
		x.scrape(t).each("resp_worker_info", nil, func(map[string]string, float64) { n++ })
		series = max(series, n)
		passes(t, 2*time.Second, "the use during the attack is measured: a scrape every two seconds")
	}
	all, sampler := busy.shares(t)
	m := x.scrape(t)
	after, _ := m.sum("resp_worker_wait_seconds_total", "app="+real.name, "on=sleep")
	passed := time.Since(began).Seconds()
	memory, _ := m.sum("process_resident_memory_bytes")
	rate, _ := m.sum("resp_waits_rate_hertz")
	t.Logf("CPU %.3f of a core, before the attack %.3f, sampler %.4f at %.1f Hz; %.0f MB; %d workers; %.1f s of sleep in %.1f s", all, before, sampler, rate, memory/(1<<20), series, after-slept, passed)
	if all > before+0.15 {
		t.Errorf("the exporter uses %.2f of a core, %.2f before the attack", all, before)
	}
	if sampler > 0.0125 {
		t.Errorf("the sampler uses %.4f of a core", sampler)
	}
	if memory > 100<<20 {
		t.Errorf("%.0f MB of memory", memory/(1<<20))
	}
	if series > 512 {
		t.Errorf("%d workers are published", series)
	}
	if share := (after - slept) / passed; share < 0.85 || share > 1.15 {
		t.Errorf("the request of the other app counts as %.2f s a second", share)
	}
	for _, app := range []string{real.name, forking.name} {
		eventually(t, 10*time.Second, func() error { return x.scrape(t).want(1, "resp_view_requests_in_flight", "app="+app) })
	}
	if n := len(m.pids(forking.name)); n != 1 {
		t.Errorf("the app that forks has %d workers", n)
	}
}

// manyThreads is an app whose worker has 5,000 threads that sleep, or that starts and ends
// 500 a second.
const manyThreads = `import threading, time
from flask import Flask
app = Flask(__name__)
threading.stack_size(65536)

def churn():
    while True:
        for _ in range(50): threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
        time.sleep(0.1)

@app.get("/healthz")
def healthz(): return "ok"

@app.get("/many")
def many():
    for _ in range(5000): threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return "ok"

@app.get("/churn")
def start():
    threading.Thread(target=churn, daemon=True).start()
    return "ok"

@app.get("/rest")
def rest():
    time.sleep(600)
    return "ok"
`

// TestAttackThreads checks that a worker with 5,000 threads, and one that starts and ends
// 500 threads a second, cost the sampler no more than its share, that the bounds are
// counted, and that a request of the worker is seen.
func TestAttackThreads(t *testing.T) {
	source := write(t, filepath.Join(t.TempDir(), "threads.txt"), manyThreads)
	for _, path := range []string{"/many", "/churn"} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel() // with the other one only: each exporter sees its own namespace
			b := newBox(t)
			dir := openDir(t)
			evil := serve(t, launch{server: "gunicorn", name: unique("evil"), source: source, dir: dir, args: []string{"--threads", "4", "--chdir", dir, "--timeout", "600"}, wrap: b.in(attacker)})
			x := b.watch(t, export{config: "monitoring_interval: 1s\n"})
			eventually(t, 30*time.Second, func() error {
				return all(wants("status", evil.get("/healthz"), 200), x.scrape(t).want(1, "resp_app_workers", "app="+evil.name))
			})
			if status := evil.get(path); status != 200 {
				t.Fatalf("%s: status %d", path, status)
			}
			evil.behind("/rest")
			eventually(t, 60*time.Second, func() error { return x.scrape(t).want(1, "resp_http_requests_in_flight", "app="+evil.name) })
			began, use := time.Now(), useOf(t, x)
			slept, _ := x.scrape(t).sum("resp_worker_wait_seconds_total", "app="+evil.name, "on=sleep")
			passes(t, 20*time.Second, "the sampler's use is measured")
			used, sampler := use.shares(t)
			m := x.scrape(t)
			after, _ := m.sum("resp_worker_wait_seconds_total", "app="+evil.name, "on=sleep")
			rate, _ := m.sum("resp_waits_rate_hertz")
			threads, _ := m.sum("resp_app_threads", "app="+evil.name)
			beyond, _ := m.sum("resp_series_dropped_total", "family=waits_thread")
			memory, _ := m.sum("process_resident_memory_bytes")
			share := (after - slept) / time.Since(began).Seconds()
			t.Logf("%.0f threads: CPU %.3f of a core, sampler %.4f at %.1f Hz, %.0f times not all threads; %.0f MB; %.2f s of sleep a second", threads, used, sampler, rate, beyond, memory/(1<<20), share)
			if sampler > 0.0125 {
				t.Errorf("the sampler uses %.4f of a core", sampler)
			}
			if rate <= 0 || rate > 10.01 {
				t.Errorf("the rate is %.2f Hz", rate)
			}
			if used > 0.2 || memory > 100<<20 {
				t.Errorf("the exporter uses %.2f of a core and %.0f MB", used, memory/(1<<20))
			}
			if path == "/many" && beyond == 0 {
				t.Error("threads that are not read have no counter")
			}
			// Of 5,000 threads the stacks are not all found: which ones have requests is not
			// certain then.
			if share < 0.7 || share > 1.3 && path == "/churn" {
				t.Errorf("the request counts as %.2f s a second", share)
			}
		})
	}
}
