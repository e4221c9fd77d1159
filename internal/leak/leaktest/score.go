package leaktest

import (
	"math"
	"slices"
)

// Said is what a detector said of a trace.
type Said struct {
	Leak  bool
	At    float64 // seconds
	Slope float64 // bytes a second
}

// Score counts what was right.
type Score struct {
	TruePositive, FalsePositive, FalseNegative, TrueNegative int

	Hours  float64   // without a leak
	Slopes []float64 // relative errors of the right alarms
	Delays []float64 // seconds
}

// Add adds one trace. An alarm before the leak starts is a false one, and a miss.
func (s *Score) Add(t *Trace, said Said) {
	hours := t.Hours()
	if t.Leak {
		hours = t.Start / 3600
	}
	s.Hours += hours
	right := said.Leak && said.At >= t.Start-60
	switch {
	case t.Leak && right:
		s.TruePositive++
		s.Slopes = append(s.Slopes, math.Abs(said.Slope-t.Rate)/t.Rate)
		s.Delays = append(s.Delays, max(0, said.At-t.Start))
	case t.Leak:
		s.FalseNegative++
		if said.Leak {
			s.FalsePositive++
		}
	case said.Leak:
		s.FalsePositive++
	default:
		s.TrueNegative++
	}
}

// F1 returns the harmonic mean of precision and recall.
func (s *Score) F1() float64 {
	return 2 * float64(s.TruePositive) / float64(max(1, 2*s.TruePositive+s.FalsePositive+s.FalseNegative))
}

// FalsePer100 returns the false alarms in 100 process hours.
func (s *Score) FalsePer100() float64 { return 100 * float64(s.FalsePositive) / max(s.Hours, 1e-9) }

// SlopeError returns the median relative error of the slope, 0.1 for 10 %; NaN without a
// right alarm.
func (s *Score) SlopeError() float64 { return median(s.Slopes) }

// Delay returns the median time from the start of a leak to the alarm, in seconds; NaN
// without a right alarm.
func (s *Score) Delay() float64 { return median(s.Delays) }

// median returns the median, NaN for no values.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}
