package leak

import "math"

// found is what one look found.
type found struct {
	leak       bool
	slope      float64 // bytes a second
	confidence float64
	perRequest float64 // bytes; NaN: requests are not known
	recycled   bool
}

// alarm is raised when a finding stands for some time.
type alarm struct {
	start, first float64 // NaN: not
	seen         float64 // the last evaluation, seconds
	stood        float64 // seconds for which a leak was found, less those for which none was
	last         found
}

func (a *alarm) reset() { *a = alarm{start: math.NaN(), first: math.NaN()} }

func (a *alarm) on() bool { return !math.IsNaN(a.start) }

// count adds the time since the last evaluation.
func (a *alarm) count(now float64, leak bool) {
	since := min(now-a.seen, 600)
	a.seen = now
	if leak {
		a.stood = min(a.stood+since, 2*mustStand)
	} else {
		a.stood = max(0, a.stood-since)
	}
}

func (a *alarm) put(now float64, f *found) {
	if !f.leak {
		a.start = math.NaN()
		return
	}
	if !a.on() {
		if a.stood < mustStand {
			return
		}
		a.start = now
	}
	if math.IsNaN(a.first) {
		a.first = now
	}
	a.last = *f
}

func (a *alarm) verdict() Verdict {
	return Verdict{
		Leak: a.on(), Since: a.start, First: a.first, Slope: a.last.slope, Confidence: a.last.confidence,
		BytesPerRequest: a.last.perRequest, Recycled: a.last.recycled,
	}
}

// judge looks at the next windows of the round, as many as are due, and at the end of
// each round says what it found.
func (d *Detector) judge(now float64) {
	w := windows()
	for now >= d.next {
		if d.turn == 0 {
			d.round = d.lives.look()
		}
		if !d.round.leak && d.age() >= firstAge {
			d.round = d.look(w[d.turn], d.turn == 0)
		}
		d.turn++
		d.next += evaluateEvery
		if d.turn < len(w) {
			continue
		}
		d.turn = 0
		d.conclude(now)
		d.next = max(d.next, now) // what was missed is not made up for
	}
}

func (d *Detector) conclude(now float64) {
	f := d.round
	d.alarm.count(now, f.leak)
	if d.alarm.on() && !f.leak {
		f = d.alarm.last
		f.leak = d.goesOn(now)
	}
	d.alarm.put(now, &f)
}

// look judges one window.
func (d *Detector) look(w float64, life bool) found {
	age := d.age()
	switch {
	case w < 0:
		w *= -age
	case w >= age*.9:
		return found{}
	}
	var b blocks
	if !d.cut(&b, parts, w, life) {
		return found{}
	}
	f := judgeWindow(&b, w, leastShare)
	if !f.leak && w >= erodedFrom {
		b.erode()
		f = judgeWindow(&b, w, erodedShare)
	}
	if f.leak && !life && !d.isHigh() {
		return found{}
	}
	return f
}

// isHigh reports whether the floor of the whole life is higher than ever before.
func (d *Detector) isHigh() bool {
	var b blocks
	d.whole.window(&b, maxBlocks, d.recent.last)
	for _, x := range b.anon[:maxBlocks-3] {
		if x > b.anon[maxBlocks-1] {
			return false
		}
	}
	return true
}

// goesOn reports whether the memory still grows as the alarm said.
func (d *Detector) goesOn(now float64) bool {
	if d.age() < keepSeconds+1800 {
		return d.lives.lastGrew()
	}
	if now-d.alarm.start < keepSeconds {
		return true
	}
	var b blocks
	d.recent.window(&b, 5, keepSeconds+900)
	return b.anon[4]-b.anon[0] > keepShare*d.alarm.last.slope*keepSeconds
}

// judgeWindow judges the blocks of a window of some seconds. By all plausible models,
// share of its growth must last.
func judgeWindow(b *blocks, seconds, share float64) found {
	last := b.anon[parts-1]
	grown := last - b.anon[0]
	if grown < max(leastGrowth*last, leastBytes) || b.resident[parts-1]-b.resident[0] < residentToo*grown {
		return found{}
	}
	floor := [parts]float64(b.anon[:parts])
	if kendall(&floor) < leastOrder {
		return found{}
	}
	if fall, spread, rest := shape(&floor); grown < overFall*fall || spread < leastSpread || rest < leastRest {
		return found{}
	}
	for i := range floor {
		floor[i] = (floor[i] - b.anon[0]) / grown
	}
	var d design
	d.set(&floor, b)
	within := float64(plausible)
	if seconds < shortWindow {
		within = plausibleShort
	}
	x := d.explain(within)
	if x.least < share || x.errors < leastErrors || x.live < leastLive {
		return found{}
	}
	f := found{leak: true, slope: x.growth * grown / seconds, confidence: min(1, x.least), perRequest: math.NaN()}
	if served := sum(b.served[:parts]); served > 0 {
		f.perRequest = f.slope * seconds / served
	}
	return f
}

// kendall returns how well values are in rising order: 1 if all are, -1 if none.
func kendall(x *[parts]float64) float64 {
	s := 0
	for i := range x {
		for _, later := range x[i+1:] {
			switch {
			case later > x[i]:
				s++
			case later < x[i]:
				s--
			}
		}
	}
	return float64(s) * 2 / (parts * (parts - 1))
}

// shape returns the largest fall from a high before it, how evenly the rises without the
// largest are spread (1: all the same, 1/18: only one), and their share of all rises.
func shape(x *[parts]float64) (fall, spread, rest float64) {
	high, rises, squares, most := x[0], 0.0, 0.0, 0.0
	for i := 1; i < parts; i++ {
		high = max(high, x[i])
		fall = max(fall, high-x[i])
		rise := max(0, x[i]-x[i-1])
		rises += rise
		squares += rise * rise
		most = max(most, rise)
	}
	left := rises - most
	squares -= most * most
	if squares <= 0 || rises <= 0 {
		return fall, 0, 0
	}
	return fall, left * left / ((parts - 2) * squares), left / rises
}
