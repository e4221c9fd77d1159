// Command flask measures what the app side costs the workers of a Flask app: their CPU time
// per request with resp_flask.py, beside the same app without it, and with its peers:
// gunicorn's own StatsD, and client_python in its multiprocess mode where that is installed.
// In each round every app is started anew, with the same seed for Python's hashes, and loaded
// by wrk for the same time, in an order that is drawn: processes of one program differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const atMost = 30 * time.Minute

type settings struct {
	rig.Workload

	app, lib string
	rounds   int
	each     time.Duration
}

// variant is one way in which the app is reported.
type variant struct {
	name string
	args []string // of gunicorn
	env  []string

	url     string
	workers []int
	cost    []float64 // microseconds of a request, by round
}

func main() { rig.Main("flask", atMost, start) }

// start reads the flags, runs the rounds and prints the CPU time of a request in each
// variant.
func start(ctx context.Context) error {
	var s settings
	s.Flags("/items/7", "page that is requested: /items/7, /pool/7", "draws the order in each round")
	flag.StringVar(&s.app, "app", "e2e/bench/flask", "directory of the app")
	flag.StringVar(&s.lib, "lib", "integrations/flask", "directory of resp_flask.py")
	flag.IntVar(&s.rounds, "rounds", 20, "rounds")
	flag.DurationVar(&s.each, "each", 2*time.Second, "time for which each app is loaded in a round, in whole seconds")
	flag.Parse()
	if s.rounds < 1 || s.each < time.Second || flag.NArg() > 0 {
		return errors.New("want -rounds of at least 1, -each of at least 1s, and no argument")
	}
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	variants, err := s.prepare(ctx, r)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, %s workers, %s\n%s\n", s.Seed, s.Class, s.Page, rig.Machine())
	draw := rand.New(rand.NewPCG(s.Seed, 0))
	for i := range s.rounds {
		for _, j := range draw.Perm(len(variants)) {
			v := variants[j]
			cost, err := s.measure(ctx, v, i)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			v.cost = append(v.cost, cost)
		}
	}
	fmt.Print(table(variants, s.Seed))
	return nil
}

// prepare starts the exporter and returns the variants of the app.
func (s settings) prepare(ctx context.Context, r *rig.Rig) ([]*variant, error) {
	if _, err := rig.Find("wrk", "apt install wrk"); err != nil {
		return nil, err
	}
	lib, err := filepath.Abs(s.lib)
	if err != nil {
		return nil, err
	}
	port, err := run.FreePort(0)
	if err != nil {
		return nil, err
	}
	statsd := fmt.Sprintf("127.0.0.1:%d", port)
	config, err := r.Write("exporter.yml", "statsd: {listen: [\"udp://"+statsd+"\"]}\n")
	if err != nil {
		return nil, err
	}
	_, err = r.Exporter(ctx, run.Spec{Name: "exporter", Path: s.Exporter, Args: []string{"--config.file=" + config}}, func(address string) []string {
		return []string{"--web.listen-address=" + address}
	})
	if err != nil {
		return nil, err
	}
	control, metrics := filepath.Join(r.Dir, "control"), filepath.Join(r.Dir, "metrics")
	if err := errors.Join(os.Mkdir(control, 0o755), os.Mkdir(metrics, 0o755)); err != nil {
		return nil, err
	}
	variants := []*variant{
		{name: "without"}, {name: "without, again"},
		{name: "resp_flask, no datagrams", env: []string{"REPORT=resp_flask", "PYTHONPATH=" + lib, "RESP_STATSD=", "RESP_CONTROL_DIR=" + control}},
		{name: "resp_flask", env: []string{"REPORT=resp_flask", "PYTHONPATH=" + lib, "RESP_STATSD=udp://" + statsd, "RESP_CONTROL_DIR=" + control}},
		{name: "gunicorn's StatsD", args: []string{"--statsd-host", statsd}},
	}
	if exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import prometheus_client").Run() == nil {
		variants = append(variants, &variant{name: "client_python", env: []string{"REPORT=prometheus", "PROMETHEUS_MULTIPROC_DIR=" + metrics}})
	} else {
		fmt.Println("client_python is not measured: install python3-prometheus-client")
	}
	return variants, nil
}

// measure starts an app, and returns the CPU time of its worker per request, in microseconds.
func (s settings) measure(ctx context.Context, v *variant, round int) (float64, error) {
	r, err := rig.New()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := s.startOne(ctx, r, v, round); err != nil {
		return 0, err
	}
	if _, err := s.load(ctx, v, time.Second); err != nil { // it warms up
		return 0, err
	}
	return s.load(ctx, v, s.each)
}

// startOne starts the app of a variant with one worker, and sets its URL and its processes.
func (s settings) startOne(ctx context.Context, r *rig.Rig, v *variant, round int) error {
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	args := append([]string{"--workers", "1", "--bind", address, "--name", "measured", "--worker-class", s.Class}, v.args...)
	if s.Class == "gthread" {
		args = append(args, "--threads", "2", "--keep-alive", "60")
	}
	v.url = "http://" + address + s.Page
	spec := run.Spec{Name: "app", Path: "gunicorn", Dir: s.app, Args: append(args, "measured:app"), Env: append([]string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=" + strconv.Itoa(round)}, v.env...)}
	app, err := r.Start(ctx, spec, v.url)
	if err != nil {
		return err
	}
	v.workers, err = run.Children(app.PID())
	return err
}

// answered is the line of wrk that has the number of responses.
var answered = regexp.MustCompile(`(\d+) requests in `)

// load loads an app and returns the CPU time of its workers per request, in microseconds.
func (s settings) load(ctx context.Context, v *variant, each time.Duration) (float64, error) {
	before, err := rig.CPUOf(v.workers)
	if err != nil {
		return 0, err
	}
	header := fmt.Sprintf("X-Request-Start: t=%.3f", float64(time.Now().UnixMilli())/1000)
	args := []string{"-t1", "-c2", fmt.Sprintf("-d%ds", int(each.Seconds())), "-H", header, v.url}
	out, err := exec.CommandContext(ctx, "wrk", args...).Output() //nolint:gosec // the tool's own arguments
	if err != nil {
		return 0, fmt.Errorf("wrk: %w", err)
	}
	n := answered.FindSubmatch(out)
	if n == nil || regexp.MustCompile(`Non-2xx`).Match(out) {
		return 0, fmt.Errorf("wrk: %s", out)
	}
	requests, err := strconv.ParseFloat(string(n[1]), 64)
	if err != nil || requests < 100 {
		return 0, fmt.Errorf("%v requests, %w", requests, err)
	}
	after, err := rig.CPUOf(v.workers)
	return float64((after - before).Nanoseconds()) / 1000 / requests, err
}

// table returns what each variant costs, and what it adds to the app without any: medians
// of the rounds, with their 95 % intervals.
func table(variants []*variant, seed uint64) string {
	var rows [][]string
	base := variants[0].cost
	for _, v := range variants {
		more, ratios := make([]float64, len(base)), make([]float64, len(base))
		for i := range base {
			more[i], ratios[i] = v.cost[i]-base[i], v.cost[i]/base[i]
		}
		rows = append(rows, []string{v.name, stat.Of(v.cost).Format(0), stat.Interval(more, seed).Format(1), stat.Interval(ratios, seed).Format(3)})
	}
	return stat.Table([]string{"app", "CPU µs a request", "added, µs", "ratio"}, rows)
}
