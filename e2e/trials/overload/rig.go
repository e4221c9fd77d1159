package overload

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

//go:embed app.py
var source string

const (
	patience = 2 * time.Minute // of a program that starts
	faster   = 600             // the divisor of the times of the shipped rules
	shortest = 5 * time.Second // of a range of theirs
	token    = "token-of-a-trial"
	alert    = "RespQueueTimeHigh"
	config   = `monitoring_interval: 1s
statsd: {listen: ["udp://127.0.0.1:%d"]}
apps: [{name: shop, match: {listen: "127.0.0.1:%d"}}]
healing:
  mode: %s
  token_file: %s
  warmup: 0s
  rules:
    - name: overload
      match: {alertname: ` + alert + `}
      cooldown: 20s
      steps:
        - {action: throttle, with: {target: %s, ttl: 30s, ramp: 15s}, verify_within: 20s}
        - {action: escalate}
`
	scrapes = `global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%q]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: resp, static_configs: [{targets: [%q]}]}]
`
)

// rig is all that runs for one case.
type rig struct {
	o        Options
	dir      string
	procs    run.Group
	exporter string // its URL
	front    string // that of the proxy in front of the app
	server   *http.Server
}

// control returns the app's control file.
func (r *rig) control() string { return filepath.Join(r.dir, "run", "control", "shop.json") }

// start starts the app, its proxy, the exporter and what tells it of alerts.
func (r *rig) start(ctx context.Context) error {
	udp, err := run.FreeUDPPort()
	if err != nil {
		return err
	}
	var ports [4]int
	for i := range ports {
		if ports[i], err = run.FreePort(0); err != nil {
			return err
		}
	}
	r.exporter = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	if err := r.startExporter(ctx, udp, ports[0]); err != nil {
		return err
	}
	if err := r.startApp(ctx, udp, ports[0]); err != nil {
		return err
	}
	if err := r.startFront(fmt.Sprintf("127.0.0.1:%d", ports[0])); err != nil || r.o.Direct {
		return err
	}
	return r.startAlerts(ctx, fmt.Sprintf("127.0.0.1:%d", ports[2]), fmt.Sprintf("127.0.0.1:%d", ports[3]))
}

// write writes a file and returns its path.
func (r *rig) write(name, text string) (string, error) {
	path := filepath.Join(r.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// begin starts a program and waits until it answers.
func (r *rig) begin(ctx context.Context, url, path string, env []string, args ...string) error {
	s := run.Spec{Name: filepath.Base(path), Path: path, Args: args, Env: env, Dir: r.dir, Logs: r.dir}
	_, err := r.procs.Start(ctx, s, patience, run.OK(url))
	return err
}

// startExporter starts the exporter, which heals only with the option Throttle, and waits
// until it is ready.
func (r *rig) startExporter(ctx context.Context, udp, app int) error {
	mode := "dry_run"
	if r.o.Throttle {
		mode = "enforce"
	}
	secret, err := r.write("token", token+"\n")
	if err != nil {
		return err
	}
	file, err := r.write("resp-exporter.yml", fmt.Sprintf(config, udp, app, mode, secret, target))
	if err != nil {
		return err
	}
	return r.begin(ctx, r.exporter+"/-/ready", r.o.Exporter, nil, "--web.listen-address="+strings.TrimPrefix(r.exporter, "http://"),
		"--config.file="+file, "--state.dir="+filepath.Join(r.dir, "state"), "--control.dir="+filepath.Dir(r.control()))
}

// startApp starts the app and waits until it answers.
func (r *rig) startApp(ctx context.Context, udp, port int) error {
	if _, err := r.write("overloaded.py", source); err != nil {
		return err
	}
	env := []string{
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + filepath.Join(r.o.Root, "integrations", "flask"), fmt.Sprintf("RESP_STATSD=udp://127.0.0.1:%d", udp),
		"CONTROL=" + filepath.Dir(r.control()), fmt.Sprintf("MEAN=%g", mean),
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	return r.begin(ctx, "http://"+listen+health, "gunicorn", env, "-w", strconv.Itoa(workers), "-k", "gthread", "--threads", strconv.Itoa(threads),
		"--timeout", "120", "-b", listen, "overloaded:app")
}

// startFront starts a proxy that says when it received a request, as nginx does with
// proxy_set_header X-Request-Start "t=${msec}".
func (r *rig) startFront(app string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	to := &url.URL{Scheme: "http", Host: app}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Set("X-Request-Start", fmt.Sprintf("t=%.3f", float64(time.Now().UnixMicro())/1e6))
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	r.front, r.server = "http://"+l.Addr().String(), &http.Server{Handler: proxy, ReadHeaderTimeout: patience}
	go func() { _ = r.server.Serve(l) }()
	return nil
}

// startAlerts starts Prometheus with the shipped rules, scaled, and Alertmanager with the
// shipped configuration.
func (r *rig) startAlerts(ctx context.Context, prometheus, alertmanager string) error {
	from := filepath.Join(r.o.Root, "rules")
	text, err := os.ReadFile(filepath.Join(from, "alertmanager.example.yml"))
	if err != nil {
		return err
	}
	routing := rules.Routing{Webhook: r.exporter + "/api/v1/alerts", TokenFile: filepath.Join(r.dir, "token"), Interval: time.Second, Repeat: 5 * time.Second}
	if text, err = routing.Route(text); err != nil {
		return err
	}
	fast := filepath.Join(r.dir, "rules")
	file, err := r.write("alertmanager.yml", string(text))
	if err = errors.Join(err, (rules.Scaling{By: faster, Least: shortest}).ScaleDir(from, fast)); err != nil {
		return err
	}
	err = r.begin(ctx, "http://"+alertmanager+"/-/ready", "prometheus-alertmanager", nil, "--config.file="+file, "--storage.path="+filepath.Join(r.dir, "am"),
		"--web.listen-address="+alertmanager, "--cluster.listen-address=", "--log.level=error")
	if err != nil {
		return err
	}
	file, err = r.write("prometheus.yml", fmt.Sprintf(scrapes, filepath.Join(fast, "*.rules.yml"), alertmanager, strings.TrimPrefix(r.exporter, "http://")))
	if err != nil {
		return err
	}
	return r.begin(ctx, "http://"+prometheus+"/-/ready", "prometheus", nil, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(r.dir, "tsdb"),
		"--web.listen-address="+prometheus, "--log.level=warn", "--rules.alert.resend-delay=5s")
}

// reports sends the alert to the exporter as Alertmanager does, every 2 s, until the
// throttle has begun or ctx ends.
func (r *rig) reports(ctx context.Context) {
	for at := time.Now(); waits(ctx, at); at = at.Add(2 * time.Second) {
		if _, err := os.Stat(r.control()); err == nil {
			return
		}
		// Another incident each time: before requests wait, a run ends as cleared.
		body, err := rules.Notification(map[string]string{"alertname": alert, "app": "shop"}, nil, time.Now())
		if err != nil {
			return
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.exporter+"/api/v1/alerts", bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
}

// throttled waits until the app is asked to shed requests, or is not any more, and returns
// how long that took; negative: it did not come before ctx ended.
func (r *rig) throttled(ctx context.Context, since time.Time, wanted bool) time.Duration {
	for at := time.Now(); waits(ctx, at); at = at.Add(looks) {
		if _, err := os.Stat(r.control()); (err == nil) == wanted {
			return time.Since(since)
		}
	}
	return -1
}

// close stops all programs and the server.
func (r *rig) close() {
	if r.server != nil {
		_ = r.server.Close()
	}
	r.procs.Stop()
}
