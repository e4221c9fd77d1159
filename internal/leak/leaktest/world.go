package leaktest

import (
	"math"
	"math/rand/v2"
)

// world is what a simulated process sees at one step.
type world struct {
	*rand.Rand

	dt, t, duration float64 // seconds
	base            float64 // bytes
	age             float64 // of the process, seconds
	arrived         float64 // requests in this step
	served          float64 // by the process
	rate            float64 // requests a second that the traffic has now
	mean            float64 // requests a second over the trace
	start           float64 // of the leak
	leaked          float64 // so far, by all processes
}

// term is a part of the memory: bytes at this step.
type term func(w *world) float64

// span draws a number from lo to hi, evenly.
func (w *world) span(lo, hi float64) float64 { return lo + (hi-lo)*w.Float64() }

// scale draws a number from lo to hi, evenly on a logarithmic scale.
func (w *world) scale(lo, hi float64) float64 {
	return lo * math.Exp(w.Float64()*math.Log(hi/lo))
}

// pick draws one of the numbers.
func (w *world) pick(xs ...float64) float64 { return xs[w.IntN(len(xs))] }

// poisson draws a number of events with that mean.
func (w *world) poisson(mean float64) float64 {
	if mean > 40 {
		return max(0, math.Round(mean+math.Sqrt(mean)*w.NormFloat64()))
	}
	n, p := 0.0, math.Exp(-mean)
	for x := w.Float64(); x > p; x *= w.Float64() {
		n++
	}
	return n
}

// usual returns traffic as most apps have it: a share of the mean over time.
func (w *world) usual() func(float64) float64 {
	switch w.IntN(4) {
	case 0:
		return w.bursts()
	case 1:
		return w.daily()
	case 2:
		a, period, phase := w.span(.1, .4), w.span(600, 3600), w.span(0, 6)
		return func(t float64) float64 { return 1 + a*math.Sin(2*math.Pi*t/period+phase) }
	default:
		return func(float64) float64 { return 1 }
	}
}

// daily draws how traffic changes over a day: a factor around 1 by the time in seconds.
func (w *world) daily() func(float64) float64 {
	a, period, phase := w.span(.3, .8), w.duration*w.pick(.4, .7, 1, 2), w.span(0, 6.3)
	return func(t float64) float64 { return 1 + a*math.Sin(2*math.Pi*t/period+phase) }
}

// bursts draws traffic in bursts: a factor by the time in seconds.
func (w *world) bursts() func(float64) float64 {
	idle, long, busy := w.span(.1, .6), w.span(600, 2400), w.span(.1, .4)
	high := (1 - idle*(1-busy)) / busy
	shift := w.span(0, long)
	return func(t float64) float64 {
		n := math.Floor((t + shift) / long)
		at := math.Mod(t+shift, long) / long
		from := math.Mod(n*.618034, 1) * (1 - busy)
		if at >= from && at < from+busy {
			return high
		}
		return idle
	}
}
