// Package leak tells whether a process leaks memory, from the memory that it never gives
// back: pure, streaming and deterministic.
package leak

import "math"

// Sample is what is known of a process at one moment.
type Sample struct {
	Seconds  float64 // of a clock that never goes back
	RSS      float64 // resident memory, bytes
	Anon     float64 // anonymous memory, swap included, bytes
	Swap     float64 // of it, what is in swap, bytes; 0: none, or not known apart
	Requests float64 // answered since the process started; 0: not known
}

// Verdict is what a detector knows of a slot.
type Verdict struct {
	Leak            bool
	Since           float64 // seconds of the sample with which the alarm that stands began; NaN: none stands
	First           float64 // the same of the first alarm; NaN: there was none
	Slope           float64 // bytes a second that are lost; of the last alarm
	Confidence      float64 // 0 to 1: the least share of the growth that lasts, by all plausible models
	BytesPerRequest float64 // NaN: requests are not known
	Recycled        bool    // it was found over lives of the slot, not in one
}

// Detector judges one slot of an app. It is not safe for concurrent use.
type Detector struct {
	recent   recent
	whole    whole
	begun    float64 // of the process
	started  bool
	requests float64 // of the last sample
	next     float64 // evaluation, seconds
	turn     int     // the window that it looks at
	round    found   // by the windows before
	lives    lives
	alarm    alarm
}

// New returns a Detector without samples.
func New() *Detector {
	d := &Detector{}
	d.alarm.reset()
	d.forget()
	return d
}

// forget removes all samples of the process.
func (d *Detector) forget() {
	d.recent.reset()
	d.whole.reset()
	d.started = false
}

// Replace records that the next sample is of another process in the slot. An alarm ends,
// unless it was found over several processes: memory that one process leaked is free again.
func (d *Detector) Replace() {
	if d.started {
		d.endLife()
	}
	if !d.alarm.last.recycled {
		d.alarm.start, d.alarm.stood = math.NaN(), 0
	}
	d.turn, d.round = 0, found{}
	d.forget()
}

// Add adds a sample and updates the verdict if that is due. It ignores a sample that is
// not sound, or older than the process.
func (d *Detector) Add(s Sample) {
	if !finite(s.Seconds) || !finite(s.RSS) || !finite(s.Anon) || !finite(s.Swap) || !finite(s.Requests) {
		return
	}
	if !d.started {
		d.next = max(d.next, s.Seconds)
		d.begun, d.requests, d.started = s.Seconds, s.Requests, true
	}
	age := s.Seconds - d.begun
	if age < 0 || age > maxAge {
		return
	}
	served := s.Requests - d.requests
	if served < 0 { // the app's counter began anew
		served = s.Requests
	}
	d.requests = s.Requests
	at := int32(age / bucketSeconds)
	resident := max(s.RSS+s.Swap, s.Anon)
	d.recent.add(at, s.Anon, resident, served)
	d.whole.add(at, s.Anon, resident, served)
	d.judge(s.Seconds)
}

const maxAge = 1e9 // seconds; thirty years

// finite reports whether a number is from 0 to below 1e18; NaN is not.
func finite(x float64) bool { return x >= 0 && x < 1e18 }

// Verdict returns whether there is a leak by the samples so far, since when and how
// large; no leak if there are too few.
func (d *Detector) Verdict() Verdict { return d.alarm.verdict() }
