package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// TestPrometheusScrapes scrapes a real exporter beside a real app with a real Prometheus.
func TestPrometheusScrapes(t *testing.T) {
	t.Parallel()
	need(t, "prometheus", "promtool")
	x := watch(t, export{})
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "3", "--statsd-host", x.udp}})
	base := prometheus(t, x)
	want := func(v float64, expr string) error {
		got, ok, err := prom.One(t.Context(), base, expr)
		if err == nil && !ok {
			err = fmt.Errorf("%s gives nothing", expr)
		}
		return all(err, wants(expr, got, v))
	}
	eventually(t, 30*time.Second, func() error {
		return all(
			want(1, `up{job="resp"}`),
			want(1, fmt.Sprintf(`resp_up{component="app:%s"}`, a.name)),
			want(3, fmt.Sprintf(`sum(resp_app_workers{app="%s"})`, a.name)),
			want(1, fmt.Sprintf(`sum(resp_http_requests_total{app="%s"}) > bool 0`, a.name)),
			want(0, `sum(resp_scrape_collector_success == bool 0)`),
		)
	})
	status, body, err := x.get("/metrics")
	if err != nil || status != 200 {
		t.Fatalf("scrape: status %d, %v", status, err)
	}
	lint := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	lint.Stdin = strings.NewReader(body)
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestNativeHistogram checks that a Prometheus that accepts native histograms gets one,
// whose quantile is within the 9 % width of its buckets.
func TestNativeHistogram(t *testing.T) {
	t.Parallel()
	need(t, "prometheus")
	x := watch(t, export{})
	base := prometheus(t, x, "--enable-feature=native-histograms")
	for range 20 {
		send(t, x.udp, "gunicorn.request.duration:250|ms|#app:native")
	}
	expr := func(f string) string { return f + `resp_http_request_duration_seconds{app="native"})` }
	eventually(t, 30*time.Second, func() error {
		count, ok, err := prom.One(t.Context(), base, expr("histogram_count("))
		if err != nil {
			return err
		}
		if !ok || count != 20 {
			return fmt.Errorf("histogram_count is %v (%t), want 20", count, ok)
		}
		median, ok, err := prom.One(t.Context(), base, expr("histogram_quantile(0.5, "))
		if err == nil && (!ok || median < 0.25/1.1 || median > 0.25*1.1) {
			err = fmt.Errorf("the median is %v (%t), want about 0.25 s", median, ok)
		}
		return err
	})
}

// prometheus starts a server that scrapes x each second, and returns its address.
func prometheus(t *testing.T, x *exporter, flags ...string) string {
	t.Helper()
	return prometheusOf(t, x, nil, flags...)
}

// prometheusOf does so with more lines in its configuration.
func prometheusOf(t *testing.T, x *exporter, more []string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	config := write(t, filepath.Join(dir, "prometheus.yml"), joined(more...)+joined(
		"global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}",
		"scrape_configs:",
		"  - job_name: resp",
		fmt.Sprintf("    static_configs: [{targets: [%q]}]", strings.TrimPrefix(x.url, "http://")),
	))
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := start(t, run.Spec{Name: "prometheus", Path: "prometheus", Args: append([]string{
		"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "tsdb"), "--web.listen-address=" + address, "--log.level=warn",
	}, flags...)})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}
