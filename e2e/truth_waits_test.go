package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// waitingApp is an app whose requests say what they do: "sleep:120,cpu:40" of
// milliseconds. Each part writes down what it took by the kernel's own totals of its
// thread: run and queue as they are, and only the rest as what the part is for. The time
// of the view is that of the whole request, within the app.
const waitingApp = `import json, os, queue, socket, subprocess, threading, time
import redis
from flask import Flask

local = threading.local()
here = os.path.dirname(os.path.abspath(__file__))

def background():
    while True: time.sleep(0.3)

for f in (background, lambda: queue.Queue().get(), lambda: subprocess.Popen(["sleep", "600"]).wait()):
    threading.Thread(target=f, daemon=True).start()

def cache():
    if not hasattr(local, "redis"):
        local.redis = redis.Redis(port=int(os.environ["REDIS"]))
    return local.redis

def totals():
    with open("/proc/thread-self/schedstat") as f:
        run, queued, _ = f.read().split()
    return time.monotonic(), int(run) / 1e9, int(queued) / 1e9

def spin(s):
    end = time.thread_time() + s
    while time.thread_time() < end: pass

def lock(s):
    l = threading.Lock()
    l.acquire()
    threading.Thread(target=lambda: (time.sleep(s), l.release()), daemon=True).start()
    l.acquire()

def upstream(s):
    with socket.create_connection(("127.0.0.1", int(os.environ["UPSTREAM"]))) as c:
        c.sendall(b"%d\n" % (s * 1000))
        c.recv(10)

kinds = {
    "sleep": time.sleep, "cpu": spin, "lock": lock, "upstream": upstream,
    "redis": lambda s: cache().blpop("nothing-%d" % threading.get_ident(), s),
    "child": lambda s: subprocess.run(["sleep", "%.3f" % s]),
}

def work(view, plan):
    truth = {}
    for part in plan.split(","):
        kind, ms = part.split(":")
        t, run, queued = totals()
        kinds[kind](int(ms) / 1000)
        t2, run2, queued2 = totals()
        for on, s in (("cpu", run2 - run), ("cpu_queue", queued2 - queued), ("gil" if kind == "cpu" else kind, t2 - t - (run2 - run) - (queued2 - queued))):
            truth[on] = truth.get(on, 0) + max(0, s)
    local.truth = {"view": view, "on": truth}
    return "ok"

app = Flask(__name__)
served = app.wsgi_app

def timed(environ, start_response):
    local.truth, t = None, time.monotonic()
    answer = served(environ, start_response)
    if local.truth:
        local.truth["seconds"] = time.monotonic() - t
        with open(here + "/truth.jsonl", "a") as f: f.write(json.dumps(local.truth) + "\n")
    return answer

app.wsgi_app = timed

@app.get("/healthz")
def healthz(): return "ok"

@app.get("/pay/<plan>")
def pay(plan): return work("pay", plan)

@app.get("/list/<plan>", endpoint="catalogue")
def listing(plan): return work("catalogue", plan)

@app.get("/report/<plan>")
def report(plan): return work("report", plan)
`

const (
	// waitsFor is how long requests are sent at a time, and waitsTimes how often at most:
	// until that many stacks were read, with which chance is less than two points. On a
	// busy machine the exporter reads few in its part of the processors.
	waitsFor    = 25 * time.Second
	waitsTimes  = 6
	waitsStacks = 800
)

// Seconds by what threads wait for are the truth within five points of the time of
// all request threads, and idle stays idle beside background threads. What the
// requests do, for how long and in which order is drawn from a seed.
func TestTruthWaits(t *testing.T) {
	t.Parallel()
	s, seed := newWaitTrial(t, 20)
	s.request, s.pause = drawnRequest, 250*time.Millisecond
	s.compared = []string{
		"cpu", "cpu_queue", "gil", "sleep", "lock", "redis", "upstream", "child", "idle", "client", "disk", "other", "view:pay", "view:catalogue", "view:report",
	}
	s.settles(t, rand.New(rand.NewPCG(seed, 1)))
	s.measure(t, rand.New(rand.NewPCG(seed, 2)))
}

// The shares of views of short requests are the truth within five points of all time,
// too: most requests are in no sample or in one, and those of one view take longer than
// those of the other. What the server does for such a request beside the app is a large
// part on a busy machine, and not in the truth.
func TestTruthShortViews(t *testing.T) {
	t.Parallel()
	s, seed := newWaitTrial(t, 10)
	s.request, s.pause = drawnShortRequest, 40*time.Millisecond
	s.compared, s.shares = []string{"view:pay", "view:catalogue", "view:report"}, true
	s.settles(t, rand.New(rand.NewPCG(seed, 1)))
	s.measure(t, rand.New(rand.NewPCG(seed, 2)))
}

