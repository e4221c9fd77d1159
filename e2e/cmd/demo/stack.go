package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// stack is what the demo runs, in the order it was started.
type stack struct {
	dir, exporterPath, shopDir    string
	shopURL, exporterURL, promURL string
	app                           string // the shop's name, as the exporter gives it
	procs                         []*run.Proc
	dead                          chan struct{}
}

// start starts the parts and returns when each answers.
func (s *stack) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.dead = make(chan struct{}, 3) // one a part: nobody has to receive
	statsd, err := s.startExporter(ctx)
	if err != nil {
		return err
	}
	if err := s.startShop(ctx, statsd); err != nil {
		return err
	}
	return s.startPrometheus(ctx)
}

// startExporter uses no flag and no file unless a default port is taken. It
// returns where StatsD is listened for.
func (s *stack) startExporter(ctx context.Context) (statsd string, err error) {
	var args []string
	// The default is every address, so that is what must be free.
	address := "127.0.0.1:9868"
	if l, err := net.Listen("tcp", ":9868"); err == nil {
		_ = l.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return "", err
		}
		address = fmt.Sprintf("127.0.0.1:%d", port)
		args = append(args, "--web.listen-address="+address)
	}
	statsd = "127.0.0.1:9125"
	if c, err := net.ListenPacket("udp", statsd); err == nil {
		_ = c.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return "", err
		}
		statsd = fmt.Sprintf("127.0.0.1:%d", port)
		file := filepath.Join(s.dir, "resp-exporter.yml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "statsd: {listen: [\"udp://%s\"]}\n", statsd), 0o644); err != nil {
			return "", fmt.Errorf("configuration of the exporter: %w", err)
		}
		args = append(args, "--config.file="+file)
	}
	s.exporterURL = "http://" + address
	return statsd, s.launch(ctx, run.Spec{Name: "exporter", Path: s.exporterPath, Args: args}, s.exporterURL+"/-/ready")
}

func (s *stack) startShop(ctx context.Context, statsd string) error {
	port, err := run.FreePort(8000)
	if err != nil {
		return err
	}
	bind := fmt.Sprintf("127.0.0.1:%d", port)
	s.shopURL = "http://" + bind
	return s.launch(ctx, run.Spec{
		Name: "shop", Path: "gunicorn", Dir: s.shopDir,
		Args: []string{"--workers", "4", "--bind", bind, "--statsd-host", statsd, "--name", "shop", "shop:app"},
		Env:  []string{"PYTHONDONTWRITEBYTECODE=1"},
	}, s.shopURL+"/healthz")
}

func (s *stack) startPrometheus(ctx context.Context) error {
	port, err := run.FreePort(9090)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "prometheus.yml")
	config := fmt.Sprintf(`global: {scrape_interval: 5s, scrape_timeout: 4s}
scrape_configs:
  - job_name: resp
    static_configs: [{targets: [%q]}]
`, strings.TrimPrefix(s.exporterURL, "http://"))
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return fmt.Errorf("configuration of prometheus: %w", err)
	}
	s.promURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return s.launch(ctx, run.Spec{
		Name: "prometheus", Path: "prometheus",
		Args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(s.dir, "tsdb"),
			"--web.listen-address=" + strings.TrimPrefix(s.promURL, "http://"), "--log.level=warn",
		},
	}, s.promURL+"/-/ready")
}

// launch starts one part and waits until url answers.
func (s *stack) launch(ctx context.Context, spec run.Spec, url string) error {
	spec.Logs = s.dir
	p, err := run.Start(spec)
	if err != nil {
		return err
	}
	s.procs = append(s.procs, p)
	go func() {
		<-p.Done()
		s.dead <- struct{}{}
	}()
	if err := run.Answers(ctx, p, url); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output(2000))
	}
	return nil
}

// died receives when a part ended by itself.
func (s *stack) died() <-chan struct{} { return s.dead }

// post says which part ended and what it last wrote.
func (s *stack) post() error {
	var errs []error
	for _, p := range s.procs {
		if err := p.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%w; the end of its log:\n%s", err, p.Output(2000)))
		}
	}
	return errors.Join(errs...)
}

func (s *stack) tails() string {
	var b strings.Builder
	for _, p := range s.procs {
		fmt.Fprintf(&b, "--- %s\n%s\n", p.Name, p.Output(1500))
	}
	return b.String()
}

// stop ends all parts, the last started first.
func (s *stack) stop() {
	for _, p := range slices.Backward(s.procs) {
		p.Stop()
	}
}
