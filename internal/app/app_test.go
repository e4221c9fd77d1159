package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/resp-exporter/resp-exporter/internal/app"
)

// exporter is an exporter that runs in this process.
type exporter struct {
	*app.App
	url  string
	file string
}

// run starts an exporter with that configuration and stops it after the test.
func run(t *testing.T, conf string, change func(*app.Options)) exporter {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resp-exporter.yml")
	write(t, file, conf)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := app.Options{
		ConfigFile: file, ProcRoot: "/proc", SysRoot: "/sys", RootFS: "/", MetricsPath: "/metrics", TimeoutOffset: 250 * time.Millisecond,
		MaxRequests: 40, Lifecycle: true, Listener: ln, Web: &toolkit.FlagConfig{WebConfigFile: new(string)}, Version: "test", Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	a, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			buf := make([]byte, 1<<20)
			t.Errorf("Run does not end:\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
	return exporter{App: a, url: "http://" + ln.Addr().String(), file: file}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get returns the status and the body of a response.
func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	return ask(t, http.MethodGet, url, header...)
}

func ask(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestScrape(t *testing.T) {
	e := run(t, "statsd: {listen: []}", nil)
	for path, want := range map[string]struct {
		code  int
		has   []string
		hasNo []string
	}{
		"/metrics": {200, []string{`resp_collector_available{collector="statsd",reason="disabled"} 0`, `resp_threshold{resource="cpu",severity="critical"} 0.9`,
			"resp_exporter_build_info{", "go_goroutines ", `promhttp_metric_handler_errors_total{cause="gathering"} 0`, "resp_config_last_reload_successful 1"}, nil},
		"/metrics?collect[]=host":                  {200, []string{"resp_host_memory_usage_ratio "}, []string{"resp_threshold{", `collector="disk"`}},
		"/metrics?exclude[]=config":                {200, []string{"resp_host_memory_usage_ratio "}, []string{"resp_threshold{"}},
		"/metrics?collect[]=hots":                  {400, []string{`unknown collector "hots"`, "host"}, nil},
		"/metrics?exclude[]=hots":                  {400, []string{`unknown collector "hots"`}, nil},
		"/metrics?collect[]=host&exclude[]=config": {400, []string{"together"}, nil},
		"/-/healthy":                               {200, []string{"ealthy"}, nil},
		"/debug/pprof/":                            {404, nil, nil},
		"/nothing":                                 {404, nil, nil},
	} {
		code, body := get(t, e.url+path)
		if code != want.code {
			t.Errorf("%s: status %d, want %d: %s", path, code, want.code, body)
		}
		for _, s := range want.has {
			if !strings.Contains(body, s) {
				t.Errorf("%s: no %q", path, s)
			}
		}
		for _, s := range want.hasNo {
			if strings.Contains(body, s) {
				t.Errorf("%s: %q must not be there", path, s)
			}
		}
	}
	if _, body := get(t, e.url+"/metrics", "Accept", "application/openmetrics-text;version=1.0.0"); !strings.HasSuffix(body, "# EOF\n") {
		t.Error("no OpenMetrics when asked for")
	}
}

func TestSwitchedOff(t *testing.T) {
	e := run(t, "statsd: {listen: []}", func(o *app.Options) {
		o.Off = map[string]bool{"host": true}
		o.DisableExporterMetrics = true
		o.RoutePrefix, o.MetricsPath = "/admin/responsiveness", "/numbers"
		o.Lifecycle = false
	})
	code, body := get(t, e.url+"/admin/responsiveness/numbers")
	if code != 200 || strings.Contains(body, "resp_host_") || strings.Contains(body, "go_goroutines") || !strings.Contains(body, `resp_collector_available{collector="host",reason="disabled"} 0`) {
		t.Errorf("%d\n%s", code, body)
	}
	if code, _ := get(t, e.url+"/metrics"); code != 404 {
		t.Errorf("/metrics is %d below a prefix", code)
	}
	if code, _ := ask(t, http.MethodPost, e.url+"/admin/responsiveness/-/reload"); code != 403 {
		t.Errorf("reload without --web.enable-lifecycle: %d", code)
	}
}

// /metrics responds in time for every value of the timeout header.
func TestBudget(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"10": 9750 * time.Millisecond, "1": 750 * time.Millisecond, "0.2": 160 * time.Millisecond, "0.00001": 50 * time.Millisecond,
		"": 8 * time.Second, "x": 8 * time.Second, "-3": 8 * time.Second, "NaN": 8 * time.Second, "1e99": 8 * time.Second,
	} {
		if got := app.Budget(header, 250*time.Millisecond); got != want {
			t.Errorf("header %q: %s, want %s", header, got, want)
		}
	}
}

func TestTooManyScrapes(t *testing.T) {
	if code := app.ScrapeWhenFull(2); code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", code)
	}
}

// errorLog counts the records at Error.
type errorLog struct{ atomic.Int64 }

func (l *errorLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *errorLog) Handle(context.Context, slog.Record) error        { l.Add(1); return nil }
func (l *errorLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *errorLog) WithGroup(string) slog.Handler                    { return l }

func TestReload(t *testing.T) {
	var failures errorLog
	e := run(t, "statsd: {listen: [\"udp://127.0.0.1:0\"]}\nthresholds: {cpu: {warning: 0.5}}", func(o *app.Options) { o.Logger = slog.New(&failures) })
	has := func(lines ...string) {
		t.Helper()
		_, body := get(t, e.url+"/metrics")
		for _, l := range lines {
			if !strings.Contains(body, l) {
				t.Errorf("no %q", l)
			}
		}
	}
	has(`resp_threshold{resource="cpu",severity="warning"} 0.5`)
	write(t, e.file, "thresholds: {cpu: {warning: 0.6}}\nslow_reqest: 3s\n")
	code, body := ask(t, http.MethodPost, e.url+"/-/reload")
	if code != 500 || !strings.Contains(body, "resp-exporter.yml:2: slow_reqest: ") {
		t.Errorf("%d %s", code, body)
	}
	if n := failures.Load(); n != 1 {
		t.Errorf("a reload that failed is logged %d times, want once", n)
	}
	has(`resp_threshold{resource="cpu",severity="warning"} 0.5`, "resp_config_last_reload_successful 0")
	write(t, e.file, "statsd: {listen: [\"udp://127.0.0.1:0\"]}\nthresholds: {cpu: {warning: 0.6}}\n")
	if code, body := ask(t, http.MethodPost, e.url+"/-/reload"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	has(`resp_threshold{resource="cpu",severity="warning"} 0.6`, "resp_config_last_reload_successful 1")
	if err := e.Reload(t.Context()); err != nil { // as SIGHUP does
		t.Error(err)
	}
	if code, _ := get(t, e.url+"/-/reload"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET reload: %d", code)
	}
}

// An address in use is reported and does not stop the exporter; a reload with another
// address listens there.
func TestTakenAddress(t *testing.T) {
	taken, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	e := run(t, fmt.Sprintf("statsd: {listen: [\"udp://%s\"]}", taken.LocalAddr()), nil)
	awaitLine(t, e.url, `resp_collector_available{collector="statsd",reason="in_use"} 0`)
	sock := filepath.Join(t.TempDir(), "statsd.sock")
	write(t, e.file, fmt.Sprintf("statsd: {listen: [\"unixgram://%s\"]}", sock))
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, e.url, `resp_collector_available{collector="statsd",reason="ok"} 1`)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unixgram", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("gunicorn.request.status.200:3|c|#app:mine")); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, e.url, `resp_http_requests_total{app="mine",code="200",method="",route=""} 3`)
	write(t, e.file, "statsd: {listen: [\"udp://127.0.0.1:0\"]}")
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, e.url, `resp_statsd_listening{listen="udp://127.0.0.1:0"} 1`)
	awaitLine(t, e.url, `resp_http_requests_total{app="mine",code="200",method="",route=""} 3`)
	if _, err := os.Stat(sock); !os.IsNotExist(err) {
		t.Errorf("the socket that is no longer wanted is still there: %v", err)
	}
}

