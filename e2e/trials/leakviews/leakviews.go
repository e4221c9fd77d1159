// Package leakviews runs an app of which one view keeps memory for good, and compares the
// view that the exporter names with that one.
package leakviews

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

//go:embed app.py
var source string

const (
	// patience is how long programs may take to start.
	patience = 2 * time.Minute
	look     = 2 * time.Second
	// settled is how many looks in a row must name the view.
	settled = 3
	metric  = "resp_leak_view_growth_bytes_per_second"
	config  = `monitoring_interval: 1s
statsd: {listen: ["udp://127.0.0.1:%d"]}
apps: [{name: shop, match: {listen: "127.0.0.1:%d"}}]
`
)

// Case is one run.
type Case struct {
	Seed     uint64 // of everything that is random
	Leak     bool
	Exporter string
	Workers  int
	Rate     float64       // requests a second
	Bytes    int           // that a request to the view that leaks keeps
	Scale    float64       // how many times faster the exporter's time passes for leaks
	Longest  time.Duration // without a leak as long as that
}

// Result is what a run has shown.
type Result struct {
	Leaks     string // the view that leaks; "": none
	Named     string // what was named in the end; "": none
	Wrong     bool   // another view was named, ever
	Suspected time.Duration
	After     time.Duration // until the view was named; 0: it was not
	Growth    float64       // bytes a second that were told
	Truth     float64       // bytes a second that were kept
}

// Right reports whether what was named is what leaks.
func (r *Result) Right() bool { return !r.Wrong && r.Named == r.Leaks }

// trial is one run.
type trial struct {
	c       *Case
	dir     string
	draws   *rand.Rand
	views   []string
	leaks   string
	kept    atomic.Int64 // requests to that view
	app     string
	metrics string
	procs   []*run.Proc
	client  *http.Client
	calls   sync.WaitGroup
}

// Run runs one case.
func Run(ctx context.Context, c *Case) (_ Result, err error) {
	t := &trial{c: c, draws: rand.New(rand.NewPCG(c.Seed, 3)), client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	if t.dir, err = os.MkdirTemp("", "leakviews"); err != nil {
		return Result{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		t.calls.Wait()
		for _, p := range slices.Backward(t.procs) {
			p.Stop()
		}
		err = errors.Join(err, os.RemoveAll(t.dir))
	}()
	if err := t.start(ctx); err != nil {
		return Result{}, err
	}
	return t.watch(ctx)
}

// start starts the app, the exporter and the load.
func (t *trial) start(ctx context.Context) error {
	names := []string{"basket", "search", "profile", "report", "upload", "invoice", "export", "orders", "refund", "login"}
	t.draws.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	t.views = names[:5]
	lasts := map[string]float64{}
	for _, v := range t.views {
		lasts[v] = .005 + .06*t.draws.Float64()
	}
	if t.c.Leak {
		t.leaks = t.views[t.draws.IntN(len(t.views))]
	}
	text, err := json.Marshal(lasts)
	if err != nil {
		return err
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = run.FreePort(0); err != nil {
			return err
		}
	}
	udp, err := run.FreeUDPPort()
	if err != nil {
		return err
	}
	t.app, t.metrics = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	for name, text := range map[string]string{"leakapp.py": source, "resp-exporter.yml": fmt.Sprintf(config, udp, ports[0])} {
		if err := os.WriteFile(filepath.Join(t.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	err = t.begin(ctx, run.Spec{
		Name: "gunicorn", Path: "gunicorn", Args: []string{"-w", strconv.Itoa(t.c.Workers), "-b", t.app, "--timeout", "120", "leakapp:app"},
		Env: []string{"VIEWS=" + string(text), "LEAK=" + t.leaks, "BYTES=" + strconv.Itoa(t.c.Bytes)},
	}, "http://"+t.app+"/"+t.views[0])
	if err != nil {
		return err
	}
	err = t.begin(ctx, run.Spec{
		Name: "resp-exporter", Path: t.c.Exporter,
		Args: []string{"--web.listen-address=" + t.metrics, "--config.file=" + filepath.Join(t.dir, "resp-exporter.yml"), fmt.Sprintf("--leak.time-scale=%g", t.c.Scale)},
	}, "http://"+t.metrics+"/-/ready")
	if err != nil {
		return err
	}
	t.calls.Go(func() { t.load(ctx) })
	return nil
}

// begin starts a program and waits until it answers.
func (t *trial) begin(ctx context.Context, s run.Spec, url string) error {
	s.Dir, s.Logs = t.dir, t.dir
	p, err := run.Start(s)
	if err != nil {
		return err
	}
	t.procs = append(t.procs, p)
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := run.Answers(ctx, p, url); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output(3000))
	}
	return nil
}

// load sends requests at random times to random views, of which some are more in demand
// than others.
func (t *trial) load(ctx context.Context) {
	draws := rand.New(rand.NewPCG(t.c.Seed, 4))
	demand := make([]float64, len(t.views))
	sum := 0.0
	for i := range demand {
		demand[i] = .5 + draws.Float64()
		sum += demand[i]
	}
	var open atomic.Int64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(draws.ExpFloat64() / t.c.Rate * 1e9)):
		}
		at, v := draws.Float64()*sum, 0
		for ; v < len(demand)-1 && at >= demand[v]; v++ {
			at -= demand[v]
		}
		if open.Load() >= 30 {
			continue
		}
		open.Add(1)
		t.calls.Go(func() {
			defer open.Add(-1)
			t.get(ctx, t.views[v])
		})
	}
}

// get sends one request.
func (t *trial) get(ctx context.Context, view string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.app+"/"+view, http.NoBody)
	if err != nil {
		return
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if view == t.leaks {
		t.kept.Add(1)
	}
}

// watch scrapes until the view was named for some time, or for as long as the case says.
func (t *trial) watch(ctx context.Context) (Result, error) {
	out := Result{Leaks: t.leaks}
	began, before := time.Now(), t.kept.Load()
	for in := 0; in < settled && time.Since(began) < t.c.Longest; {
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(look):
		}
		named, suspected, err := t.scrape(ctx)
		if err != nil {
			return out, err
		}
		if suspected && out.Suspected == 0 {
			out.Suspected = time.Since(began)
		}
		out.note(named)
		in++
		if len(named) != 1 || out.Named != t.leaks {
			in, out.After = 0, 0
		} else if out.After == 0 {
			out.After = time.Since(began)
		}
	}
	out.Truth = float64((t.kept.Load()-before)*int64(t.c.Bytes)) / time.Since(began).Seconds()
	return out, nil
}

// note notes the views that are named at one look.
func (r *Result) note(named map[string]float64) {
	r.Named, r.Growth = "", math.NaN()
	for view, growth := range named {
		r.Named, r.Growth = view, growth
		r.Wrong = r.Wrong || view != r.Leaks
	}
}

// scrape returns the views that are named, with their growth, and whether a worker is
// suspected of a leak.
func (t *trial) scrape(ctx context.Context) (named map[string]float64, suspected bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.metrics+"/metrics?collect[]=leak", http.NoBody)
	if err != nil {
		return nil, false, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, false, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, false, err
	}
	named = map[string]float64{}
	for _, m := range families[metric].GetMetric() {
		named[labelOf(m, "view")] = m.GetGauge().GetValue()
	}
	for _, m := range families["resp_leak_suspected"].GetMetric() {
		suspected = suspected || m.GetGauge().GetValue() == 1
	}
	return named, suspected, nil
}

// labelOf returns the value of a label.
func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
