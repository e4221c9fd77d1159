package views_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
)

// world is an app whose views are called at random.
type world struct {
	rng      *rand.Rand
	rates    []float64 // requests a second of a worker
	lasts    []time.Duration
	leaks    []float64 // bytes a request
	workers  int
	together bool    // the second view is called with each request of the first
	swing    float64 // of the traffic of all views together
	noStart  bool    // the start of requests is not known
	noise    func(seconds float64) float64

	// spiky: the first view takes up to a megabyte for a moment, at the end of the heap,
	// which keeps its size.
	spiky      bool
	live, heap []float64 // of each worker
	at         int       // the worker that is observed
}

const (
	every = 5.0 // seconds an observation
	look  = 100 * time.Millisecond
)

// newWorld draws an app of so many views.
func newWorld(seed uint64, n int) *world {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{rng: rng, workers: 1 + rng.IntN(4), noise: func(float64) float64 { return 0 }}
	for range n {
		w.rates = append(w.rates, .1+rng.Float64()*.5)
		w.lasts = append(w.lasts, time.Duration(2+rng.ExpFloat64()*60)*time.Millisecond)
		w.leaks = append(w.leaks, 0)
	}
	return w
}

// poisson draws a number of events.
func (w *world) poisson(mean float64) (n int) {
	for at := w.rng.ExpFloat64(); at < mean; at += w.rng.ExpFloat64() {
		n++
	}
	return n
}

// observe returns what one worker did in the seconds before.
func (w *world) observe(seconds float64) *views.Observation {
	o := &views.Observation{Seconds: seconds, Age: seconds, Lasted: every, Seen: &views.Seen{Looks: uint64(every / look.Seconds())}}
	first := 0
	for v := range w.rates {
		n := w.poisson(w.rates[v] * every * (1 + w.swing*math.Sin(seconds/3000)))
		if w.together && v == 1 {
			n = first
		}
		first = n
		o.Grown += float64(n) * w.leaks[v]
		x := views.View{Name: "view" + strconv.Itoa(v)}
		for range n {
			w.see(&x, v)
		}
		if x.Requests > 0 {
			o.Seen.Views = append(o.Seen.Views, x)
		}
	}
	if w.spiky {
		o.Grown = w.throughHeap(o)
	}
	o.Grown = 4096 * math.Round((o.Grown+w.noise(seconds))/4096)
	return o
}

// throughHeap returns what the heap of a worker grows by.
func (w *world) throughHeap(o *views.Observation) float64 {
	if w.live == nil {
		w.live, w.heap = make([]float64, w.workers), make([]float64, w.workers)
	}
	k := w.at % w.workers
	w.at++
	before := w.heap[k]
	w.live[k] += o.Grown
	w.heap[k] = max(w.heap[k], w.live[k])
	if len(o.Seen.Views) > 0 && o.Seen.Views[0].Name == "view0" {
		w.heap[k] = max(w.heap[k], w.live[k]+w.rng.Float64()*1e6)
	}
	return w.heap[k] - before
}

// see makes samples see one request.
func (w *world) see(x *views.View, view int) {
	lasts := time.Duration(float64(w.lasts[view]) * (.5 + w.rng.Float64()))
	seen := false
	for age := time.Duration(w.rng.Float64() * float64(look)); age < lasts; age += look {
		seen = true
		if !w.noStart {
			x.Ages.Add(age)
		}
	}
	if seen {
		x.Requests++
	}
}

// run observes an app for some hours and returns what is found in the end, and whether
// anything was found that does not leak, ever.
func (w *world) run(hours float64) (last []views.Growth, wrong bool) {
	a := views.New()
	workers := make([]views.Worker, w.workers)
	for t := every; t < hours*3600; t += every {
		for i := range workers {
			a.Add(&workers[i], w.observe(t))
		}
		if int(t/every)%60 == 0 {
			last = a.Judge(t, w.workers)
			for _, g := range last {
				v, _ := strconv.Atoi(g.View[len("view"):])
				wrong = wrong || w.leaks[v] == 0
			}
		}
	}
	return last, wrong
}

// noises are what memory does besides.
func noises(rng *rand.Rand) map[string]func(float64) float64 {
	held, before := 0.0, 0.0
	return map[string]func(float64) float64{
		"none":  func(float64) float64 { return 0 },
		"pages": func(float64) float64 { return rng.NormFloat64() * 100e3 },
		"sawtooth": func(float64) float64 {
			if held += 20e3; held > 2e6 {
				x := held
				held = 0
				return 20e3 - x
			}
			return 20e3
		},
		"a cache that fills": func(t float64) float64 { return 60e3 * math.Exp(-t/2500) * rng.ExpFloat64() },
		"a batch that returns": func(t float64) float64 {
			level := 0.0
			if math.Mod(t, 1800) < 300 {
				level = 80e6
			}
			x := level - before
			before = level
			return x
		},
		"a leak by time": func(float64) float64 { return 10e3 * rng.ExpFloat64() },
		"heavy tails":    func(float64) float64 { return math.Pow(rng.ExpFloat64(), 3) * 20e3 * float64(rng.IntN(3)-1) },
	}
}

