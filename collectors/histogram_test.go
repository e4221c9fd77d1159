package collectors_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// TestNativeHistogram reads the histogram back as a server does.
func TestNativeHistogram(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	values := []float64{0, 1e-9, 1. / 8192, 0.00013, 0.005, 0.0050001, 0.25, 1, 1, 1.05, 1.1, 2, 10, 59, 60, 61, 86400}
	e := ingest.Event{Kind: ingest.Duration, App: []byte("a"), Weight: 1}
	want := map[int]int64{}
	total := 0.0
	for _, v := range values {
		e.Seconds = v
		r.Observe(&e, ingest.Source{})
		total += v
		if v > 1./8192 {
			want[int(math.Ceil(math.Log2(v)*8))]++
		}
	}
	n, h := sumHistograms(t, r)
	if n != uint64(len(values)) || h.GetSampleSum() != total || h.GetZeroCount() != 3 || h.GetSchema() != 3 {
		t.Errorf("count %d, sum %v, zero %d, schema %d", n, h.GetSampleSum(), h.GetZeroCount(), h.GetSchema())
	}
	got := map[int]int64{}
	index, count, delta := 0, int64(0), 0
	for _, s := range h.PositiveSpan {
		index += int(s.GetOffset())
		for range s.GetLength() {
			count += h.PositiveDelta[delta]
			delta++
			if count != 0 {
				got[index] = count
			}
			index++
		}
	}
	if !maps.Equal(got, want) || delta != len(h.PositiveDelta) {
		t.Errorf("buckets %v, want %v", got, want)
	}
	for _, b := range h.Bucket {
		below := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v > b.GetUpperBound() })
		if b.GetCumulativeCount() != uint64(len(below)) {
			t.Errorf("le %v: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), len(below))
		}
	}
}
