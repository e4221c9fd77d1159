package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// requestsOf requests a page of an app several times, and waits until all requests are
// counted for the app of that name.
func requestsOf(t *testing.T, x *exporter, a *app, name string) {
	t.Helper()
	askPages(t, a)
	eventually(t, 20*time.Second, func() error { return counted(x.scrape(t), name) })
}

// askPages requests a page of an app three times.
func askPages(t *testing.T, a *app) {
	t.Helper()
	for range 3 {
		if status := a.get("/products"); status != 200 {
			t.Fatalf("%s answered %d", a.name, status)
		}
	}
}

// counted returns an error unless three requests count for a watched app of that name, and
// no line was malformed.
func counted(m metrics, name string) error {
	n, _ := m.sum("resp_http_requests_total", "app="+name, "code=200")
	if n < 3 {
		return fmt.Errorf("%v requests of %s", n, name)
	}
	return all(m.want(1, "resp_up", "component=app:"+name), m.want(0, "resp_statsd_lines_total", "outcome=malformed"))
}

// TestTruthStatsDNames checks that an app with an unusual name is found under the name of
// its requests, whether the name came in a tag or a prefix.
func TestTruthStatsDNames(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn")
	space, pod := "my "+unique("shop"), "production-eu-west-1.team-checkout."+unique("shop")+"-web-6d5f7c9b8d-x2x7q"
	colon, bar := unique("shop")+":blue", unique("shop")+"+(a)"
	cleaned := strings.NewReplacer(" ", "_", "+", "_", "(", "_", ")", "_")
	cases := map[string]struct {
		title string
		args  []string
		want  string
	}{
		"a tag with a space":          {space, []string{"--dogstatsd-tags", "app:" + space + ",env:prod"}, cleaned.Replace(space)},
		"a prefix with a space":       {space + "2", []string{"--statsd-prefix", space + "2"}, cleaned.Replace(space) + "2"},
		"a tag without a name":        {space + "3", []string{"--dogstatsd-tags", "app:,env:prod"}, cleaned.Replace(space) + "3"},
		"an empty tag and a prefix":   {space + "4", []string{"--dogstatsd-tags", "app:", "--statsd-prefix", space + "4."}, cleaned.Replace(space) + "4"},
		"a long tag":                  {pod, []string{"--dogstatsd-tags", "app:" + pod}, pod[:64]},
		"a long prefix":               {"x" + pod, []string{"--statsd-prefix", "x" + pod}, ("x" + pod)[:64]},
		"a prefix with a colon":       {colon, []string{"--statsd-prefix", colon}, colon},
		"a tag with signs":            {bar, []string{"--dogstatsd-tags", "env:prod, app:" + bar + "|"}, cleaned.Replace(bar)},
		"a name beyond ASCII, no tag": {"españa" + colon, nil, "espa_a" + colon},
	}
	x := watch(t, export{})
	for _, c := range cases {
		askPages(t, serve(t, launch{server: "gunicorn", title: c.title, args: append([]string{"-w", "1", "--statsd-host", x.udp}, c.args...)}))
	}
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		var errs []error
		for name, c := range cases {
			if err := counted(m, c.want); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return all(errs...)
	})
}

// TestTruthStatsDNamesOfOthers checks names in encodings that only other clients send.
func TestTruthStatsDNamesOfOthers(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for _, to := range []string{x.udp, x.socket} {
		base := unique("n")
		send(t, to, strings.Join([]string{
			"gunicorn.request.status.200:1|c|#app:" + base + "españa", base + "espa\xf1a.gunicorn.request.status.200:1|c",
			base + "espa a.hypercorn.request.status.200:1|c||#app:|", "gunicorn.request.status.200:1|c|#env:\xff,app:" + base + "espa\u202ea",
		}, "\n"))
		eventually(t, 10*time.Second, func() error {
			m := x.scrape(t)
			return all(m.want(4, "resp_http_requests_total", "app="+base+"espa_a"), m.want(0, "resp_statsd_lines_total", "outcome=malformed"))
		})
	}
}

// plainASGI answers each request.
const plainASGI = `async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
`

// TestTruthHypercornReports checks that hypercorn's lines are counted like gunicorn's.
func TestTruthHypercornReports(t *testing.T) {
	t.Parallel()
	need(t, "hypercorn")
	x := watch(t, export{})
	source := write(t, filepath.Join(openDir(t), "a.py"), plainASGI)
	plain := launch{server: "hypercorn", source: source, name: unique("hyper"), args: []string{"--statsd-host", x.udp}}
	prefixed := plain
	prefixed.name = unique("hyper")
	prefixed.args = append(prefixed.args[:2:2], "--statsd-prefix", prefixed.name)
	askPages(t, serve(t, plain))
	askPages(t, serve(t, prefixed))
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		var errs []error
		for _, name := range []string{plain.name, prefixed.name} {
			n, _ := m.sum("resp_http_request_duration_seconds", "app="+name)
			errs = append(errs, counted(m, name), wants("three durations of "+name, n >= 3, true))
		}
		return all(errs...)
	})
}

// beside runs the doctor with the flags of an exporter that runs.
func beside(t *testing.T, x *exporter) examined {
	t.Helper()
	_, d := doctor(t, examination{file: x.config, args: []string{"--web.listen-address=" + strings.TrimPrefix(x.url, "http://")}})
	return d
}

