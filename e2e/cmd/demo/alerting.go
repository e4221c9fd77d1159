package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// faster is the divisor of the times of the shipped rules. The six hours of the rule for
// memory leaks become 36 seconds. A range is at least shortest, which holds three scrapes: one
// may be missed.
const (
	faster   = 600
	shortest = 7 * time.Second
)

// startAlertmanager starts an Alertmanager with the shipped example of a configuration,
// with short times, which notifies only the exporter.
func (s *stack) startAlertmanager(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.rulesDir, "alertmanager.example.yml"))
	if err != nil {
		return fmt.Errorf("alertmanager: %w", err)
	}
	routed, err := rules.Routing{
		Webhook: s.exporterURL + "/api/v1/alerts", TokenFile: s.tokenFile, Interval: interval, Repeat: 5 * interval,
	}.Route(text)
	if err != nil {
		return fmt.Errorf("alertmanager: %w", err)
	}
	file, err := s.write("alertmanager.yml", string(routed))
	if err != nil {
		return err
	}
	port, err := run.FreePort(9093)
	if err != nil {
		return err
	}
	s.alertsURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return s.launch(ctx, run.Spec{
		Name: "alertmanager", Path: "prometheus-alertmanager",
		Args: []string{
			"--config.file=" + file, "--storage.path=" + filepath.Join(s.dir, "alertmanager"),
			"--web.listen-address=" + strings.TrimPrefix(s.alertsURL, "http://"), "--cluster.listen-address=", "--log.level=warn",
		},
	}, answers(s.alertsURL+"/-/ready"))
}

// startPrometheus starts Prometheus with the shipped rules on shorter times, and waits
// until it is ready.
func (s *stack) startPrometheus(ctx context.Context) error {
	port, err := run.FreePort(9090)
	if err != nil {
		return err
	}
	fast := filepath.Join(s.dir, "rules")
	if err := (rules.Scaling{By: faster, Least: shortest}).ScaleDir(s.rulesDir, fast); err != nil {
		return err
	}
	file, err := s.write("prometheus.yml", fmt.Sprintf(`global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
alerting: {alertmanagers: [{static_configs: [{targets: [%[3]q]}]}]}
scrape_configs:
  - job_name: resp
    static_configs: [{targets: [%[4]q]}]
`, interval, filepath.Join(fast, "*.rules.yml"), strings.TrimPrefix(s.alertsURL, "http://"), s.instance()))
	if err != nil {
		return err
	}
	s.promURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return s.launch(ctx, run.Spec{
		Name: "prometheus", Path: "prometheus",
		Args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(s.dir, "tsdb"),
			"--web.listen-address=" + strings.TrimPrefix(s.promURL, "http://"), "--log.level=warn",
			"--rules.alert.resend-delay=" + (5 * interval).String(),
		},
	}, answers(s.promURL+"/-/ready"))
}
