package e2e_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// plan lists the requests of the test: 200, by page and the status of the answer.
var plan = []struct {
	path  string
	times int
	code  string
}{
	{"/products", 160, "200"},
	{"/nothing-here", 24, "404"},
	{"/error", 16, "500"},
}

// TestRequestsAreCountedExactly checks that N requests are counted as N, whatever way the
// app reports them.
func TestRequestsAreCountedExactly(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	prefix, tagged := unique("prefixed"), unique("tagged")
	tests := []struct {
		name string
		app  string // the app the counters should be of; empty: the app's own
		args []string
		conf string // a gunicorn configuration file instead of arguments
	}{
		{"by the sender's port", "", []string{"--statsd-host", x.udp}, ""},
		{"by prefix", prefix, []string{"--statsd-host", x.udp, "--statsd-prefix", prefix}, ""},
		{"by tag", tagged, []string{"--statsd-host", x.udp, "--dogstatsd-tags", "app:" + tagged + ",tier:front"}, ""},
		{"over a UNIX socket by the sender's pid", "", nil, hook(x.socket)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			args := append([]string{"-w", "3"}, test.args...)
			if test.conf != "" {
				args = append(args, "-c", write(t, filepath.Join(dir, "g.conf.py"), test.conf))
			}
			a := serve(t, launch{server: "gunicorn", dir: dir, args: args})
			if test.app != "" {
				a.name = test.app
			}
			before := steady(t, x, a.name)
			askAll(t, a)
			after := func() error {
				m := x.scrape(t)
				var errs []error
				for _, p := range plan {
					errs = append(errs, m.want(before[p.code]+float64(p.times), "resp_http_requests_total", "app="+a.name, "code="+p.code))
				}
				return all(append(errs, m.want(before["all"]+200, "resp_http_request_duration_seconds", "app="+a.name))...)
			}
			eventually(t, 20*time.Second, after)
			quiet(t, time.Second, 200*time.Millisecond, "no request is counted twice", after)
		})
	}
}

// hook is a gunicorn configuration whose workers themselves send gunicorn's
// lines to a UNIX datagram socket, which gunicorn 20.1 cannot.
func hook(socket string) string {
	return fmt.Sprintf(`import socket, time
def pre_request(worker, req):
    req.began = time.monotonic()
def post_request(worker, req, environ, resp):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(%q)
    ms = (time.monotonic() - req.began) * 1000
    s.send(b"gunicorn.request.duration:%%f|ms\ngunicorn.requests:1|c|@1.0\ngunicorn.request.status.%%d:1|c|@1.0" %% (ms, resp.status_code))
    s.close()
`, socket)
}

// steady waits until the app's counters no longer change, after the harness's own request
// to /healthz is counted, and returns them by code.
func steady(t *testing.T, x *exporter, app string) map[string]float64 {
	t.Helper()
	var before map[string]float64
	since := time.Now()
	eventually(t, 20*time.Second, func() error {
		now := byCode(x.scrape(t), app)
		if fmt.Sprint(now) != fmt.Sprint(before) {
			before, since = now, time.Now()
		}
		if now["200"] == 0 || time.Since(since) < time.Second {
			return fmt.Errorf("the counters of %s do not stand still yet: %v", app, now)
		}
		return nil
	})
	return before
}

func byCode(m metrics, app string) map[string]float64 {
	out := map[string]float64{}
	m.each("resp_http_requests_total", []string{"app=" + app}, func(labels map[string]string, v float64) {
		out[labels["code"]] += v
	})
	out["all"], _ = m.sum("resp_http_request_duration_seconds", "app="+app)
	return out
}

// askAll sends the plan, a few at a time.
func askAll(t *testing.T, a *app) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, 4)
	for _, p := range plan {
		for range p.times {
			room <- struct{}{}
			wg.Go(func() {
				defer func() { <-room }()
				if got := fmt.Sprint(a.get(p.path)); got != p.code {
					t.Errorf("%s gave %s, want %s", p.path, got, p.code)
				}
			})
		}
	}
}

// TestSlowRequestsAreCounted checks that slow requests are those that take at least
// slow_request.
func TestSlowRequestsAreCounted(t *testing.T) {
	t.Parallel()
	x := watch(t, export{config: "slow_request: 2s\n"}) // longer than a quick one takes on a busy machine
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2", "--statsd-host", x.udp}})
	steady(t, x, a.name)
	for _, path := range []string{"/slow?s=2.2", "/", "/slow?s=0.1", "/slow?s=2.1"} {
		if status := a.get(path); status != 200 {
			t.Fatalf("%s gave %d", path, status)
		}
	}
	eventually(t, 10*time.Second, func() error {
		return x.scrape(t).want(2, "resp_http_slow_requests_total", "app="+a.name)
	})
}
