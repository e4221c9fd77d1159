package leaktest

import "math"

// fillsUp grows to most bytes, with a time constant.
func fillsUp(most, tau float64) term {
	return func(w *world) float64 { return most * (1 - math.Exp(-w.age/tau)) }
}

// cache fills by requests for one of so many keys.
func cache(most, keys float64) term {
	return func(w *world) float64 { return most * (1 - math.Exp(-w.served/keys)) }
}

// zipfCache fills by requests for keys of which some are far more popular.
func zipfCache(most, keys float64) term {
	return func(w *world) float64 {
		sum, weight := 0.0, 0.0
		for k := 1.0; k <= 4096; k *= 2 {
			n := k // keys as popular as this one
			sum += n * (1 - math.Exp(-w.served/keys*40/k))
			weight += n
		}
		return most * sum / weight
	}
}

// capped grows evenly by requests until it is full.
func capped(most, requests float64) term {
	return func(w *world) float64 { return most * min(1, w.served/requests) }
}

// firsts are parts of the app of which each adds memory when it is first used, some of
// them seldom.
func firsts(w *world, most float64, n int) term {
	at, size := make([]float64, n), make([]float64, n)
	sum := 0.0
	for i := range at {
		at[i] = w.ExpFloat64() * w.mean * w.duration * .02 * math.Pow(float64(i+1), 1.2) / math.Sqrt(float64(n))
		size[i] = w.span(.2, 2)
		sum += size[i]
	}
	return func(w *world) float64 {
		m := 0.0
		for i, x := range at {
			if w.served >= x {
				m += size[i]
			}
		}
		return most * m / sum
	}
}

// saw grows and is collected.
func saw(most, period, phase float64) term {
	return func(w *world) float64 { return most * math.Mod(w.age/period+phase, 1) }
}

// sawByRequests is the same, by requests.
func sawByRequests(most, requests float64) term {
	return func(w *world) float64 { return most * math.Mod(w.served/requests, 1) }
}

// jobs take memory for a while and give it back, but for a share that stays, less each
// time.
func jobs(w *world, most, every, long, stays float64) term {
	next, until, n, kept, size := w.span(0, every), 0.0, 0.0, 0.0, 0.0
	return func(w *world) float64 {
		if w.t >= next {
			n++
			next, until, size = w.t+every*w.span(.7, 1.3), w.t+long*w.span(.6, 1.4), most*w.span(.6, 1.2)
			kept += most * stays / (n * n)
		}
		if w.t < until {
			return kept + size*min(1, 1-(until-w.t)/long/3)
		}
		return kept
	}
}

// steps are added at some times.
func steps(w *world, most float64, n int) term {
	at, size := make([]float64, n), make([]float64, n)
	for i := range at {
		at[i], size[i] = w.span(.05, .95)*w.duration, most*w.span(.3, 1)
	}
	return func(w *world) float64 {
		m := 0.0
		for i, x := range at {
			if w.t >= x {
				m += size[i]
			}
		}
		return m
	}
}

// inFlight is the memory of requests in hand.
func inFlight(each, lag float64) term {
	now := -1.0
	return func(w *world) float64 {
		if w.mean < 1 { // no request is in hand most of the time
			return 0
		}
		if now < 0 {
			now = w.rate
		}
		now += (w.rate - now) * min(1, w.dt/lag)
		return each * now / w.mean
	}
}

// wanders goes up and down around nothing.
func wanders(most, tau float64) term {
	x := 0.0
	return func(w *world) float64 {
		a := math.Exp(-w.dt / tau)
		x = a*x + math.Sqrt(1-a*a)*w.NormFloat64()
		return most * x
	}
}

// spikes are requests that take a lot for a moment.
func spikes(most, often float64) term {
	return func(w *world) float64 {
		if w.Float64() < often {
			return most * w.Float64()
		}
		return 0
	}
}

// logarithm grows ever more slowly.
func logarithm(most, requests float64) term {
	return func(w *world) float64 {
		return most * math.Log1p(w.served/requests) / math.Log1p(w.mean*w.duration/requests)
	}
}

// lost adds to what leaked, bytes.
func lost(amount func(w *world) float64) term {
	sum := 0.0
	return func(w *world) float64 {
		if w.t >= w.start {
			x := amount(w)
			w.leaked += x
			sum += x
		}
		return sum
	}
}

// bySeconds leaks total bytes over the rest of the trace.
func bySeconds(total float64) term {
	return lost(func(w *world) float64 { return total * w.dt / (w.duration - w.start) })
}

// byRequests leaks about total bytes over the rest of the trace.
func byRequests(total float64) term {
	return lost(func(w *world) float64 { return w.arrived * total / (w.mean * (w.duration - w.start)) })
}

// byShare leaks by one request of many.
func byShare(total, share float64) term {
	return lost(func(w *world) float64 {
		return w.poisson(w.arrived*share) * total / (w.mean * share * (w.duration - w.start))
	})
}

// byLumps leaks large pieces at random times.
func byLumps(total, pieces float64) term {
	return lost(func(w *world) float64 {
		return w.poisson(pieces*w.dt/(w.duration-w.start)) * total / pieces * w.span(.5, 1.5)
	})
}

// bySteps holds more in pieces of which each is larger than the one before, as a list
// that is copied to grow.
func bySteps(total, ratio float64) term {
	used, held := total*.05, total*.05
	return lost(func(w *world) float64 {
		used += total * w.dt / (w.duration - w.start)
		before := held
		for held < used {
			held *= ratio
		}
		return held - before
	})
}
