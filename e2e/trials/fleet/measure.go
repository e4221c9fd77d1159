package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

// Result is what one Prometheus cost.
type Result struct {
	Options
	Series, Past    int     // a host publishes; samples of the past
	Up              float64 // hosts
	Head            float64 // series of Prometheus
	CPU             float64 // cores
	RSS             float64 // bytes
	Evaluating      float64 // seconds a second, of all groups
	Missed, Failed  float64 // iterations of groups, evaluations of rules
	MissedQueried   float64 // iterations of groups while the dashboards are queried, and 15 s after
	Groups          []Group
	Costs           []Cost
	Alerts          []Alert // that fire or are pending
	Queries         []Query
	SamplesASecond  float64
	RecordedSeries  float64
	ScrapedASecond  float64
	MeasuredSeconds float64
}

// Group is the time of one evaluation of a group, in seconds.
type Group struct {
	Name      string
	Last, Max float64
}

// Alert is one that is active, by its name and all its labels.
type Alert struct{ Name, Labels string }

// Cost is what one evaluation of a rule reads.
type Cost struct {
	Rule    string
	Every   time.Duration
	Samples float64
}

// ASecond returns the cost in samples per second.
func (c Cost) ASecond() float64 { return c.Samples / c.Every.Seconds() }

// measure waits until the server is warm, and sets what it used during the rounds that
// follow.
func (r *Result) measure(ctx context.Context, p *server, all []rules.Rule) error {
	if err := wait(ctx, p, r.Warm); err != nil {
		return err
	}
	before, err := p.now(ctx)
	if err != nil {
		return err
	}
	if err := r.rounds(ctx, p); err != nil {
		return err
	}
	after, err := p.now(ctx)
	if err != nil {
		return err
	}
	r.between(before, after)
	if err := r.reads(ctx, p, all); err != nil {
		return err
	}
	if err := r.state(ctx, p); err != nil || r.Dashboards == "" {
		return err
	}
	return r.query(ctx, p)
}

// query runs the queries of the dashboards, and counts the iterations of groups that are missed
// meanwhile.
func (r *Result) query(ctx context.Context, p *server) error {
	before, err := p.now(ctx)
	if err != nil {
		return err
	}
	if r.Queries, err = p.dashboards(ctx, r.Dashboards); err != nil {
		return err
	}
	if err := wait(ctx, p, every); err != nil { // a missed iteration is counted by the next
		return err
	}
	after, err := p.now(ctx)
	r.MissedQueried = after.missed - before.missed
	return err
}

// rounds waits for the time of measuring, and looks at the groups every 15 seconds.
func (r *Result) rounds(ctx context.Context, p *server) (err error) {
	highest := map[string]float64{}
	for left := r.Time; left > 0; left -= every {
		if err := wait(ctx, p, min(left, every)); err != nil {
			return err
		}
		if r.Groups, err = p.groups(ctx); err != nil {
			return err
		}
		for i, g := range r.Groups {
			highest[g.Name] = max(highest[g.Name], g.Last)
			r.Groups[i].Max = highest[g.Name]
		}
	}
	return nil
}

// reads counts the samples that each rule reads. The dearest are first.
func (r *Result) reads(ctx context.Context, p *server, all []rules.Rule) (err error) {
	for _, rule := range all {
		c := Cost{Rule: rule.Key(), Every: max(rule.Interval, every)}
		if rule.Record != "" {
			c.Rule = rule.Record
		}
		if c.Samples, err = p.samples(ctx, rule.Expr); err != nil {
			return err
		}
		r.SamplesASecond += c.ASecond()
		r.Costs = append(r.Costs, c)
	}
	slices.SortFunc(r.Costs, func(a, b Cost) int { return cmp.Compare(b.ASecond(), a.ASecond()) })
	return nil
}

// wait waits for d. An error: ctx or the server has ended before.
func wait(ctx context.Context, p *server, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.Done():
		return fmt.Errorf("prometheus has ended: %w", p.Err())
	case <-time.After(d):
		return nil
	}
}

// state reads what is there at the end.
func (r *Result) state(ctx context.Context, p *server) error {
	for expr, into := range map[string]*float64{`sum(up{job="resp"})`: &r.Up, `count({__name__=~"instance.*:.*"})`: &r.RecordedSeries} {
		v, _, err := prom.One(ctx, p.base, expr)
		if err != nil {
			return err
		}
		*into = v
	}
	var data struct {
		Alerts []struct{ Labels map[string]string }
	}
	if err := p.answer(ctx, "/api/v1/alerts", &data); err != nil { // ALERTS has no alerts of a group before its third round
		return err
	}
	for _, a := range data.Alerts {
		r.Alerts = append(r.Alerts, Alert{a.Labels["alertname"], labels.FromMap(a.Labels).String()})
	}
	slices.SortFunc(r.Alerts, func(a, b Alert) int { return strings.Compare(a.Labels, b.Labels) })
	r.Alerts = slices.Compact(r.Alerts)
	return nil
}

// moment is what a Prometheus has counted until a time.
type moment struct {
	at               time.Time
	cpu, rss         float64
	head             float64
	appended         float64
	evaluating       float64
	missed, failures float64
}

// between sets the figures from the readings at the begin and the end.
func (r *Result) between(a, b moment) {
	s := b.at.Sub(a.at).Seconds()
	r.MeasuredSeconds, r.RSS, r.Head = s, b.rss, b.head
	r.CPU, r.Evaluating, r.ScrapedASecond = (b.cpu-a.cpu)/s, (b.evaluating-a.evaluating)/s, (b.appended-a.appended)/s
	r.Missed, r.Failed = b.missed-a.missed, b.failures-a.failures
}

// now returns the server's CPU time, memory and counters at the present moment.
func (p *server) now(ctx context.Context) (m moment, err error) {
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return m, err
	}
	m.at = time.Now()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return m, err
	}
	sum := func(name string) (v float64) {
		for _, x := range families[name].GetMetric() {
			v += x.GetCounter().GetValue() + x.GetGauge().GetValue() + x.GetSummary().GetSampleSum()
		}
		return v
	}
	m.cpu, m.rss = sum("process_cpu_seconds_total"), sum("process_resident_memory_bytes")
	m.head, m.appended = sum("prometheus_tsdb_head_series"), sum("prometheus_tsdb_head_samples_appended_total")
	m.evaluating = sum("prometheus_rule_group_duration_seconds")
	m.missed, m.failures = sum("prometheus_rule_group_iterations_missed_total"), sum("prometheus_rule_evaluation_failures_total")
	return m, nil
}
