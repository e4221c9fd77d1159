package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// Options are those of a trial.
type Options struct {
	Hosts      int
	Rules      string        // a directory
	None       bool          // no rules
	Warm, Time time.Duration // before the first figure, and of measuring
	Dashboards string        // a directory; empty: their queries are not run
}

// Run serves the hosts, scrapes them with a Prometheus of its own, and measures it. With
// an error, the result is nil or has what was measured until then.
func Run(ctx context.Context, o Options) (*Result, error) {
	all, err := rules.Load(o.Rules)
	if err != nil {
		return nil, err
	}
	rec, err := load()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "resp-fleet-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	began := time.Now().Add(-96 * time.Hour)
	out := &Result{Options: o, Series: len(rec.series)}
	if o.None {
		all = nil
	} else if out.Past, err = rec.past(ctx, filepath.Join(dir, "tsdb"), o.Hosts, all, began, time.Now().Add(-every)); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	address, err := rec.serve(ctx, began)
	if err != nil {
		return nil, err
	}
	p, err := prometheus(ctx, dir, address, o)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	if err := out.measure(ctx, p, all); err != nil {
		return out, fmt.Errorf("%w\n%s", err, p.Output(2000))
	}
	return out, nil
}

// server is a Prometheus.
type server struct {
	*run.Proc
	base string
}

// prometheus starts a Prometheus that scrapes the simulated hosts, and waits until it is
// ready.
func prometheus(ctx context.Context, dir, hosts string, o Options) (*server, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 15s, evaluation_interval: 15s}\n")
	if !o.None {
		path, err := filepath.Abs(o.Rules)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&config, "rule_files: [%q]\nalerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", filepath.Join(path, "*.rules.yml"), hosts)
	}
	config.WriteString("scrape_configs:\n  - job_name: resp\n    static_configs:\n")
	for host := range o.Hosts {
		fmt.Fprintf(&config, "      - {targets: [%q], labels: {instance: %q, __metrics_path__: /%d/metrics}}\n", hosts, nameOf(host), host)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	// Blocks of one size: the past is not compacted while the time runs.
	p, err := run.Start(run.Spec{Name: "prometheus", Path: "prometheus", Logs: dir, Args: []string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "tsdb"), "--web.listen-address=" + address, "--log.level=warn",
		"--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h",
	}})
	if err != nil {
		return nil, err
	}
	s := &server{p, "http://" + address}
	ready, done := context.WithTimeout(ctx, 2*time.Minute)
	defer done()
	if err := run.Answers(ready, p, s.base+"/-/ready"); err != nil {
		p.Stop()
		return nil, errors.Join(err, errors.New(p.Output(2000)))
	}
	return s, nil
}
