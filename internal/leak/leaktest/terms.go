package leaktest

import "math"

// fillsUp returns a term that approaches most bytes, with a time constant.
func fillsUp(most, tau float64) term {
	return func(w *world) float64 { return most * (1 - math.Exp(-w.age/tau)) }
}

// cache returns a term that fills by requests for one of so many keys, to most bytes.
func cache(most, keys float64) term {
	return func(w *world) float64 { return most * (1 - math.Exp(-w.served/keys)) }
}

// zipfCache returns a term that fills by requests for keys of which some are far more
// popular, to most bytes.
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

// capped returns a term that grows with each request until most bytes are reached.
func capped(most, requests float64) term {
	return func(w *world) float64 { return most * min(1, w.served/requests) }
}

// firsts returns a term for parts of the app that each add memory when they are first
// used, some of them rarely.
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

// saw returns a term that grows over a period and is then collected.
func saw(most, period, phase float64) term {
	return func(w *world) float64 { return most * math.Mod(w.age/period+phase, 1) }
}

// sawByRequests returns a term that grows over a number of requests and is then
// collected.
func sawByRequests(most, requests float64) term {
	return func(w *world) float64 { return most * math.Mod(w.served/requests, 1) }
}

// jobs returns a term for jobs that allocate memory for a while and free it, except for a
// part that is less with each job.
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

// steps returns a term that grows at n random times.
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

// inFlight returns a term for the memory of requests in flight.
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

// wanders returns a term that varies around zero.
func wanders(most, tau float64) term {
	x := 0.0
	return func(w *world) float64 {
		a := math.Exp(-w.dt / tau)
		x = a*x + math.Sqrt(1-a*a)*w.NormFloat64()
		return most * x
	}
}

// spikes returns a term for requests that need much memory for a moment.
func spikes(most, often float64) term {
	return func(w *world) float64 {
		if w.Float64() < often {
			return most * w.Float64()
		}
		return 0
	}
}

// logarithm returns a term that grows with the logarithm of the number of requests.
func logarithm(most, requests float64) term {
	return func(w *world) float64 {
		return most * math.Log1p(w.served/requests) / math.Log1p(w.mean*w.duration/requests)
	}
}

// lost returns a term for the bytes that its process has leaked so far: the sum of the
// amounts at each step, which it also adds to w.leaked.
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

// bySeconds returns a term that leaks total bytes over the rest of the trace, evenly in
// time.
func bySeconds(total float64) term {
	return lost(func(w *world) float64 { return total * w.dt / (w.duration - w.start) })
}

// byRequests returns a term that leaks about total bytes over the rest of the trace,
// evenly by requests.
func byRequests(total float64) term {
	return lost(func(w *world) float64 { return w.arrived * total / (w.mean * (w.duration - w.start)) })
}

// byShare returns a term that leaks about total bytes by a share of the requests.
func byShare(total, share float64) term {
	return lost(func(w *world) float64 {
		return w.poisson(w.arrived*share) * total / (w.mean * share * (w.duration - w.start))
	})
}

// byLumps returns a term that leaks large pieces at random times.
func byLumps(total, pieces float64) term {
	return lost(func(w *world) float64 {
		return w.poisson(pieces*w.dt/(w.duration-w.start)) * total / pieces * w.span(.5, 1.5)
	})
}

// bySteps returns a term that leaks in pieces that each grow by a ratio, as a list that
// is copied when it grows.
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
