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

// reset ends the alarm and forgets that there was one.
func (a *alarm) reset() { *a = alarm{start: math.NaN(), first: math.NaN()} }

// on reports whether the alarm is raised.
func (a *alarm) on() bool { return !math.IsNaN(a.start) }

// count adds the time since the last evaluation to that for which a leak was found; if
// none was found now, it subtracts it.
func (a *alarm) count(now float64, leak bool) {
	since := min(now-a.seen, 600)
	a.seen = now
	if leak {
		a.stood = min(a.stood+since, 2*mustStand)
	} else {
		a.stood = max(0, a.stood-since)
	}
}

// put begins or continues the alarm with a finding, or ends it if that is no leak. It
// begins only once leaks were found for mustStand seconds, less those for which none was.
// now is in seconds.
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

// verdict returns the verdict: that of the last leak, also after its end.
func (a *alarm) verdict() Verdict {
	return Verdict{
		Leak: a.on(), Since: a.start, First: a.first, Slope: a.last.slope, Confidence: a.last.confidence,
		BytesPerRequest: a.last.perRequest, Recycled: a.last.recycled,
	}
}

// judge evaluates those windows of the round that are due at now. At the end of each
// round it updates the alarm.
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

// conclude updates the alarm by the finding of this round. An alarm that was raised goes on
// while the memory does.
func (d *Detector) conclude(now float64) {
	f := d.round
	d.alarm.count(now, f.leak)
	if d.alarm.on() && !f.leak {
		f = d.alarm.last
		f.leak = d.goesOn(now)
	}
	d.alarm.put(now, &f)
}

// look returns the finding of one window of w seconds or, if w is negative, that share of
// the life. life: of the whole life. No leak also: there is not enough to say, w is nearly
// all of the life, or, unless life is set, memory was higher before.
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

// isHigh reports whether the lowest memory of late is at least as high as ever before in
// the process's life: in the last of 24 blocks as in each but the two before it.
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

// goesOn reports, of a process younger than 1.5 h, whether memory grew until the end of the
// last life that was not short (false: none); of an older one, whether the alarm is younger
// than 1 h or memory has lately grown by a good part of what the alarm found.
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

// judgeWindow returns the finding of a window of that many seconds, cut into blocks. It is a
// leak if memory grew enough, resident memory too, in many even steps and until the end, and
// all plausible models show that at least share of the growth lasts.
func judgeWindow(b *blocks, seconds, share float64) found {
	last := b.anon[parts-1]
	grown := last - b.anon[0]
	if grown < max(leastGrowth*last, leastBytes) || !residentGrew(b, grown) {
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

// residentGrew reports whether resident memory grew by a part of grown, or, as after some
// of it was swapped out, since its own lowest by that part of what the floor grew since
// then, if that is enough of grown.
func residentGrew(b *blocks, grown float64) bool {
	last, lowest := parts-1, 0
	for i := range parts {
		if b.resident[i] <= b.resident[lowest] {
			lowest = i
		}
	}
	since := b.anon[last] - b.anon[lowest]
	return b.resident[last]-b.resident[0] >= residentToo*grown ||
		since >= sinceLowest*grown && b.resident[last]-b.resident[lowest] >= residentToo*since
}

// kendall returns how well values are in rising order, from 1 (each is above all before
// it) to -1 (each is below); 0 if all are equal.
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

// shape returns the largest fall below an earlier high; how evenly the rises but the
// largest are spread, from 1 (all equal) to 1/18 (only one); and their share of all
// rises, 0 to 1. The last two are 0 if there is at most one rise.
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
