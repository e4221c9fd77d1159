package collectors

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The native buckets are those of schema 3: eight a doubling, each 9 % wide.
// They reach from 1/8192 s, below which everything is in the zero bucket, to
// more than the 86400 s that an event may take; so an array holds them all.
const (
	nativeSchema = 3
	nativeFirst  = -103 // (2^(-104/8), 2^(-103/8)] seconds
	nativeLast   = 132  // ends at 2^(132/8), about 92682 seconds
	nativeSlots  = nativeLast - nativeFirst + 2
	nativeZero   = 1.0 / (1 << 13)
)

const classicCount = 13

// classicBounds returns the upper bounds of the classic buckets, in seconds.
func classicBounds() [classicCount]float64 {
	return [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

// weightedCount counts events with weights. The fraction is carried to the next
// event, so that long sums are exact.
type weightedCount struct {
	n     uint64
	carry float64
}

// add counts an event with a weight: it stands for that many. It returns by how many
// whole events the count grew; a fraction is carried over.
func (w *weightedCount) add(weight float64) (whole uint64) {
	if weight == 1 {
		w.n++
		return 1
	}
	weight += w.carry
	whole = uint64(weight)
	w.carry = weight - float64(whole)
	w.n += whole
	return whole
}

// merge adds the count of o, with its fraction.
func (w *weightedCount) merge(o weightedCount) {
	w.n += o.n
	w.add(o.carry)
}

// durationBuckets is a histogram of durations in seconds, with classic and native
// buckets. An observation costs the same whatever its weight.
type durationBuckets struct {
	count   weightedCount
	sum     float64
	classic [classicCount + 1]uint64 // not cumulative; the last is +Inf
	native  [nativeSlots]uint64      // the first is the zero bucket
}

// observe adds a duration in seconds that stands for weight durations.
func (h *durationBuckets) observe(seconds, weight float64) {
	h.sum += seconds * weight
	n := h.count.add(weight)
	h.classic[classicIndex(seconds)] += n
	h.native[nativeIndex(seconds)] += n
}

// merge adds the buckets, count and sum of o.
func (h *durationBuckets) merge(o *durationBuckets) {
	h.sum += o.sum
	h.count.n += o.count.n
	// The carry is in no bucket yet: the next observation adds it.
	h.count.carry += o.count.carry
	for i, n := range o.classic {
		h.classic[i] += n
	}
	for i, n := range o.native {
		h.native[i] += n
	}
}

// clone returns a copy of h that shares nothing with it.
func (h *durationBuckets) clone() *durationBuckets {
	c := *h
	return &c
}

// classicIndex returns the index of the classic bucket of a duration in seconds: the first
// whose bound is not exceeded, classicCount (+Inf) above 60 s.
func classicIndex(v float64) int {
	for i, bound := range classicBounds() {
		if v <= bound {
			return i
		}
	}
	return classicCount
}

// nativeIndex returns the index of the native bucket of a duration in seconds: 0, the zero
// bucket, up to 1/8192 s; the last one for all that is above its end.
func nativeIndex(v float64) int {
	if v <= nativeZero {
		return 0
	}
	frac, exp := math.Frexp(v)
	return min((exp-1)*8+eighthBucket(frac), nativeLast) - nativeFirst + 1
}

// eighthBucket returns the lowest i for which f, from 0.5 to 1, does not exceed
// 2^(i/8)/2.
func eighthBucket(f float64) int {
	switch {
	case f <= 0.5:
		return 0
	case f <= 0.5452538663326288:
		return 1
	case f <= 0.5946035575013605:
		return 2
	case f <= 0.6484197773255048:
		return 3
	case f <= 0.7071067811865475:
		return 4
	case f <= 0.7711054127039704:
		return 5
	case f <= 0.8408964152537144:
		return 6
	case f <= 0.9170040432046711:
		return 7
	default:
		return 8
	}
}

// quantile returns the quantile q, from 0 to 1, in seconds, estimated from native buckets;
// nil if all of them are empty.
func quantile(native *[nativeSlots]uint64, q float64) *float64 {
	var total uint64
	for _, n := range native {
		total += n
	}
	if total == 0 {
		return nil
	}
	rank := q * float64(total)
	seen := 0.0
	for i, n := range native {
		if n == 0 || seen+float64(n) < rank {
			seen += float64(n)
			continue
		}
		part := (rank - seen) / float64(n)
		if i == 0 {
			return model.Known(nativeZero * part)
		}
		// Within a bucket the logarithm is taken to be spread evenly.
		return model.Known(math.Exp2((float64(nativeFirst+i-2) + part) / 8))
	}
	return nil
}

// durationMetric is one histogram at one time, with classic and native buckets: the
// format of the scrape decides which are sent.
type durationMetric struct {
	family  *family
	labels  []*dto.LabelPair
	buckets *durationBuckets // never changed
}

// newDurationMetric returns h as a metric; h must not change afterwards.
func newDurationMetric(f *family, h *durationBuckets, labels ...string) durationMetric {
	return durationMetric{f, prometheus.MakeLabelPairs(f.desc, clean(labels)), h}
}

// of implements Metric.
func (m durationMetric) of() *family { return m.family }

// Desc implements prometheus.Metric.
func (m durationMetric) Desc() *prometheus.Desc { return m.family.desc }

// Write implements prometheus.Metric. It sets all buckets, classic and native, and returns
// nil.
func (m durationMetric) Write(out *dto.Metric) error {
	h := &dto.Histogram{
		SampleCount:   new(m.buckets.count.n),
		SampleSum:     new(m.buckets.sum),
		Schema:        new(int32(nativeSchema)),
		ZeroThreshold: new(float64(nativeZero)),
		ZeroCount:     new(m.buckets.native[0]),
	}
	// All buckets share three allocations.
	bounds, counts, buckets := classicBounds(), [classicCount]uint64{}, make([]dto.Bucket, classicCount)
	h.Bucket = make([]*dto.Bucket, classicCount)
	var cumulative uint64
	for i := range buckets {
		cumulative += m.buckets.classic[i]
		counts[i] = cumulative
		buckets[i].UpperBound, buckets[i].CumulativeCount = &bounds[i], &counts[i]
		h.Bucket[i] = &buckets[i]
	}
	h.PositiveSpan, h.PositiveDelta = spans(&m.buckets.native)
	out.Label, out.Histogram = m.labels, h
	return nil
}

// spans returns the native buckets that are not empty in the exposition format, without
// the zero bucket: spans of adjacent buckets, and each count as the difference from the
// one before. One or two empty buckets between others are written as zeros, which need
// fewer bytes than a new span. If all are empty, it is one span of length 0.
func spans(native *[nativeSlots]uint64) (runs []*dto.BucketSpan, deltas []int64) {
	const worthwhile = 2
	var before int64
	next := 0 // the index after the last one put
	put := func(n uint64) {
		deltas = append(deltas, int64(n)-before)
		before = int64(n)
	}
	for slot := 1; slot < nativeSlots; slot++ {
		n := native[slot]
		if n == 0 {
			continue
		}
		index := nativeFirst + slot - 1
		gap := index - next
		switch {
		case len(runs) == 0:
			runs = append(runs, &dto.BucketSpan{Offset: new(int32(index)), Length: new(uint32(0))})
		case gap <= worthwhile:
			for range gap {
				put(0)
			}
			*runs[len(runs)-1].Length += uint32(gap)
		default:
			runs = append(runs, &dto.BucketSpan{Offset: new(int32(gap)), Length: new(uint32(0))})
		}
		put(n)
		*runs[len(runs)-1].Length++
		next = index + 1
	}
	if len(runs) == 0 {
		// An empty span marks an empty native histogram; without one it is classic.
		runs = append(runs, &dto.BucketSpan{Offset: new(int32(0)), Length: new(uint32(0))})
	}
	return runs, deltas
}