// TestTruthDoctorMalformedLines checks that malformed lines of an app are a note of the
// doctor with the kind of fault and without their text, that a name without a watched app
// is one too, and that lines of strangers are none.
func TestTruthDoctorMalformedLines(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	conf := write(t, filepath.Join(openDir(t), "conf.py"), fmt.Sprintf(`import socket
def post_worker_init(worker):
    worker.mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    worker.mine.connect((%q, %s))
def post_request(worker, req, environ, resp):
    worker.mine.send(b"gunicorn.request.duration:secret|ms\nevil\x1b[31m\n")
`, "127.0.0.1", port(x.udp)))
	dots := unique("prod") + ".shop"
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1", "-c", conf, "--statsd-host", x.udp, "--statsd-prefix", dots}})
	send(t, x.udp, "of a stranger")
	a.get("/products")
	eventually(t, 30*time.Second, func() error {
		a.get("/products")
		d := beside(t, x)
		for _, s := range d.Sections {
			for _, f := range s.Findings {
				if s.Name == "requests" && (strings.Contains(f.Detail, "secret") || strings.Contains(f.Detail, "evil") || f.Fault) {
					t.Fatalf("%+v", f)
				}
			}
		}
		return all(d.says("requests", wantFinding{of: "app:" + a.name, reason: "malformed"}, "shape "),
			d.says("requests", wantFinding{of: "app:" + a.name, reason: "malformed"}, "value "),
			d.says("requests", wantFinding{of: "app:" + a.name, reason: "misnamed", remedy: []string{"--dogstatsd-tags app:" + a.name}}, dots))
	})
	if err := x.scrape(t).want(1, "resp_collector_available", "collector=requests", "reason=ok"); err != nil {
		t.Error(err)
	}
}

// TestTruthDoctorASGIWorkers checks that doctor reports workers of uvicorn under gunicorn,
// which send no StatsD whatever --statsd-host is.
func TestTruthDoctorASGIWorkers(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uvicorn")
	x := watch(t, export{})
	source := write(t, filepath.Join(openDir(t), "a.py"), plainASGI)
	a := serve(t, launch{server: "gunicorn", source: source, env: withoutTitles(t), args: []string{"-w", "1", "-k", "uvicorn.workers.UvicornWorker", "--statsd-host", x.udp}})
	sync := serve(t, launch{server: "gunicorn", env: withoutTitles(t), args: []string{"-w", "1", "--statsd-host", x.udp}})
	var d examined
	eventually(t, 20*time.Second, func() error {
		d = beside(t, x)
		return d.says("requests", wantFinding{of: "app:" + a.name, reason: "unsupported", remedy: []string{"docs/statsd.md"}}, "UvicornWorker")
	})
	if err := d.says("requests", wantFinding{of: "app:" + sync.name, reason: "unsupported"}); err == nil {
		t.Error("a sync worker is said to report nothing")
	}
}

// unixLogger makes gunicorn report to a UNIX socket as newer versions do by
// themselves: it connects once, when the master starts.
const unixLogger = `import socket
from gunicorn.instrument.statsd import Statsd
class logger_class(Statsd):
    def __init__(self, cfg):
        Statsd.__init__(self, cfg)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.connect(%q)
`

// TestTruthDoctorSeveredSocket checks that doctor reports a gunicorn that is still
// connected to a UNIX socket that the exporter has replaced.
func TestTruthDoctorSeveredSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(openDir(t), "statsd.sock")
	e := export{statsd: fmt.Sprintf("statsd: {listen: [\"unixgram://%s\"]}\n", socket)}
	x := watch(t, e)
	conf := write(t, filepath.Join(openDir(t), "conf.py"), fmt.Sprintf(unixLogger, socket))
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1", "-c", conf}})
	requestsOf(t, x, a, a.name)
	if err := beside(t, x).says("requests", wantFinding{of: "app:" + a.name, reason: "not_found"}); err == nil {
		t.Error("a socket that works is said to lead nowhere")
	}
	x.Stop()
	x = watch(t, e)
	a.get("/products")
	eventually(t, 20*time.Second, func() error {
		return beside(t, x).says("requests", wantFinding{of: "app:" + a.name, reason: "not_found", remedy: []string{"restart " + a.name}})
	})
}

// TestTruthHeldSocketOutlivesRestart checks that a socket that a supervisor holds, as
// systemd does, survives a restart of the exporter, and that lines sent meanwhile are
// counted.
func TestTruthHeldSocketOutlivesRestart(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(openDir(t), "statsd.sock")
	held, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := held.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	e := export{
		statsd: fmt.Sprintf("statsd: {listen: [\"unixgram://%s\"]}\n", socket), files: []*os.File{file},
		wrap: []string{"sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=statsd; exec "$@"`, "sh"},
	}
	x := watch(t, e)
	conf := write(t, filepath.Join(openDir(t), "conf.py"), fmt.Sprintf(unixLogger, socket))
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1", "-c", conf}})
	requestsOf(t, x, a, a.name)
	x.Stop()
	if status := a.get("/products"); status != 200 { // three lines: they wait
		t.Fatal(status)
	}
	x = watch(t, e)
	eventually(t, 20*time.Second, func() error {
		return x.scrape(t).want(1, "resp_http_requests_total", "app="+a.name, "code=200")
	})
	requestsOf(t, x, a, a.name)
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
}
