package collectors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const namespace = "resp_"

// family is one metric: its name, its kind, its help and its label names.
type family struct {
	desc       *prometheus.Desc
	name, help string
	kind       dto.MetricType
	labels     []string // in the order in which the values are given
	sorted     []int    // the places of the labels, sorted by name
}

// newFamily returns a family; name is without the namespace.
func newFamily(kind dto.MetricType, name, help string, labels []string) *family {
	f := &family{prometheus.NewDesc(namespace+name, help, labels, nil), namespace + name, help, kind, labels, make([]int, len(labels))}
	for i := range labels {
		f.sorted[i] = i
	}
	slices.SortFunc(f.sorted, func(i, j int) int { return strings.Compare(labels[i], labels[j]) })
	return f
}

// gauge returns a family of gauges.
func gauge(name, help string, labels ...string) *family {
	return newFamily(dto.MetricType_GAUGE, name, help, labels)
}

// counter returns a family of counters.
func counter(name, help string, labels ...string) *family {
	return newFamily(dto.MetricType_COUNTER, name, help, labels)
}

// histogram returns a family of histograms. Its metrics are made by [newDurationMetric].
func histogram(name, help string, labels ...string) *family {
	return newFamily(dto.MetricType_HISTOGRAM, name, help, labels)
}

// descs returns the descriptors of families, for [Collector.Descs].
func descs(fs ...*family) []*prometheus.Desc {
	ds := make([]*prometheus.Desc, len(fs))
	for i, f := range fs {
		ds[i] = f.desc
	}
	return ds
}

// Metric is a metric of a sample. It never changes.
type Metric interface {
	prometheus.Metric
	// of returns the family.
	of() *family
}

// single is a gauge or a counter.
type single struct {
	family *family
	value  float64
	labels []string // values, in the order of the family's labels
}

// of implements Metric.
func (p *single) of() *family { return p.family }

// Desc implements prometheus.Metric.
func (p *single) Desc() *prometheus.Desc { return p.family.desc }

// Write implements prometheus.Metric. It returns nil.
func (p *single) Write(out *dto.Metric) error {
	out.Label = prometheus.MakeLabelPairs(p.family.desc, p.labels)
	if p.family.kind == dto.MetricType_COUNTER {
		out.Counter = &dto.Counter{Value: &p.value}
	} else {
		out.Gauge = &dto.Gauge{Value: &p.value}
	}
	return nil
}

// add appends a metric of the family f with the value v. The labels are cleaned, so that
// the metric is valid whatever they contain; a slice that is passed must not change.
func (s *Sample) add(f *family, v float64, labels ...string) {
	if len(labels) != len(f.labels) {
		panic(fmt.Sprintf("metric %s: %d values for %d labels", f.name, len(labels), len(f.labels)))
	}
	if s.Metrics == nil {
		s.grow(initialCapacity)
	}
	s.Metrics = append(s.Metrics, &single{f, v, clean(labels)})
}

// set appends a metric of the family f, and sets number in the state to the same value:
// so the page and the scrape cannot disagree.
func (s *Sample) set(number **float64, f *family, v float64, labels ...string) {
	s.add(f, v, labels...)
	*number = model.Known(v)
}

// initialCapacity is the initial capacity of Sample.Metrics: more than half of the
// collectors have more values.
const initialCapacity = 8

// grow makes room for n more metrics.
func (s *Sample) grow(n int) {
	s.Metrics = slices.Grow(s.Metrics, n)
}

// maxLabel is the maximum length of a label value in bytes.
const maxLabel = 256

// cleaned returns a text from outside as a valid label value, as [text.Label] does: at
// most 256 bytes.
func cleaned(s string) string { return text.Label(s, maxLabel) }

// clean returns labels as valid label values of at most 256 bytes each: a copy, or the
// same slice if all are valid.
func clean(labels []string) []string {
	for i, v := range labels {
		if c := text.Label(v, maxLabel); c != v {
			labels = slices.Clone(labels)
			for j := i; j < len(labels); j++ {
				labels[j] = text.Label(labels[j], maxLabel)
			}
			return labels
		}
	}
	return labels
}

// seconds returns t in seconds since 1970, cut to whole milliseconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
