package main

import (
	"math"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/leak/leaktest"
	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

const (
	every = 300.0 // seconds between two evaluations of a rule
	hold  = 900.0 // seconds that it must be true, as "for" of an alert
)

// peers returns the rules that others use, each evaluated every five minutes and held
// for a quarter of an hour. Coroot's is its MemoryLeakPercent: by a line through the last
// hour, of which four fifths are known, the memory grows by so many percent an hour.
func peers() []detector {
	return []detector{
		{"10 % in an hour (Coroot)", rule(3600, 2880, func(x, y []float64, _ float64) (bool, float64) {
			s, at := line(x, y)
			now := at + s*x[len(x)-1]
			before := now - s*3600
			return before > 0 && now/before-1 > .1, s
		})},
		{"10 MB in an hour (Coroot before)", rule(3600, 300, func(x, y []float64, _ float64) (bool, float64) {
			s, _ := line(x, y)
			return s*3600 > 10e6, s
		})},
		{"1 MB in an hour (deriv)", rule(3600, 300, func(x, y []float64, _ float64) (bool, float64) {
			s, _ := line(x, y)
			return s*3600 > 1e6, s
		})},
		{"full in 4 hours (predict_linear)", rule(3600, 300, func(x, y []float64, limit float64) (bool, float64) {
			s, at := line(x, y)
			return at+s*(x[len(x)-1]+4*3600) > limit, s
		})},
		{"Mann-Kendall and Sen, 2 hours", rule(7200, 3600, trend)},
	}
}

// condition judges the resident memory of the last seconds.
type condition func(x, y []float64, limit float64) (holds bool, slope float64)

// alert is a condition that must hold for some time.
type alert struct {
	since          float64 // it has held since then; NaN: it does not
	latched, final leaktest.Said
}

// rule returns a detector of a condition over the last seconds.
func rule(window, least float64, holds condition) func(*leaktest.Trace) (latched, final leaktest.Said) {
	return func(t *leaktest.Trace) (latched, final leaktest.Said) {
		a, next := alert{since: math.NaN()}, 0.0
		for i, r := range t.Rows {
			if r.Seconds < next {
				continue
			}
			next = r.Seconds + every
			x, y := last(t.Rows[:i+1], window)
			yes, slope := false, 0.0
			if len(x) > 1 && r.Seconds-t.Rows[0].Seconds >= least {
				yes, slope = holds(x, y, t.Limit)
			}
			a.evaluate(r.Seconds, yes, slope)
		}
		return a.latched, a.final
	}
}

// evaluate records the current value of the condition.
func (a *alert) evaluate(now float64, holds bool, slope float64) {
	switch {
	case !holds:
		a.since, a.final = math.NaN(), leaktest.Said{}
	case math.IsNaN(a.since):
		a.since = now
	case now-a.since >= hold && !a.final.Leak:
		a.final = leaktest.Said{Leak: true, At: now, Slope: slope}
		if !a.latched.Leak {
			a.latched = a.final
		}
	}
}

func last(rows []trace.Row, window float64) (x, y []float64) {
	end := rows[len(rows)-1].Seconds
	for _, r := range rows {
		if r.Seconds >= end-window {
			x, y = append(x, r.Seconds), append(y, r.RSS)
		}
	}
	return x, y
}

// line returns the least-squares line through points.
func line(x, y []float64) (slope, at float64) {
	var sx, sy, sxx, sxy float64
	n := float64(len(x))
	for i := range x {
		sx += x[i] / n
		sy += y[i] / n
	}
	for i := range x {
		sxx += (x[i] - sx) * (x[i] - sx)
		sxy += (x[i] - sx) * (y[i] - sy)
	}
	if sxx == 0 {
		return 0, sy
	}
	return sxy / sxx, sy - sxy/sxx*sx
}

// trend returns the test of Mann and Kendall on 60 means, at 1 % and with a growth of at
// least 1 %; its slope is that of Sen.
func trend(x, y []float64, _ float64) (bool, float64) {
	const points = 60
	if len(x) < 20 {
		return false, 0
	}
	k := max(1, len(x)/points)
	var mx, my []float64
	for i := 0; i+k <= len(x); i += k {
		sx, sy := 0.0, 0.0
		for j := i; j < i+k; j++ {
			sx, sy = sx+x[j]/float64(k), sy+y[j]/float64(k)
		}
		mx, my = append(mx, sx), append(my, sy)
	}
	s := 0.0
	var slopes []float64
	for i := range my {
		for j := i + 1; j < len(my); j++ {
			switch {
			case my[j] > my[i]:
				s++
			case my[j] < my[i]:
				s--
			}
			slopes = append(slopes, (my[j]-my[i])/(mx[j]-mx[i]))
		}
	}
	n := float64(len(my))
	if z := (s - 1) / math.Sqrt(n*(n-1)*(2*n+5)/18); z <= 2.58 {
		return false, 0
	}
	slices.Sort(slopes)
	sen := slopes[len(slopes)/2]
	return sen*(mx[len(mx)-1]-mx[0]) > .01*my[len(my)-1], sen
}
