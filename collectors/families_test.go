package collectors

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// gathered are metrics as a collector, to be gathered by a registry.
type gathered []Metric

func (gathered) Describe(chan<- *prometheus.Desc) {}

func (g gathered) Collect(ch chan<- prometheus.Metric) {
	for _, m := range g {
		ch <- m
	}
}

// textOf returns families in the text format.
func textOf(t *testing.T, list []*dto.MetricFamily) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range list {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// someMetrics returns metrics of each kind in an order that is drawn.
func someMetrics(n int) []Metric {
	plain, labelled := gauge("plain", "No labels."), gauge("labelled", "Labels that are not sorted.", "worker", "app")
	counted := counter("counted_total", "A counter with \\ and\nlines.", "app", "kind", "code")
	durations := histogram("durations_seconds", "A histogram.", "view", "app")
	var s Sample
	s.add(plain, 1.5)
	for i := range n {
		s.add(labelled, float64(i), fmt.Sprint(i*7%n), fmt.Sprintf("shop%d", i%3))
		s.add(counted, float64(i), fmt.Sprintf("a\"%d", i), "\xff\n", "200")
		h := &durationBuckets{}
		h.observe(float64(i), 1)
		s.Metrics = append(s.Metrics, newDurationMetric(durations, h, fmt.Sprint(i), "shop"))
	}
	rand.New(rand.NewPCG(1, uint64(n))).Shuffle(len(s.Metrics), func(i, j int) { s.Metrics[i], s.Metrics[j] = s.Metrics[j], s.Metrics[i] })
	return s.Metrics
}

// Families are those of a registry of client_golang, byte by byte.
func TestFamilies(t *testing.T) {
	for _, n := range []int{0, 1, 2, 50} {
		metrics := someMetrics(n)
		reg := prometheus.NewRegistry()
		reg.MustRegister(gathered(metrics))
		want, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got, err := families(metrics)
		if err != nil {
			t.Fatal(err)
		}
		if x, y := textOf(t, got), textOf(t, want); x != y {
			t.Errorf("%d:\n%s\nwant\n%s", n, x, y)
		}
	}
}

// What is there twice, or in two kinds, is left out; the rest is not.
func TestFamiliesThatDisagree(t *testing.T) {
	var s Sample
	one, other := gauge("one", "One.", "app"), counter("one", "One.", "app")
	s.add(gauge("good", "Good."), 1)
	s.add(one, 1, "a")
	s.add(one, 2, "b")
	s.add(one, 3, "a")
	s.add(other, 4, "c")
	got, err := families(s.Metrics)
	const want = "# HELP resp_good Good.\n# TYPE resp_good gauge\nresp_good 1\n# HELP resp_one One.\n# TYPE resp_one gauge\nresp_one{app=\"a\"} 1\nresp_one{app=\"b\"} 2\n"
	if text := textOf(t, got); text != want || err == nil {
		t.Errorf("%s%v", text, err)
	}
}

func TestWrongNumberOfLabels(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a metric with too few labels was accepted")
		}
	}()
	new(Sample).add(gauge("g", "G.", "app"), 1)
}

func BenchmarkFamilies(b *testing.B) {
	metrics := someMetrics(150)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := families(metrics); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("registry", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			reg := prometheus.NewRegistry()
			reg.MustRegister(gathered(metrics))
			if _, err := reg.Gather(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
