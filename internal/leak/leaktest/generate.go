// Package leaktest makes memory traces of processes that leak or do not, and scores what
// a detector says of them.
package leaktest

import (
	"math"
	"math/rand/v2"

	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

// Trace is one series whose truth is known.
type Trace struct {
	Kind  string
	Leak  bool
	Start float64 // of the leak, seconds
	Rate  float64 // bytes a second from then on; 0: no leak
	Limit float64 // bytes
	Rows  []trace.Row
}

// Hours returns how long the trace is.
func (t *Trace) Hours() float64 { return t.Rows[len(t.Rows)-1].Seconds / 3600 }

// plan is how a trace is made. Its builders make the terms of a new process each time.
type plan struct {
	leak      bool
	build     func() []term
	traffic   func(t float64) float64 // share of the mean
	lives     float64                 // mean requests after which the process is replaced; 0: never
	cow       float64                 // bytes of the parent's pages that are copied over time
	swap      float64                 // share of the cold memory that is swapped out
	swapKnown bool                    // anon has the swap added
	noise     float64                 // share of the base
	smooth    bool                    // pages and arenas, no noise: as real processes
}

// Generate returns the trace of a kind that a seed draws.
func Generate(kind string, seed uint64) Trace {
	w := &world{Rand: rand.New(rand.NewPCG(seed, hash(kind)))}
	w.duration = w.pick(7200, 7200, 10800, 10800, 14400, 14400, 21600, 28800)
	w.dt = w.pick(10, 12, 15, 15, 20, 30)
	w.base = w.scale(27e6, 300e6)
	w.mean = w.scale(.05, 15)
	p := plan{noise: w.scale(.0003, .004), smooth: w.Float64() < .4}
	p.traffic = w.usual()
	if kind == "traffic" || kind == "rising_day" || kind == "leak_daily" {
		w.mean = w.scale(2, 30)
	}
	kinds()[kind](w, &p)
	return p.run(w, kind)
}

// hash returns the FNV-1a hash of a text.
func hash(s string) (h uint64) {
	h = 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// run simulates the process and returns its trace.
func (p *plan) run(w *world, kind string) Trace {
	out := Trace{Kind: kind, Leak: p.leak, Limit: math.Round(w.base * w.span(2, 5))}
	file := w.span(8e6, 25e6)
	terms := p.build()
	arena := w.pick(4096, 4096, 262144, 1048576)
	ends := p.life(w)
	wander, loss := 0.0, w.pick(0, 0, .02, .05)
	for w.t = w.span(0, w.dt); w.t < w.duration; w.t += w.dt * w.span(.97, 1.03) {
		w.rate = w.mean * p.traffic(w.t)
		w.arrived = w.poisson(w.rate * w.dt)
		w.served += w.arrived
		w.age += w.dt
		if p.lives > 0 && w.served > ends {
			w.served, w.age, ends = math.Floor(w.arrived/2), 0, p.life(w)
			terms = p.build()
		}
		anon := w.base
		for _, x := range terms {
			anon += x(w)
		}
		if !p.smooth {
			wander = .8*wander + .6*w.NormFloat64()*p.noise*w.base
			anon += wander * (.5 + math.Sqrt(min(4, p.traffic(w.t)))/2)
		}
		anon = math.Ceil(anon/arena) * arena
		if w.Float64() < loss {
			continue
		}
		out.Rows = append(out.Rows, p.row(w, anon, file))
	}
	if p.leak {
		out.Start, out.Rate = w.start, w.leaked/(w.duration-w.start)
	}
	return out
}

// life returns the lifetime of the next process as a number of requests; infinite if it is never
// replaced.
func (p *plan) life(w *world) float64 {
	if p.lives == 0 {
		return math.Inf(1)
	}
	return p.lives * w.span(.8, 1.2)
}

// row returns the row of the trace for a process with so many bytes, with what copied pages
// and swap change.
func (p *plan) row(w *world, anon, file float64) trace.Row {
	rss := anon + file
	if p.cow > 0 {
		copied := p.cow * (1 - math.Exp(-w.age/w.duration*4))
		anon, rss = anon+copied, rss+p.cow
	}
	if p.swap > 0 && w.t > w.duration*.4 {
		out := p.swap * w.base * min(1, (w.t-w.duration*.4)/600)
		rss -= out
		if !p.swapKnown {
			anon -= out
		}
	}
	return trace.Row{Seconds: math.Round(w.t*10) / 10, RSS: math.Round(max(rss, 1e6)), Anon: math.Round(max(anon, 1e6)), Requests: w.served}
}
