package app

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// registry returns a registry with series of these families.
func registry(tb testing.TB, series int, families ...string) *prometheus.Registry {
	tb.Helper()
	r := prometheus.NewRegistry()
	for _, name := range families {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: name}, []string{"app", "worker"})
		r.MustRegister(v)
		for i := range series {
			v.WithLabelValues("shop", fmt.Sprint(i)).Set(float64(i))
		}
	}
	return r
}

// Two registries are gathered into the same result as by prometheus.Gatherers.
func TestGatherers(t *testing.T) {
	summary := prometheus.NewRegistry()
	summary.MustRegister(prometheus.NewSummary(prometheus.SummaryOpts{Name: "b_seconds", Help: "b"}))
	bad := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		got, err := registry(t, 2, "c").Gather()
		return got, errors.Join(err, errors.New("a part is missing"))
	})
	for name, c := range map[string]struct {
		x, y prometheus.Gatherer
		fast bool
	}{
		"none in common":        {registry(t, 3, "a", "c", "e"), registry(t, 2, "b", "d"), true},
		"nothing":               {registry(t, 0), registry(t, 0), true},
		"one of both":           {registry(t, 2, "a", "c"), registry(t, 0, "c"), true}, // without series it is no family
		"the same series":       {registry(t, 2, "a", "c"), registry(t, 2, "c"), false},
		"a series of a summary": {registry(t, 1, "a", "b_seconds_count"), summary, false},
		"an error":              {registry(t, 2, "a"), bad, true},
	} {
		t.Run(name, func(t *testing.T) {
			want, wantErr := prometheus.Gatherers{c.x, c.y}.Gather()
			got, err := gatherers{c.x, c.y}.Gather()
			if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("%v, %v\nwant %v, %v", got, err, want, wantErr)
			}
			x, _ := c.x.Gather()
			y, _ := c.y.Gather()
			if disjoint(x, y) != c.fast || disjoint(y, x) != c.fast {
				t.Errorf("nothing in common: %v, want %v", !c.fast, c.fast)
			}
			if !slices.IsSortedFunc(got, func(x, y *dto.MetricFamily) int {
				if x.GetName() < y.GetName() {
					return -1
				}
				return 1
			}) {
				t.Error("not sorted")
			}
		})
	}
}

func BenchmarkGatherers(b *testing.B) {
	x, y := registry(b, 5, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), registry(b, 3, "k", "l", "m", "n", "o", "p")
	for name, g := range map[string]prometheus.Gatherer{"ours": gatherers{x, y}, "prometheus": prometheus.Gatherers{x, y}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
