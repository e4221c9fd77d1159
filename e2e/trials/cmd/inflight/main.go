// Command inflight compares the requests that the exporter sees in flight, in an
// app that is not changed, with nginx's access log in front of it: each request of
// more than a second must have been seen, with its view, and with its age within
// 0.3 s. Each request is a line of a CSV file.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

const (
	patience = time.Minute
	longer   = 1.0 // seconds: requests that must be seen
	ageError = 0.3 // seconds
	app      = `import time
from flask import Flask
app = Flask(__name__)
def work(s, kind):
    end = time.monotonic() + s
    if kind == "cpu":
        while time.monotonic() < end: sum(range(1000))
    else:
        time.sleep(s)
    return "ok\n"
`
	view  = "@app.get('/%[1]s/<float:s>/<kind>')\ndef %[1]s(s, kind): return work(s, kind)\n"
	proxy = `worker_processes 1; daemon off; error_log %[1]s/error.log; pid %[1]s/nginx.pid;
events {}
http {
  log_format trial '$msec $request_time $uri $status';
  access_log %[1]s/access.log trial; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
  fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; location / { proxy_pass http://127.0.0.1:%[3]d; proxy_read_timeout 60s; } }
}
`
)

// seen is one thread with a request, as the exporter reports it at a time.
type seen struct {
	at, age float64
	view    string
}

// request is a line of the access log.
type request struct {
	ended, took float64
	view        string
}

type trialRun struct {
	exporter, class string
	seconds         time.Duration
	clients         int
	draw            *rand.Rand

	dir, front, back, status string
	procs                    run.Group
	views                    []string

	mu   sync.Mutex
	seen []seen
}

func main() { trial.Main("inflight", start) }

func start(ctx context.Context) error {
	t := &trialRun{}
	flag.StringVar(&t.exporter, "exporter", "build/resp-exporter", "the exporter")
	flag.StringVar(&t.class, "class", "sync", "worker class of gunicorn: sync, gthread")
	flag.DurationVar(&t.seconds, "for", time.Minute, "how long requests are sent")
	flag.IntVar(&t.clients, "clients", 4, "clients, each with one request at a time")
	seed := flag.Uint64("seed", 1, "of names and durations")
	file := flag.String("csv", "build/trials/inflight.csv", "a line a request")
	flag.Parse()
	t.draw = rand.New(rand.NewPCG(*seed, 1))
	rows, before, err := trial.Open(*file, *seed, "class", "view", "took", "seen", "age_error")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if len(before) > 0 {
		return fmt.Errorf("%s has results already", *file)
	}
	if t.dir, err = os.MkdirTemp("", "inflight"); err != nil {
		return err
	}
	defer t.close()
	if err := t.startAll(ctx); err != nil {
		return err
	}
	if err := t.sampled(ctx); err != nil {
		return err
	}
	t.load(ctx)
	return t.report(rows)
}

func (t *trialRun) close() {
	t.procs.Stop()
	_ = os.RemoveAll(t.dir)
}

// startAll starts the app, nginx and the exporter.
func (t *trialRun) startAll(ctx context.Context) error {
	if _, err := exec.LookPath("nginx"); err != nil {
		return errors.New("nginx is missing: apt-get install nginx-light")
	}
	ports := [3]int{}
	for i := range ports {
		var err error
		if ports[i], err = run.FreePort(0); err != nil {
			return err
		}
	}
	t.front, t.back = fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	t.status = fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", ports[2])
	var source strings.Builder
	source.WriteString(app)
	for _, name := range []string{"order", "refund", "report", "mail"} {
		name += strconv.Itoa(t.draw.IntN(1000))
		t.views = append(t.views, name)
		fmt.Fprintf(&source, view, name)
	}
	err := errors.Join(os.Chmod(t.dir, 0o755), os.WriteFile(filepath.Join(t.dir, "shop.py"), []byte(source.String()), 0o644),
		os.WriteFile(filepath.Join(t.dir, "nginx.conf"), fmt.Appendf(nil, proxy, t.dir, ports[0], ports[1]), 0o644),
		os.WriteFile(filepath.Join(t.dir, "resp.yml"), []byte("monitoring_interval: 1s\n"), 0o644))
	if err != nil {
		return err
	}
	args := []string{"--bind", t.back, "--workers", strconv.Itoa(t.clients), "--worker-class", t.class, "--timeout", "120", "shop:app"}
	if t.class == "gthread" {
		args = append([]string{"--threads", strconv.Itoa(t.clients)}, args...)
		args[5] = "1"
	}
	exporter, err := filepath.Abs(t.exporter)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		spec run.Spec
		url  string
	}{
		{run.Spec{Name: "gunicorn", Path: "gunicorn", Args: args}, "http://" + t.back + "/" + t.views[0] + "/0.0/sleep"},
		{run.Spec{Name: "nginx", Path: "nginx", Args: []string{"-c", filepath.Join(t.dir, "nginx.conf"), "-p", t.dir}}, t.front + "/" + t.views[0] + "/0.0/sleep"},
		{run.Spec{Name: "exporter", Path: exporter, Args: []string{"--web.listen-address=" + strings.TrimSuffix(strings.TrimPrefix(t.status, "http://"), "/api/v1/status"), "--config.file=" + filepath.Join(t.dir, "resp.yml")}}, t.status},
	} {
		s.spec.Dir, s.spec.Logs = t.dir, t.dir
		if _, err := t.procs.Start(ctx, s.spec, patience, run.OK(s.url)); err != nil {
			return err
		}
	}
	return nil
}

