package collectors

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const namespace = "resp_"

// family is one metric: its name, its kind, its help and its label names.
type family struct {
	desc *prometheus.Desc
	name string
	kind prometheus.ValueType
}

// gauge returns a family of gauges.
func gauge(name, help string, labels ...string) *family {
	return &family{prometheus.NewDesc(namespace+name, help, labels, nil), namespace + name, prometheus.GaugeValue}
}

// counter returns a family of counters.
func counter(name, help string, labels ...string) *family {
	return &family{prometheus.NewDesc(namespace+name, help, labels, nil), namespace + name, prometheus.CounterValue}
}

// descs returns the descriptors of families.
func descs(fs ...*family) []*prometheus.Desc {
	ds := make([]*prometheus.Desc, len(fs))
	for i, f := range fs {
		ds[i] = f.desc
	}
	return ds
}

// add appends one value of f. The labels are cleaned, so that the metric is valid
// whatever they contain.
func (s *Sample) add(f *family, v float64, labels ...string) {
	labels = clean(labels)
	if s.Metrics == nil {
		s.grow(initialCapacity)
	}
	s.Metrics = append(s.Metrics, prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...))
}

// set appends one value of f and sets the same number of the state: the page and
// the scrape can never disagree.
func (s *Sample) set(number **float64, f *family, v float64, labels ...string) {
	s.add(f, v, labels...)
	*number = model.Known(v)
}

// initialCapacity is the initial capacity of Sample.Metrics: more than half of the
// collectors have more values.
const initialCapacity = 8

// grow increases the capacity for n more values.
func (s *Sample) grow(n int) {
	s.Metrics = slices.Grow(s.Metrics, n)
}

// maxLabel is the maximum length of a label value in bytes.
const maxLabel = 256

// cleaned returns a text from outside as a valid label value.
func cleaned(s string) string { return text.Label(s, maxLabel) }

// clean returns labels as valid label values; the same slice if nothing changes.
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

// seconds returns a time as Unix time in seconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