// newWaitTrial starts servers of waitingApp and an exporter that takes that many
// samples a second at most, and returns them with the seed.
func newWaitTrial(t *testing.T, rate int) (trial *waitTrial, seed uint64) {
	t.Helper()
	need(t, "gunicorn", "uwsgi", "redis-server")
	seed = uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	cache := plainRedis(t)
	env := []string{fmt.Sprintf("UPSTREAM=%d", slowAnswers(t))}
	all := stacks(t, cache,
		stackOf{kind: "gunicorn sync", server: "gunicorn", workers: 2, args: []string{"-w", "2"}, env: env, source: waitingApp},
		stackOf{kind: "gunicorn gthread", server: "gunicorn", workers: 3, args: []string{"--threads", "3"}, env: env, source: waitingApp},
		stackOf{kind: "uWSGI threads", server: "uwsgi", workers: 3, args: []string{"--processes", "1", "--threads", "3", "--lazy-apps"}, env: env, source: waitingApp},
	)
	x := watch(t, export{config: shortTimes(all) + fmt.Sprintf("redis: [{name: cache, url: \"redis://127.0.0.1:%d/0\"}]\ndiagnosis: {sample_rate: %d}\n", cache, rate)})
	eventually(t, 20*time.Second, func() error {
		var errs []error
		m := x.scrape(t)
		for _, s := range all {
			errs = append(errs, m.has("resp_worker_wait_seconds_total", "app="+s.name, "on=idle"))
		}
		return errors.Join(errs...)
	})
	return &waitTrial{x: x, stacks: all}, seed
}

// waitTrial is an exporter that watches apps whose truth is written down.
type waitTrial struct {
	x        *exporter
	stacks   []*stack
	request  func(*rand.Rand) string // draws one
	pause    time.Duration           // between two of them at most
	compared []string                // see look
	shares   bool                    // what is compared is scaled to the same sum
	looks    []look                  // all so far
}

// look is what has been published, and is true, of each app at one time.
type look struct {
	at               time.Time
	published, truth map[string]map[string]float64 // by app: seconds by what for, and "view:" by view
	used             map[string]float64            // by app: its utilization
}

func (w *waitTrial) look(t *testing.T) look {
	t.Helper()
	l := look{at: time.Now(), published: map[string]map[string]float64{}, truth: map[string]map[string]float64{}, used: map[string]float64{}}
	m := w.x.scrape(t)
	for _, s := range w.stacks {
		l.published[s.name] = map[string]float64{}
		m.each("resp_worker_wait_seconds_total", []string{"app=" + s.name}, func(labels map[string]string, v float64) {
			l.published[s.name][labels["on"]] += v
		})
		m.each("resp_view_seconds_total", []string{"app=" + s.name}, func(labels map[string]string, v float64) {
			l.published[s.name]["view:"+labels["view"]] += v
		})
		l.used[s.name], _ = m.sum("resp_app_utilization_ratio", "app="+s.name)
		l.truth[s.name] = truthOf(t, s.dir)
	}
	w.looks = append(w.looks, l)
	return l
}

// utilization compares the utilization of an app, over the minute before a look, with
// what its requests say they took in that time.
func (w *waitTrial) utilization(t *testing.T, s *stack, after look) {
	t.Helper()
	before := w.looks[slices.IndexFunc(w.looks, func(l look) bool { return after.at.Sub(l.at) <= 65*time.Second })]
	busy := 0.0
	for on, v := range minus(after.truth[s.name], before.truth[s.name]) {
		if !strings.HasPrefix(on, "view:") {
			busy += v
		}
	}
	want := busy / (after.at.Sub(before.at).Seconds() * float64(s.workers))
	t.Logf("%-16s utilization %.2f, truth %.2f over %s", s.kind, after.used[s.name], want, after.at.Sub(before.at).Round(time.Second))
	if math.Abs(after.used[s.name]-want) > 0.15 {
		t.Errorf("%s: the utilization is %.2f, truth %.2f", s.kind, after.used[s.name], want)
	}
}

// truthOf adds up what an app has written down.
func truthOf(t *testing.T, dir string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	b, err := os.ReadFile(filepath.Join(dir, "truth.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var request struct {
			View    string
			On      map[string]float64
			Seconds float64
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for on, v := range request.On {
			out[on] += v
		}
		out["view:"+request.View] += request.Seconds
	}
	return out
}

// settles waits until each thread of each app is known, which takes a request in
// each, and then until they are idle.
func (w *waitTrial) settles(t *testing.T, r *rand.Rand) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		w.load(t, r, 6*time.Second)
		before := w.look(t)
		passes(t, 3*time.Second, "a time without requests, which is compared with what is published")
		after := w.look(t)
		for _, s := range w.stacks {
			span := after.at.Sub(before.at).Seconds() * float64(s.workers)
			got := minus(after.published[s.name], before.published[s.name])
			if math.Abs(got["idle"]-span) > 0.05*span {
				return fmt.Errorf("%s: idle for %.2f s of %.2f: %v", s.kind, got["idle"], span, got)
			}
		}
		return nil
	})
}

