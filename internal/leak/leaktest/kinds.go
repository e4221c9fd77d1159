package leaktest

import (
	"math"
	"slices"
	"strings"
)

type kind func(w *world, p *plan)

// Kinds returns all kinds, sorted; those that leak begin with "leak_".
func Kinds() []string {
	var out []string
	for k := range kinds() {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Leaks reports whether a kind leaks.
func Leaks(kind string) bool { return strings.HasPrefix(kind, "leak_") }

// kinds returns all kinds of traces by name: the healthy ones, and those that leak with
// leak_ before the name.
func kinds() map[string]kind {
	out := healthyKinds()
	for name, total := range leakKinds() {
		out["leak_"+name] = func(w *world, p *plan) {
			p.leak = true
			total(w, p, w.base*w.scale(.08, .7))
		}
	}
	return out
}

// usualTerms returns what every process has beside its kind.
func (w *world) usualTerms() func() []term {
	warm, tau := w.base*w.scale(.02, .3), w.scale(60, 900)
	spike, often := w.base*w.scale(.005, .1), w.pick(0, .005, .02, .1)
	traffic, lag := w.base*w.pick(0, 0, .005, .02), w.scale(30, 600)
	if w.Float64() < .4 {
		warm = 0
	}
	return func() []term { return []term{fillsUp(warm, tau), spikes(spike, often), inFlight(traffic, lag)} }
}

// with sets the builder of a plan: the usual terms, and those of the kind.
func (p *plan) with(w *world, more func() []term) {
	usual := w.usualTerms()
	p.build = func() []term { return append(usual(), more()...) }
}

// healthyKinds returns the kinds that do not leak.
func healthyKinds() map[string]kind {
	one := func(make func(w *world, p *plan) term) kind {
		return func(w *world, p *plan) { p.with(w, func() []term { return []term{make(w, p)} }) }
	}
	none := func(*world) float64 { return 0 }
	out := map[string]kind{
		"steady":  one(func(*world, *plan) term { return none }),
		"warm_up": one(func(w *world, _ *plan) term { return fillsUp(w.base*w.scale(.1, .8), w.scale(200, 2000)) }),
		"lazy":    one(func(w *world, _ *plan) term { return firsts(w, w.base*w.scale(.1, .8), 8+w.IntN(30)) }),
		"cache":   one(func(w *world, _ *plan) term { return cache(w.base*w.scale(.1, 1), w.mean*w.duration*w.span(.05, .25)) }),
		"zipf_cache": one(func(w *world, _ *plan) term {
			return zipfCache(w.base*w.scale(.1, 1), w.mean*w.duration*w.span(.05, .4))
		}),
		"linear_cap": one(func(w *world, _ *plan) term { return capped(w.base*w.scale(.1, 1), w.mean*w.duration*w.span(.05, .4)) }),
		"saw":        one(func(w *world, _ *plan) term { return saw(w.base*w.scale(.03, .4), w.scale(150, 2500), w.Float64()) }),
		"long_saw": one(func(w *world, _ *plan) term {
			return saw(w.base*w.scale(.03, .3), w.duration*w.span(.2, .4), w.Float64())
		}),
		"request_saw": one(func(w *world, _ *plan) term { return sawByRequests(w.base*w.scale(.03, .4), w.mean*w.scale(200, 2500)) }),
		"jobs": one(func(w *world, _ *plan) term {
			return jobs(w, w.base*w.scale(.1, 1.2), w.scale(900, 3600), w.scale(100, 900), 0)
		}),
		"long_job": one(func(w *world, _ *plan) term {
			return jobs(w, w.base*w.scale(.2, 1), w.duration*.5, w.span(1200, 3000), 0)
		}),
		"ratchet": one(func(w *world, _ *plan) term {
			return jobs(w, w.base*w.scale(.1, 1), w.scale(300, 2400), w.scale(60, 600), w.span(.1, .5))
		}),
		"steps":   one(func(w *world, _ *plan) term { return steps(w, w.base*w.scale(.03, .4), 1+w.IntN(3)) }),
		"wanders": one(func(w *world, _ *plan) term { return wanders(w.base*w.scale(.004, .03), w.scale(300, 2400)) }),
		"logarithm": one(func(w *world, _ *plan) term {
			return logarithm(w.base*w.scale(.05, .4), w.mean*w.duration*w.scale(.001, .02))
		}),
	}
	addHealthyPlans(out)
	return out
}

// addHealthyPlans adds the kinds that need more than a term.
func addHealthyPlans(out map[string]kind) {
	out["traffic"] = func(w *world, p *plan) {
		p.traffic = w.daily()
		each, lag := w.base*w.scale(.03, .3), w.scale(20, 1200)
		p.with(w, func() []term { return []term{inFlight(each, lag)} })
	}
	out["rising_day"] = func(w *world, p *plan) {
		low, bend := w.span(.2, .6), w.span(.7, 1.6)
		p.traffic = func(t float64) float64 { return low + (2-2*low)*math.Pow(t/w.duration, bend) }
		each, lag := w.base*w.scale(.05, .4), w.scale(20, 600)
		p.with(w, func() []term { return []term{inFlight(each, lag)} })
	}
	out["late_warm_up"] = func(w *world, p *plan) {
		begins, usual := w.span(.1, .4)*w.duration, p.traffic
		p.traffic = func(t float64) float64 {
			if t < begins {
				return 0.02
			}
			return usual(t)
		}
		most, keys := w.base*w.scale(.1, .6), w.mean*w.duration*w.span(.02, .12)
		p.with(w, func() []term { return []term{cache(most, keys)} })
	}
	out["copied"] = func(w *world, p *plan) {
		p.cow = w.base * w.scale(.1, .6)
		p.with(w, func() []term { return nil })
	}
	out["recycled"] = func(w *world, p *plan) {
		p.lives = w.mean * w.duration * w.span(.12, .35)
		most, keys := w.base*w.scale(.12, .5), p.lives*w.span(.06, .18)
		p.with(w, func() []term { return []term{cache(most, keys)} })
	}
	out["swapped"] = func(w *world, p *plan) {
		p.swap, p.swapKnown = w.span(.05, .4), w.Float64() < .5
		p.with(w, func() []term { return []term{fillsUp(w.base*.1, 600)} })
	}
}

// leakKinds returns the kinds that leak, as functions of the bytes that leak in all.
func leakKinds() map[string]func(w *world, p *plan, total float64) {
	one := func(makes func(w *world, total float64) []term) func(*world, *plan, float64) {
		return func(w *world, p *plan, total float64) { p.with(w, func() []term { return makes(w, total) }) }
	}
	out := map[string]func(*world, *plan, float64){
		"seconds":  one(func(_ *world, total float64) []term { return []term{bySeconds(total)} }),
		"requests": one(func(_ *world, total float64) []term { return []term{byRequests(total)} }),
		"endpoint": one(func(w *world, total float64) []term {
			return []term{byShare(total, max(w.span(.02, .2), 60/(w.mean*w.duration)))}
		}),
		"lumps": one(func(w *world, total float64) []term { return []term{byLumps(total, w.span(25, 80))} }),
		"list":  one(func(w *world, total float64) []term { return []term{bySteps(total, w.span(1.06, 1.14))} }),
		"warm_up": one(func(w *world, total float64) []term {
			return []term{byRequests(total), fillsUp(w.base*w.scale(.1, .4), w.scale(200, 1200))}
		}),
		"lazy": one(func(w *world, total float64) []term {
			return []term{byRequests(total), firsts(w, w.base*w.scale(.05, .2), 8+w.IntN(20))}
		}),
		"saw": one(func(w *world, total float64) []term {
			return []term{byRequests(total), saw(w.base*w.scale(.03, .3), w.scale(150, 900), w.Float64())}
		}),
		"request_saw": one(func(w *world, total float64) []term {
			return []term{byRequests(total), sawByRequests(w.base*w.scale(.03, .3), w.mean*w.scale(150, 900))}
		}),
		"jobs": one(func(w *world, total float64) []term {
			return []term{bySeconds(total), jobs(w, w.base*w.scale(.1, .8), w.scale(900, 3600), w.scale(100, 600), 0)}
		}),
		"ratchet": one(func(w *world, total float64) []term {
			return []term{byRequests(total), jobs(w, w.base*w.scale(.1, .8), w.scale(300, 2400), w.scale(60, 600), w.span(.05, .3))}
		}),
		"steps": one(func(w *world, total float64) []term {
			return []term{byRequests(total), steps(w, total*w.span(.2, .6), 1+w.IntN(2))}
		}),
		"wanders": one(func(w *world, total float64) []term {
			return []term{bySeconds(total), wanders(total*w.span(.02, .08), w.scale(200, 1200))}
		}),
	}
	addLeakPlans(out)
	return out
}

// addLeakPlans adds the kinds that need more than a term.
func addLeakPlans(out map[string]func(*world, *plan, float64)) {
	out["middle"] = func(w *world, p *plan, total float64) {
		w.start = w.span(.3, .5) * w.duration
		p.with(w, func() []term { return []term{byRequests(total)} })
	}
	out["after_cache"] = func(w *world, p *plan, total float64) {
		w.start = w.span(.3, .5) * w.duration
		most, keys := w.base*w.scale(.1, .6), w.mean*w.duration*w.span(.04, .1)
		p.with(w, func() []term { return []term{cache(most, keys), byRequests(total)} })
	}
	out["bursts"] = func(w *world, p *plan, total float64) {
		p.traffic = w.bursts()
		p.with(w, func() []term { return []term{byRequests(total)} })
	}
	out["daily"] = func(w *world, p *plan, total float64) {
		p.traffic = w.daily()
		each, lag := total*w.span(.05, .4), w.scale(20, 600)
		p.with(w, func() []term { return []term{byRequests(total), inFlight(each, lag)} })
	}
	out["noise"] = func(w *world, p *plan, total float64) {
		p.smooth, p.noise = false, total/w.base*w.span(.03, .12)
		p.with(w, func() []term { return []term{bySeconds(total)} })
	}
	out["swapped"] = func(w *world, p *plan, total float64) {
		p.swap, p.swapKnown = w.span(.05, .4), true
		p.with(w, func() []term { return []term{byRequests(total)} })
	}
	out["recycled"] = func(w *world, p *plan, total float64) {
		n := w.span(4, 8)
		p.lives = w.mean * w.duration / n
		total = w.base * w.scale(.12, .6) * n
		p.with(w, func() []term { return []term{byRequests(total)} })
	}
	out["copied"] = func(w *world, p *plan, total float64) {
		p.cow = w.base * w.span(.05, .2)
		p.with(w, func() []term { return []term{byRequests(total)} })
	}
}
