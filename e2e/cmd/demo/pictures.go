package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/render"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	calm    = 4 * time.Minute  // before the first pictures, after the story: graphs of faults and of none
	broken  = 75 * time.Second // from a failure to its pictures: a minute after Prometheus sees it
	drawing = 2 * time.Minute  // for one picture, also on a busy machine
	hosts   = 6
)

// pictures draws the dashboards on what the demo has done, while its exporter does not
// answer, of six hosts, and while MySQL is down. The demo ends after that: MySQL is not
// started again.
func (s *stack) pictures(ctx context.Context, began time.Time) error {
	for _, step := range []struct {
		what string
		do   func() error
		wait time.Duration
		list []render.Picture
	}{
		{"all is well again", nil, calm, []render.Picture{
			s.shows("overview", ""), s.shows("fleet", ""), s.shows("app", ""), s.shows("workers", ""), s.shows("database", ""),
			s.shows("redis", ""), s.shows("tasks", ""), s.shows("host", ""), s.shows("exporter", ""), s.inLight("overview"), s.inLight("app"), s.ofAll("overview"), s.ofAll("fleet"), s.ofAll("workers"),
		}},
		{"the exporter stops answering", s.signal("exporter", syscall.SIGSTOP), broken, []render.Picture{s.shows("overview", "exporter-dead"), s.shows("exporter", "exporter-dead")}},
		{"the exporter answers again", s.signal("exporter", syscall.SIGCONT), broken, nil},
		{"MySQL ends", s.endMySQL, broken, []render.Picture{s.shows("overview", "mysql-down"), s.shows("database", "mysql-down")}},
	} {
		fmt.Printf("Pictures: %s.\n", step.what)
		if step.do != nil {
			if err := step.do(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step.wait):
		}
		if err := s.draw(ctx, time.Since(began), step.list); err != nil {
			return err
		}
	}
	return nil
}

// shows returns a picture of a dashboard, in the state that its name says.
func (s *stack) shows(dashboard, state string) render.Picture {
	name := strings.TrimSuffix(dashboard+"-"+state, "-")
	p := render.Picture{
		Dashboard: filepath.Join(s.dashboards, "resp-"+dashboard+".json"), Picture: filepath.Join(s.picturesDir, name+".png"),
		Prometheus: s.promURL, Scrape: interval.Seconds(), Width: 1280, Height: 1024,
	}
	if dashboard != "overview" && dashboard != "fleet" { // they are about all apps and hosts
		p.Variables = map[string][]string{"instance": {s.instance()}, "app": {"shop"}}
	}
	return p
}

// ofAll returns a picture of a dashboard with all of six hosts.
func (s *stack) ofAll(dashboard string) render.Picture {
	p := s.shows(dashboard, "six-hosts")
	p.Prometheus, p.Scrape, p.Variables = s.fleetURL, fleetInterval.Seconds(), nil
	return p
}

// inLight returns a picture of a dashboard in the light theme.
func (s *stack) inLight(dashboard string) render.Picture {
	p := s.shows(dashboard, "light")
	p.Theme = "light"
	return p
}

// draw draws pictures of the last time, and makes their files small.
func (s *stack) draw(ctx context.Context, last time.Duration, list []render.Picture) error {
	if len(list) == 0 {
		return nil
	}
	for i := range list {
		list[i].Until, list[i].Range = time.Now().UnixMilli(), last.Round(time.Second).Seconds()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(list)+1)*drawing)
	defer cancel()
	out, messages, err := render.Draw(ctx, s.renderDir, filepath.Join(s.dir, "page"), drawing, list)
	for line := range bytes.Lines(out) {
		var one struct{ Dashboard, Error string }
		if json.Unmarshal(line, &one) == nil && one.Error != "" {
			err = errors.Join(err, fmt.Errorf("%s: %s", one.Dashboard, one.Error))
		}
	}
	if err != nil {
		return fmt.Errorf("draw.mjs: %w\n%s", err, messages)
	}
	for _, p := range list {
		if err := shrink(p.Picture); err != nil {
			return err
		}
		if s.secret == nil {
			fmt.Println("  " + p.Picture)
		}
	}
	return nil
}

// signal returns what sends a signal to a part.
func (s *stack) signal(name string, what syscall.Signal) func() error {
	return func() error {
		p := s.part(name)
		if p == nil {
			return fmt.Errorf("no %s runs", name)
		}
		return p.Signal(what)
	}
}

// endMySQL ends the server, as an administrator or a crash would.
func (s *stack) endMySQL() error {
	if len(s.stores) == 0 {
		return errors.New("no store runs")
	}
	s.stores[0].Stop()
	return nil
}

const fleetInterval = 5 * time.Second

// startFleet starts a second Prometheus that scrapes the exporter under six names, as if
// there were six hosts with the same app.
func (s *stack) startFleet(ctx context.Context) error {
	port, err := run.FreePort(9095)
	if err != nil {
		return err
	}
	var targets []string
	for i := range hosts {
		targets = append(targets, fmt.Sprintf("'web-%d:9868'", i+1))
	}
	file, err := s.write("fleet.yml", fmt.Sprintf(`global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
scrape_configs:
  - job_name: resp
    static_configs: [{targets: [%[3]s]}]
    relabel_configs:
      - {source_labels: [__address__], target_label: instance}
      - {target_label: __address__, replacement: %[4]q}
`, fleetInterval, filepath.Join(s.dir, "rules", "*.rules.yml"), strings.Join(targets, ", "), s.instance()))
	if err != nil {
		return err
	}
	s.fleetURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return s.launch(ctx, run.Spec{
		Name: "fleet", Path: "prometheus",
		Args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(s.dir, "fleet"),
			"--web.listen-address=" + strings.TrimPrefix(s.fleetURL, "http://"), "--log.level=warn",
		},
	}, answers(s.fleetURL+"/-/ready"))
}
