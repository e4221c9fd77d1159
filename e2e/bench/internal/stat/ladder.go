package stat

// Step is one rung of a rate ladder: how many lines were sent and counted, in
// how many seconds, and the receiver's CPU seconds meanwhile.
type Step struct {
	Asked   float64 // lines a second; zero means as fast as the sender can
	Sent    int64   // lines
	Counted int64   // lines
	Seconds float64 // of sending
	CPU     float64 // seconds
}

// Lossless reports whether lines were sent and all of them were counted.
func (s Step) Lossless() bool { return s.Sent > 0 && s.Sent == s.Counted }

// Rate returns the number of lines sent a second, which is below the requested rate if the
// sender is the limit.
func (s Step) Rate() float64 {
	if s.Seconds <= 0 {
		return 0
	}
	return float64(s.Sent) / s.Seconds
}

// CPUPerLine returns the receiver's CPU in microseconds per counted line.
func (s Step) CPUPerLine() float64 {
	if s.Counted <= 0 {
		return 0
	}
	return s.CPU * 1e6 / float64(s.Counted)
}

// SenderLimited reports whether the sender reached less than 95 % of the requested rate.
func (s Step) SenderLimited() bool { return s.Asked > 0 && s.Rate() < 0.95*s.Asked }

// Best returns the loss-free step with the highest rate; ok is false if every
// step lost something.
func Best(steps []Step) (best Step, ok bool) {
	for _, s := range steps {
		if s.Lossless() && (!ok || s.Rate() > best.Rate()) {
			best, ok = s, true
		}
	}
	return best, ok
}

// Over reports whether the ladder ends: the last two steps lost lines, or the sender was
// too slow. One lossy step is not the end, since a busy machine may take the receiver's
// core away for a moment.
func Over(steps []Step) bool {
	n := len(steps)
	if n == 0 {
		return false
	}
	if steps[n-1].SenderLimited() {
		return true
	}
	return n >= 2 && !steps[n-1].Lossless() && !steps[n-2].Lossless()
}
