package leak

import "math"

const (
	judgedLives = 3
	lifeBlocks  = 12
	shortLife   = 600 // seconds; shorter ones are not judged
)

// life is what is kept of a process that ended.
type life struct {
	early, late float64 // growth, bytes, for each twelfth of its requests or its time
	level       float64 // bytes, in its middle
	slope       float64 // bytes a second, of its second half
	perRequest  float64 // bytes; NaN: requests are not known
}

// grew reports whether memory grew enough until the end of a life, and late more than half
// as fast as early.
func (l *life) grew() bool {
	return l.late*6 > max(lifeGrowth*l.level, lifeBytes) && l.late > lifeLate*l.early
}

// lives are the last processes of a slot that ended.
type lives struct {
	ends [judgedLives]life
	n    int
}

// add adds a life, in place of the oldest one.
func (l *lives) add(x life) {
	copy(l.ends[:], l.ends[1:])
	l.ends[judgedLives-1] = x
	l.n = min(l.n+1, judgedLives)
}

// lastGrew reports whether memory grew until the end of the last life; false if there was
// none.
func (l *lives) lastGrew() bool { return l.n > 0 && l.ends[judgedLives-1].grew() }

// look returns the finding of the last three lives together: a leak if memory rose late in
// each, in two of them at least until the end, and so in all together, see [life.grew]. No
// leak: there are too few lives.
func (l *lives) look() found {
	if l.n < judgedLives {
		return found{}
	}
	var all life
	grew := 0
	for i := range l.ends {
		x := &l.ends[i]
		if x.late <= 0 {
			return found{}
		}
		if x.grew() {
			grew++
		}
		all.early += max(0, x.early)
		all.late += x.late
		all.level += x.level
		all.slope += x.slope / judgedLives
		all.perRequest += x.perRequest / judgedLives
	}
	if grew < judgedLives-1 || !all.grew() {
		return found{}
	}
	share := 1.0
	if all.early > 0 {
		share = min(1, all.late/all.early)
	}
	return found{leak: true, slope: all.slope, confidence: share, perRequest: all.perRequest, recycled: true}
}

// endLife adds the life that has just ended, unless it was short.
func (d *Detector) endLife() {
	age := d.age()
	if age < shortLife {
		return
	}
	var b blocks
	d.cut(&b, lifeBlocks, age, true)
	served := sum(b.served[:lifeBlocks])
	n := &b.anon
	x := life{level: n[5], perRequest: math.NaN()}
	// the share of what drives the growth, in the early and in the late part
	first, second := 4.0, 5.0
	if served > 0 {
		first = sum(b.served[2:6]) / served * lifeBlocks
		second = sum(b.served[6:11]) / served * lifeBlocks
	}
	grown := n[11] - n[6]
	if first > 0 && second > 0 {
		x.early, x.late = (n[6]-n[2])/first, grown/second
	}
	x.slope = grown / (5 * b.wide)
	if more := sum(b.served[6:11]); more > 0 {
		x.perRequest = grown / more
	}
	d.lives.add(x)
}