func awaitLine(t *testing.T, url, line string) {
	t.Helper()
	var body string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, body = get(t, url+"/metrics"); strings.Contains(body, line+"\n") {
			return
		}
	}
	t.Fatalf("no %q in\n%s", line, body)
}

func TestReadyAndPage(t *testing.T) {
	e := run(t, "statsd: {listen: []}", nil)
	var code int
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && code != 200; time.Sleep(50 * time.Millisecond) {
		code, _ = get(t, e.url+"/-/ready")
	}
	if code != 200 {
		t.Fatalf("never ready: %d", code)
	}
	for path, want := range map[string]string{"/": "resp-exporter", "/api/v1/status": `"apps"`} {
		if code, body := get(t, e.url+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// No goroutine of a scrape is left after it.
func TestNoGoroutineIsLeft(t *testing.T) {
	e := run(t, "statsd: {listen: []}", nil)
	scrapes := func() int {
		for range 50 {
			get(t, e.url+"/metrics")
		}
		return runtime.NumGoroutine()
	}
	awaitLine(t, e.url, "resp_config_last_reload_successful 1")
	// What the exporter starts by itself may come late on a busy machine, but then it stays:
	// one goroutine a scrape is more in every row of scrapes.
	before := scrapes()
	after := scrapes()
	for end := time.Now().Add(20 * time.Second); after > before+5 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		if after = runtime.NumGoroutine(); after > before+5 {
			before, after = after, scrapes()
		}
	}
	if after > before+5 {
		t.Errorf("%d goroutines before, %d after 50 scrapes", before, after)
	}
}

func TestBadConfigurationFailsAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yml")
	write(t, file, "thresholds: {cpu: {warning: lots}}\n")
	_, err := app.New(app.Options{ConfigFile: file, ProcRoot: "/proc", Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "bad.yml:1: thresholds.cpu.warning: ") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkScrape(b *testing.B) {
	h, stop := app.NewScrape(b.Context(), app.Options{ProcRoot: "/proc", SysRoot: "/sys", RootFS: "/", MetricsPath: "/metrics", Logger: slog.New(slog.DiscardHandler)})
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		if code := h(); code != 200 {
			b.Fatal(code)
		}
	}
}