// sampled waits until the exporter samples the workers.
func (t *trialRun) sampled(ctx context.Context) error {
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		b, err := fetch(ctx, t.status)
		if err == nil && strings.Contains(string(b), `"on":"idle"`) {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("the workers are not sampled: %w", err)
		}
	}
}

// load sends requests of 0 to 5 s, and keeps what the exporter reports meanwhile.
func (t *trialRun) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, t.seconds)
	defer cancel()
	var wg sync.WaitGroup
	for i := range t.clients {
		draw := rand.New(rand.NewPCG(t.draw.Uint64(), uint64(i)))
		wg.Go(func() {
			for ctx.Err() == nil {
				kind := "sleep"
				if draw.IntN(8) == 0 {
					kind = "cpu"
				}
				_, _ = fetch(context.WithoutCancel(ctx), fmt.Sprintf("%s/%s/%.2f/%s", t.front, t.views[draw.IntN(len(t.views))], 5*draw.Float64()*draw.Float64(), kind))
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			t.look(ctx)
			time.Sleep(200 * time.Millisecond) // the rate of the looks that are compared
		}
	})
	wg.Wait()
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// look records the threads that have a request.
func (t *trialRun) look(ctx context.Context) {
	b, err := fetch(ctx, t.status)
	if err != nil {
		return
	}
	var s struct {
		ThreadsAt time.Time `json:"threads_at"`
		Apps      []struct {
			Workers []struct {
				Threads []struct {
					View *string
					Age  *float64 `json:"request_age_seconds"`
				}
			}
		}
	}
	if json.Unmarshal(b, &s) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range s.Apps {
		for _, w := range a.Workers {
			for _, x := range w.Threads {
				if x.View != nil && x.Age != nil {
					t.seen = append(t.seen, seen{float64(s.ThreadsAt.UnixMilli()) / 1000, *x.Age, *x.View})
				}
			}
		}
	}
}

// report compares with the access log.
func (t *trialRun) report(rows *trial.Rows) error {
	f, err := os.Open(filepath.Join(t.dir, "access.log"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	all, found := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		r, ok := parse(lines.Text())
		if !ok || r.took < longer {
			continue
		}
		all++
		off, ok := t.match(r)
		if ok {
			found++
		}
		if err := rows.Write(t.class, r.view, fmt.Sprintf("%.3f", r.took), strconv.FormatBool(ok), fmt.Sprintf("%.3f", off)); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d of %d requests of more than %g s were seen in flight with their view and an age within %g s (%.2f %%)\n",
		t.class, found, all, longer, ageError, 100*float64(found)/float64(max(all, 1)))
	return rows.Flush()
}

// match returns the smallest error of the age of a request, and whether it was
// seen with its view and an age within the limit.
func (t *trialRun) match(r request) (off float64, ok bool) {
	off = math.Inf(1)
	for _, s := range t.seen {
		began := r.ended - r.took
		if s.view == r.view && s.at >= began && s.at <= r.ended {
			off = min(off, math.Abs(s.age-(s.at-began)))
		}
	}
	return off, off <= ageError
}

func parse(line string) (r request, ok bool) {
	f := strings.Fields(line)
	if len(f) != 4 || f[3] != "200" {
		return r, false
	}
	var err1, err2 error
	r.ended, err1 = strconv.ParseFloat(f[0], 64)
	r.took, err2 = strconv.ParseFloat(f[1], 64)
	r.view, _, _ = strings.Cut(strings.TrimPrefix(f[2], "/"), "/")
	return r, errors.Join(err1, err2) == nil
}