// TestView checks that only the view that leaks is found, with its growth, for any other
// changes of the memory.
func TestView(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Log("seed", seed)
	const each = 6
	found, wrong, all := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(noises(nil))) {
		for i := range uint64(each) {
			seed += 100
			w := newWorld(seed, 3+int(i))
			w.noise = noises(w.rng)[name]
			v := w.rng.IntN(len(w.leaks))
			w.leaks[v] = 50e3
			last, bad := w.run(5)
			all++
			if bad {
				wrong++
			}
			if len(last) != 1 || last[0].View != "view"+strconv.Itoa(v) {
				t.Logf("%s %d: %+v, of view%d %v %v, workers %d", name, i, last, v, w.rates[v], w.lasts[v], w.workers)
				continue
			}
			found++
			truth := 50e3 * w.rates[v] * float64(w.workers)
			if g := last[0]; math.Abs(g.PerRequest-50e3) > 5*g.Error || g.PerSecond < truth/2 || g.PerSecond > truth*2 {
				t.Errorf("%s %d: %+v, not %.0f", name, i, g, truth)
			}
		}
	}
	t.Logf("%d of %d found, %d with a wrong one", found, all, wrong)
	if found < all/2 || wrong > 0 {
		t.Errorf("%d of %d found, %d with a wrong one", found, all, wrong)
	}
}

// TestNoLeak: without a leak, or with one that no view has, no view is found.
func TestNoLeak(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Log("seed", seed)
	for _, name := range slices.Sorted(maps.Keys(noises(nil))) {
		for i := range uint64(8) {
			w := newWorld(seed+i, 2+int(i)*2)
			w.noise = noises(w.rng)[name]
			if last, bad := w.run(3); bad {
				t.Errorf("%s %d: %+v", name, i, last)
			}
		}
	}
}

// TestTogether: of two views that are always requested together none is named alone.
func TestTogether(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Log("seed", seed)
	for i := range uint64(10) {
		w := newWorld(seed+i, 5)
		w.together, w.leaks[1] = true, 50e3
		w.rates[1] = w.rates[0]
		w.lasts[0], w.lasts[1] = w.lasts[0]+15*time.Millisecond, w.lasts[1]+15*time.Millisecond
		if last, bad := w.run(2); bad {
			t.Errorf("%d: %+v %v", i, last, w.lasts)
		}
	}
}

// TestTraffic: views whose traffic rises and falls with that of the one that leaks are
// not named.
func TestTraffic(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Log("seed", seed)
	found := 0
	for i := range uint64(10) {
		w := newWorld(seed+i, 5)
		w.swing, w.leaks[1] = .8, 50e3
		last, bad := w.run(5)
		if bad {
			t.Errorf("%d: %+v %v", i, last, w.lasts)
		}
		found += len(last)
	}
	t.Logf("%d of 10 found", found)
	if found < 5 {
		t.Errorf("%d of 10 found", found)
	}
}

// TestSpikes: a view that takes much for a moment is not named, though the heap grows in
// its requests.
func TestSpikes(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Log("seed", seed)
	found := 0
	for i := range uint64(40) { // so many that no seed comes below the limit by chance
		w := newWorld(seed+i, 5)
		w.spiky, w.leaks[1], w.lasts[0] = true, 50e3, 90*time.Millisecond
		last, bad := w.run(5)
		if bad {
			t.Errorf("%d: %+v %v %v", i, last, w.lasts, w.rates)
		}
		found += len(last)
	}
	t.Logf("%d of 40 found", found)
	if found < 16 {
		t.Errorf("%d of 40 found", found)
	}
}

// TestRate: where the start of requests is not known, the growth is that of the requests
// that were seen.
func TestRate(t *testing.T) {
	w := newWorld(3, 4)
	w.noStart, w.leaks[2], w.lasts[2] = true, 50e3, 50*time.Millisecond
	last, _ := w.run(2)
	truth := 50e3 * w.rates[2] * float64(w.workers)
	if len(last) != 1 || last[0].PerSecond > truth || last[0].PerSecond < truth/4 {
		t.Errorf("%+v, not below %.0f", last, truth)
	}
}

// TestBounds: views beyond the bound are counted as one, and nothing grows.
func TestBounds(t *testing.T) {
	a := views.New()
	for i := range 200 {
		a.Add(new(views.Worker), &views.Observation{Seconds: float64(i), Age: 1000, Lasted: 1, Grown: 1000, Seen: &views.Seen{Views: []views.View{{Name: strconv.Itoa(i), Requests: 1}, {Name: views.OtherView, Requests: 1}}}})
	}
	if a.Dropped() != 200-27 {
		t.Errorf("%d dropped", a.Dropped())
	}
	if n := unsafe.Sizeof(*a); n > 48<<10 {
		t.Errorf("%d bytes", n)
	}
	for _, o := range []views.Observation{{Lasted: math.NaN()}, {Lasted: 1, Grown: math.Inf(1), Age: 1e3}, {Lasted: 1, Seconds: math.NaN(), Age: 1e3}, {Lasted: 1, Age: 10}} {
		o.Seen = &views.Seen{Looks: 1}
		a.Add(new(views.Worker), &o)
		a.Judge(1e5, 1)
	}
	if got := a.Judge(1e6, 4); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// BenchmarkJudge judges 27 views of which none is named.
func BenchmarkJudge(b *testing.B) { judgeViews(b, 1, 0) }

// BenchmarkJudgeNamed judges 27 views of which one is named.
func BenchmarkJudgeNamed(b *testing.B) { judgeViews(b, 4, 1) }

// judgeViews judges what so many workers did in two hours.
func judgeViews(b *testing.B, workers, want int) {
	w := newWorld(1, 27)
	w.leaks[0] = 50e3
	a := views.New()
	ones := make([]views.Worker, workers)
	for t := every; t < 3600*2; t += every {
		for i := range ones {
			a.Add(&ones[i], w.observe(t))
		}
	}
	b.ReportAllocs()
	found := 0
	for b.Loop() {
		found = len(a.Judge(7200, 1))
	}
	if found != want {
		b.Errorf("%d named", found)
	}
}

func BenchmarkAdd(b *testing.B) {
	w := newWorld(1, 27)
	a := views.New()
	o := w.observe(1000)
	var one views.Worker
	b.ReportAllocs()
	for b.Loop() {
		a.Add(&one, o)
	}
}
