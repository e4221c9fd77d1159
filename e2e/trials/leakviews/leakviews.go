// Package leakviews runs an app of which one view keeps memory for good, and compares the
// view that the exporter names with that one.
package leakviews

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/resp-exporter/resp-exporter/e2e/trials/leakrig"
)

//go:embed app.py
var source string

const (
	look = 2 * time.Second
	// settled is how many looks in a row must name the view.
	settled = 3
	metric  = "resp_leak_view_growth_bytes_per_second"
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
	*leakrig.Rig

	c     *Case
	views []string
	leaks string
	kept  atomic.Int64 // requests to that view
}

// Run runs one case.
func Run(ctx context.Context, c *Case) (_ Result, err error) {
	t := &trial{c: c}
	lasts, err := t.draw()
	if err != nil {
		return Result{}, err
	}
	t.Rig, err = leakrig.Start(ctx, leakrig.Options{
		Source: source, Workers: c.Workers, Exporter: c.Exporter, Scale: c.Scale, Page: t.views[0],
		Env: []string{"VIEWS=" + lasts, "LEAK=" + t.leaks, "BYTES=" + strconv.Itoa(c.Bytes)},
	})
	if err != nil {
		return Result{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		err = errors.Join(err, t.Close())
	}()
	t.Calls.Go(func() { t.load(ctx) })
	return t.watch(ctx)
}

// draw sets the views and the one that leaks, and returns how many seconds each lasts, as
// JSON.
func (t *trial) draw() (string, error) {
	draws := rand.New(rand.NewPCG(t.c.Seed, 3))
	names := []string{"basket", "search", "profile", "report", "upload", "invoice", "export", "orders", "refund", "login"}
	draws.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	t.views = names[:5]
	lasts := map[string]float64{}
	for _, v := range t.views {
		lasts[v] = .005 + .06*draws.Float64()
	}
	if t.c.Leak {
		t.leaks = t.views[draws.IntN(len(t.views))]
	}
	text, err := json.Marshal(lasts)
	return string(text), err
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
		t.Calls.Go(func() {
			defer open.Add(-1)
			t.get(ctx, t.views[v])
		})
	}
}

// get sends one request.
func (t *trial) get(ctx context.Context, view string) {
	if _, err := t.Get(ctx, t.App+"/"+view); err == nil && view == t.leaks {
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

// note records the views that are named at one look.
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
	text, err := t.Get(ctx, t.Metrics+"/metrics?collect[]=leak")
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
