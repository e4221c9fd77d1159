package collectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Gatherer returns the set as a [prometheus.Gatherer] for one scrape, which ends with
// ctx; pick is as in [Set.Read]. Its result is that of a [prometheus.Registry], which
// would check again for each scrape what the tests check once by a pedantic registry.
func (s *Set) Gatherer(ctx context.Context, pick func(string) bool) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return families(s.Read(ctx, pick).Metrics)
	})
}

// families returns metrics in the exposition format: families sorted by name, and in each
// the metrics by the values of their labels. A metric that cannot be written, has the
// labels of an earlier one, or is not of its family's kind is left out; the error says so,
// and the others are returned with it.
func families(metrics []Metric) ([]*dto.MetricFamily, error) {
	byName := make(map[string]*dto.MetricFamily, len(metrics)/2)
	all := make([]*dto.MetricFamily, 0, len(metrics)/2)
	var errs []error
	room := newExposition(metrics)
	for _, m := range metrics {
		f := m.of()
		x := byName[f.name]
		if x == nil {
			x = &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.kind}
			byName[f.name] = x
			all = append(all, x)
		}
		out, err := room.write(m)
		if err == nil && x.GetType() != f.kind {
			err = fmt.Errorf("it is a %s and a %s", x.GetType(), f.kind)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("metric %s: %w", f.name, err))
			continue
		}
		x.Metric = append(x.Metric, out)
	}
	slices.SortFunc(all, func(x, y *dto.MetricFamily) int { return cmp.Compare(x.GetName(), y.GetName()) })
	for _, x := range all {
		slices.SortStableFunc(x.Metric, byLabels)
		before := len(x.Metric)
		x.Metric = slices.CompactFunc(x.Metric, func(a, b *dto.Metric) bool { return byLabels(a, b) == 0 })
		if n := before - len(x.Metric); n > 0 {
			errs = append(errs, fmt.Errorf("metric %s: %d with the same labels as another one", x.GetName(), n))
		}
	}
	all = slices.DeleteFunc(all, func(x *dto.MetricFamily) bool { return len(x.Metric) == 0 })
	return all, errors.Join(errs...)
}

// byLabels compares two metrics of a family by the values of their labels, in their order:
// negative if x is first, 0 if they are equal.
func byLabels(x, y *dto.Metric) int {
	for i := range min(len(x.Label), len(y.Label)) {
		if c := strings.Compare(x.Label[i].GetValue(), y.Label[i].GetValue()); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x.Label), len(y.Label))
}

// exposition is memory for metrics in the exposition format, allocated at once.
type exposition struct {
	metrics  []dto.Metric
	gauges   []dto.Gauge
	counters []dto.Counter
	pairs    []dto.LabelPair
	labels   []*dto.LabelPair
}

// newExposition returns room for the metrics, histograms excepted.
func newExposition(metrics []Metric) *exposition {
	gauges, counters, labels := 0, 0, 0
	for _, m := range metrics {
		if p, ok := m.(*single); ok {
			labels += len(p.labels)
			if p.family.kind == dto.MetricType_COUNTER {
				counters++
			} else {
				gauges++
			}
		}
	}
	return &exposition{
		metrics: make([]dto.Metric, gauges+counters), gauges: make([]dto.Gauge, gauges), counters: make([]dto.Counter, counters),
		pairs: make([]dto.LabelPair, labels), labels: make([]*dto.LabelPair, labels),
	}
}

// write returns m in the exposition format. A single one shares its value and its labels with
// the result, which must not be changed.
func (e *exposition) write(m Metric) (*dto.Metric, error) {
	p, ok := m.(*single)
	if !ok {
		out := new(dto.Metric)
		return out, m.Write(out)
	}
	out := next(&e.metrics)
	if p.family.kind == dto.MetricType_COUNTER {
		out.Counter = next(&e.counters)
		out.Counter.Value = &p.value
	} else {
		out.Gauge = next(&e.gauges)
		out.Gauge.Value = &p.value
	}
	n := len(p.labels)
	out.Label, e.labels = e.labels[:n:n], e.labels[n:]
	for i, place := range p.family.sorted {
		pair := next(&e.pairs)
		pair.Name, pair.Value = &p.family.labels[place], &p.labels[place]
		out.Label[i] = pair
	}
	return out, nil
}

// next returns a pointer to the first element of a slice, and takes it off.
func next[T any](from *[]T) *T {
	first := &(*from)[0]
	*from = (*from)[1:]
	return first
}
