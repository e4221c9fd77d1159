package leak_test

import (
	"math"
	"testing"
	"unsafe"

	"github.com/resp-exporter/resp-exporter/internal/leak"
	"github.com/resp-exporter/resp-exporter/internal/leak/leaktest"
	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

// judge adds a trace to a detector.
func judge(t *leaktest.Trace) leak.Verdict {
	f := trace.NewFeed()
	for _, r := range t.Rows {
		f.Add(r)
	}
	return f.Verdict()
}

// TestSmall is the small case of make trial-leaks: three traces of each kind.
func TestSmall(t *testing.T) {
	const seed = 1000
	var latched, final leaktest.Score
	for _, k := range leaktest.Kinds() {
		for s := range uint64(3) {
			x := leaktest.Generate(k, seed+s)
			v := judge(&x)
			latched.Add(&x, leaktest.Said{Leak: !math.IsNaN(v.First), At: v.First, Slope: v.Slope})
			final.Add(&x, leaktest.Said{Leak: v.Leak, At: v.Since, Slope: v.Slope})
		}
	}
	t.Logf("seed %d: latched F1 %.3f, final F1 %.3f, %.2f false alarms in 100 hours, slope error %.3f",
		seed, latched.F1(), final.F1(), final.FalsePer100(), final.SlopeError())
	if latched.F1() < .88 || final.F1() < .9 || final.FalsePer100() > 2 || final.SlopeError() > .1 {
		t.Errorf("seed %d: latched %+v, final %+v", seed, latched, final)
	}
}

// feed adds to a detector the samples of a process of 100 MB that grows, one each 30
// seconds.
func feed(d *leak.Detector, from, to float64, grows func(t float64) float64) {
	for t := from; t < to; t += 30 {
		m := 100e6 + grows(t-from)
		d.Add(leak.Sample{Seconds: t, RSS: m + 20e6, Anon: m, Requests: (t - from) / 2})
	}
}

func TestVerdict(t *testing.T) {
	d := leak.New()
	feed(d, 0, 9000, func(t float64) float64 { return 2000 * t })
	v := d.Verdict()
	if !v.Leak || v.Recycled || v.Since != v.First || v.Since < 4500 || v.Since > 6000 {
		t.Fatalf("%+v", v)
	}
	if math.Abs(v.Slope-2000) > 40 || math.Abs(v.BytesPerRequest-4000) > 80 || v.Confidence < .9 {
		t.Errorf("%+v", v)
	}
}

// TestReplaced shows that what one process lost is not held against the next one, and
// that three lives that grew to their end are.
func TestReplaced(t *testing.T) {
	d := leak.New()
	feed(d, 0, 9000, func(t float64) float64 { return 2000 * t })
	d.Replace()
	feed(d, 9000, 16000, func(float64) float64 { return 0 })
	if v := d.Verdict(); v.Leak || math.IsNaN(v.First) {
		t.Errorf("after the leaking process ended: %+v", v)
	}
	d = leak.New()
	for i := range 4 {
		feed(d, float64(i)*1800, float64(i+1)*1800, func(t float64) float64 { return 10000 * t })
		d.Replace()
	}
	feed(d, 7200, 9000, func(t float64) float64 { return 10000 * t })
	if v := d.Verdict(); !v.Leak || !v.Recycled || math.Abs(v.Slope-10000) > 1000 {
		t.Errorf("over lives: %+v", v)
	}
	d = leak.New()
	for i := range 6 {
		feed(d, float64(i)*1800, float64(i+1)*1800, func(t float64) float64 { return 20e6 * (1 - math.Exp(-t/200)) })
		d.Replace()
	}
	if v := d.Verdict(); !math.IsNaN(v.First) {
		t.Errorf("lives that fill a cache: %+v", v)
	}
}

// TestNotResident shows that pages that are copied after a fork are no leak, and that
// memory that is swapped out is one.
func TestNotResident(t *testing.T) {
	copied, swapped := leak.New(), leak.New()
	for s := 0.0; s < 20000; s += 30 {
		lost := 1000 * s
		copied.Add(leak.Sample{Seconds: s, RSS: 200e6, Anon: 100e6 + lost, Requests: s})
		swapped.Add(leak.Sample{Seconds: s, RSS: 200e6, Anon: 180e6 + lost, Swap: lost, Requests: s})
	}
	if v := copied.Verdict(); !math.IsNaN(v.First) {
		t.Errorf("copied pages: %+v", v)
	}
	if v := swapped.Verdict(); !v.Leak {
		t.Errorf("swapped out: %+v", v)
	}
}

// TestLongLife shows that a leak of a process that is days old is found.
func TestLongLife(t *testing.T) {
	d := leak.New()
	begins := 5 * 86400.0
	feed(d, 0, begins+6*3600, func(t float64) float64 { return 20e6*(1-math.Exp(-t/600)) + 2000*max(0, t-begins) })
	if v := d.Verdict(); !v.Leak || v.First < begins || math.Abs(v.Slope-2000) > 100 {
		t.Errorf("%+v", v)
	}
}

// TestOdd checks that samples that no kernel returns do no harm to a detector.
func TestOdd(t *testing.T) {
	d := leak.New()
	for i, x := range []float64{math.NaN(), math.Inf(1), -1, 1e300, 0, 1e17} {
		for _, s := range []leak.Sample{{Seconds: x}, {Seconds: float64(i), RSS: x}, {Anon: x}, {Requests: x}, {Seconds: 1e8 + float64(i), Swap: x}} {
			d.Add(s)
		}
		d.Replace()
	}
	if v := d.Verdict(); v.Leak {
		t.Errorf("%+v", v)
	}
}

// TestSize checks that a worker's detector takes at most 64 KiB of memory.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(leak.Detector{}); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
}

// BenchmarkEvaluation judges a leaking process at each sample.
func BenchmarkEvaluation(b *testing.B) {
	d := leak.New()
	t := 0.0
	next := func() {
		t += 50
		d.Add(leak.Sample{Seconds: t, RSS: 150e6 + 500*t, Anon: 100e6 + 500*t + 3e5*math.Sin(t), Requests: 10 * t * (1 + .1*math.Sin(t/9000))})
	}
	for range 600 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// BenchmarkDoubtful judges a process each of whose windows is fitted, without a leak.
func BenchmarkDoubtful(b *testing.B) {
	d := leak.New()
	t := 0.0
	next := func() {
		t += 50
		d.Add(leak.Sample{Seconds: t, RSS: 150e6 + 1e6*math.Log1p(t), Anon: 100e6 + 30e6*math.Log1p(t/9000), Requests: 10 * t * (1 + .1*math.Sin(t/9000))})
	}
	for range 600 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// BenchmarkSample adds samples of a process that does not grow.
func BenchmarkSample(b *testing.B) {
	d := leak.New()
	t := 0.0
	b.ReportAllocs()
	for b.Loop() {
		t += 30
		d.Add(leak.Sample{Seconds: t, RSS: 150e6, Anon: 100e6 + 5e6*math.Sin(t/5000), Requests: t})
	}
}