// load sends requests to all apps for that long: as many at a time as an app has
// threads, with pauses. It returns when all are answered.
func (w *waitTrial) load(t *testing.T, r *rand.Rand, long time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	end := time.Now().Add(long)
	for _, s := range w.stacks {
		for range s.workers {
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() {
				for time.Now().Before(end) {
					if status := s.get(w.request(own)); status != http.StatusOK {
						t.Errorf("%s: status %d", s.kind, status)
						return
					}
					time.Sleep(time.Duration(own.Int64N(int64(w.pause)))) // the worker is idle meanwhile, which is measured
				}
			})
		}
	}
	wg.Wait()
}

// drawnRequest draws a view, and what one request does in it.
func drawnRequest(r *rand.Rand) string {
	kinds := []string{"sleep", "cpu", "lock", "redis", "upstream", "child"}
	var parts []string
	for range 1 + r.IntN(3) {
		kind, ms := kinds[r.IntN(len(kinds))], 40+r.IntN(260)
		if kind == "cpu" {
			ms /= 8
		}
		parts = append(parts, fmt.Sprintf("%s:%d", kind, ms))
	}
	return []string{"/pay/", "/list/", "/report/"}[r.IntN(3)] + strings.Join(parts, ",")
}

// drawnShortRequest draws a view and one wait of 20 to 60 ms in it.
func drawnShortRequest(r *rand.Rand) string {
	view := r.IntN(3)
	kind, ms := []string{"sleep", "lock", "redis"}[r.IntN(3)], 20+10*view+r.IntN(20)
	return fmt.Sprintf("%s%s:%d", []string{"/pay/", "/list/", "/report/"}[view], kind, ms)
}

// readStacks returns how many stacks were believed so far.
func (w *waitTrial) readStacks(t *testing.T) float64 {
	t.Helper()
	n, ok := w.x.scrape(t).sum("resp_stacks_total", "outcome=ok")
	if !ok {
		t.Fatal("no stacks were read")
	}
	return n
}

// measure compares what is published with the truth.
func (w *waitTrial) measure(t *testing.T, r *rand.Rand) {
	t.Helper()
	before, first := w.look(t), w.readStacks(t)
	for times := 1; ; times++ {
		w.load(t, r, waitsFor)
		w.look(t) // utilization needs one of about a minute before the last
		n := w.readStacks(t) - first
		if t.Logf("%.0f stacks in %s", n, time.Since(before.at).Round(time.Second)); n >= waitsStacks || times == waitsTimes {
			break
		}
	}
	ended := time.Now()
	var after look
	eventually(t, 20*time.Second, func() error {
		after = w.look(t)
		var errs []error
		for _, s := range w.stacks {
			if n, ok := w.x.scrape(t).sum("resp_worker_wait_seconds_total", "app="+s.name); !ok || n == 0 {
				errs = append(errs, errors.New("nothing of "+s.kind))
			}
		}
		if time.Since(ended) < scaled(4*time.Second) { // what was waited for has its name by then
			errs = append(errs, errors.New("not settled"))
		}
		return errors.Join(errs...)
	})
	for _, s := range w.stacks {
		w.utilization(t, s, after)
		all := after.at.Sub(before.at).Seconds() * float64(s.workers)
		truth, published := minus(after.truth[s.name], before.truth[s.name]), minus(after.published[s.name], before.published[s.name])
		truth["idle"] = all
		for on, v := range truth {
			if on != "idle" && !strings.HasPrefix(on, "view:") {
				truth["idle"] -= v
			}
		}
		scale := 1.0
		if w.shares {
			scale = sumOf(truth, w.compared) / sumOf(published, w.compared)
			t.Logf("%-16s all views: published / truth is %.2f", s.kind, 1/scale)
		}
		for _, on := range w.compared {
			published[on] *= scale
			points := 100 * (published[on] - truth[on]) / all
			t.Logf("%-16s %-14s published %6.2f s, truth %6.2f s: %+.1f points", s.kind, on, published[on], truth[on], points)
			if math.Abs(points) > 5 {
				t.Errorf("%s: %s is %.2f s of %.1f, truth %.2f s", s.kind, on, published[on], all, truth[on])
			}
		}
	}
}

func sumOf(seconds map[string]float64, names []string) (sum float64) {
	for _, n := range names {
		sum += seconds[n]
	}
	return sum
}

func minus(a, b map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for on, v := range a {
		out[on] = v - b[on]
	}
	return out
}

// slowAnswers answers each line of milliseconds after that long, and returns its
// port.
func slowAnswers(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				line, err := bufio.NewReader(c).ReadString('\n')
				if err != nil {
					return
				}
				ms, _ := strconv.Atoi(strings.TrimSpace(line))
				time.Sleep(time.Duration(ms) * time.Millisecond) // the service is as slow as the request wants it
				_, _ = c.Write([]byte("ok\n"))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
