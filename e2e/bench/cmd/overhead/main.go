// Command overhead measures what the exporter's sampler costs the app that it
// watches: the CPU time of the workers per request while the exporter runs, and
// while it is stopped, in alternating pairs. It prints the median ratio with its
// 95 % interval, and keeps each pair in a CSV file that a later run continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

const (
	atMost  = 30 * time.Minute
	clients = 4
)

type settings struct {
	rig.Workload

	shop, csv string
	pairs, n  int
}

func main() { rig.Main("overhead", atMost, start) }

// start reads the flags, measures the pairs that the file does not have yet, and prints the
// difference.
func start(ctx context.Context) error {
	var s settings
	s.Flags("/products", "page that is requested, of a fixed amount of work", "draws which half of a pair is first")
	flag.StringVar(&s.shop, "shop", "e2e/shop", "directory of the shop app")
	flag.StringVar(&s.csv, "csv", "build/trials/overhead.csv", "file of the pairs, continued if it has the same seed")
	flag.IntVar(&s.pairs, "pairs", 24, "pairs")
	flag.IntVar(&s.n, "n", 2000, "requests in each half of a pair")
	flag.Parse()
	if s.pairs < 1 || s.n < 10 || flag.NArg() > 0 {
		return errors.New("want -pairs of at least 1, -n of at least 10, and no argument")
	}
	rows, before, err := trial.Open(s.csv, s.Seed, "with_us", "without_us", "load")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	fmt.Printf("seed %d, %s workers, %s\n%s\n", s.Seed, s.Class, s.Page, rig.Machine())
	ratios, err := ratiosOf(before)
	if err != nil {
		return err
	}
	if ratios, err = s.measure(ctx, rows, ratios); err != nil {
		return err
	}
	ratio := stat.Interval(ratios, s.Seed)
	fmt.Printf("CPU of the workers a request, sampled / not sampled: median %.4f, 95 %% interval %.4f to %.4f, %d pairs\n",
		ratio.Median, ratio.Min, ratio.Max, len(ratios))
	return nil
}

// ratiosOf returns the ratios of the pairs in a file.
func ratiosOf(rows [][]string) ([]float64, error) {
	var out []float64
	for _, row := range rows {
		with, err1 := strconv.ParseFloat(row[0], 64)
		without, err2 := strconv.ParseFloat(row[1], 64)
		if err := errors.Join(err1, err2); err != nil || without <= 0 {
			return nil, fmt.Errorf("row %v of an earlier run: %w", row, err)
		}
		out = append(out, with/without)
	}
	return out, nil
}

// measure adds the pairs that are missing.
func (s settings) measure(ctx context.Context, rows *trial.Rows, ratios []float64) ([]float64, error) {
	r, err := rig.New()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	exporter, base, workers, err := s.startAll(ctx, r)
	if err != nil {
		return nil, err
	}
	draw := rand.New(rand.NewPCG(s.Seed, uint64(len(ratios))))
	for i := len(ratios); i < s.pairs; i++ {
		cost := map[bool]float64{}
		first := draw.IntN(2) == 0
		for _, sampled := range []bool{first, !first} {
			if cost[sampled], err = s.half(ctx, exporter, base, workers, sampled); err != nil {
				return nil, err
			}
		}
		ratios = append(ratios, cost[true]/cost[false])
		if err := errors.Join(rows.Write(fmt.Sprintf("%.3f", cost[true]), fmt.Sprintf("%.3f", cost[false]), load()), rows.Flush()); err != nil {
			return nil, err
		}
	}
	return ratios, nil
}

// startAll starts the app and the exporter, and returns the exporter, the address
// of the app and the pids of its workers.
func (s settings) startAll(ctx context.Context, r *rig.Rig) (exporter *run.Proc, base string, workers []int, err error) {
	ports := [2]int{}
	for i := range ports {
		if ports[i], err = run.FreePort(0); err != nil {
			return nil, "", nil, err
		}
	}
	base = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	args := []string{"--workers", "2", "--bind", base[len("http://"):], "--name", "shop", "--worker-class", s.Class, "shop:app"}
	if s.Class == "gthread" {
		args = append([]string{"--threads", "4"}, args...)
	}
	app, err := r.Start(ctx, run.Spec{Name: "shop", Path: "gunicorn", Dir: s.shop, Args: args, Env: []string{"PYTHONDONTWRITEBYTECODE=1"}}, base+"/healthz")
	if err != nil {
		return nil, "", nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[1])
	exporter, err = r.Start(ctx, run.Spec{Name: "exporter", Path: s.Exporter, Args: []string{"--web.listen-address=" + address}}, "http://"+address+"/metrics")
	if err != nil {
		return nil, "", nil, err
	}
	if workers, err = run.Children(app.PID()); err == nil && len(workers) != 2 {
		err = fmt.Errorf("the app has %d workers", len(workers))
	}
	return exporter, base, workers, err
}

// half sends the requests of one half of a pair and returns the CPU time of the
// workers per request in microseconds.
func (s settings) half(ctx context.Context, exporter *run.Proc, base string, workers []int, sampled bool) (float64, error) {
	signal := syscall.SIGSTOP
	if sampled {
		signal = syscall.SIGCONT
	}
	if err := exporter.Signal(signal); err != nil {
		return 0, err
	}
	if err := s.send(ctx, base, s.n/10); err != nil { // both halves begin in the same state
		return 0, err
	}
	before, err := rig.CPUOf(workers)
	if err != nil {
		return 0, err
	}
	if err := s.send(ctx, base, s.n); err != nil {
		return 0, err
	}
	after, err := rig.CPUOf(workers)
	return float64((after - before).Microseconds()) / float64(s.n), err
}

// send sends n requests from several clients at a time.
func (s settings) send(ctx context.Context, base string, n int) error {
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range clients {
		wg.Go(func() {
			for range work {
				if errs[i] = s.visit(ctx, client, base); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// visit requests the page once. Any status but 200 is an error.
func (s settings) visit(ctx context.Context, client *http.Client, base string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+s.Page, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", s.Page, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// load returns the load of the machine over the last minute, "" if it cannot be read.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
