package leak

import (
	"math"

	"github.com/resp-exporter/resp-exporter/internal/leak/linear"
)

const (
	parts = 20 // blocks of a window that is fitted
	fills = 6  // time constants of what fills up

	// The columns of the regressions.
	colOne     = 0
	colTime    = 1
	colLoad    = 2
	colTraffic = 3
	colTrend   = 4 // of the traffic
	colFill    = 5 // by time, then by load
	colCount   = colFill + 2*fills
	maxTerms   = 4
	packed     = maxTerms * (maxTerms + 1) / 2 // of the products of so many terms
	// alike is the part of a term that the others must leave unexplained.
	alike = 1e-8

	maxModels = 6 + 14*fills
)

// fillTimes returns the time constants of what fills up, as shares of the window.
func fillTimes() [fills]float64 { return [fills]float64{.07, .15, .3, .6, 1, 1.6} }

// design is what the memory of a window is explained by, and the products.
type design struct {
	x       [colCount][parts]float64
	xy      [colCount]float64
	gram    [colCount][colCount]float64
	y       [parts]float64
	yy      float64
	load    bool // requests are known
	traffic bool // and their number changes
	trend   bool // and it does so slowly
}

// fit is one model of a window.
type fit struct {
	terms  [maxTerms]int
	n      int
	lasts  bool // terms[1] grows without end
	coef   [maxTerms]float64
	growth float64 // of the lasting term, as a share of the growth of the window
	factor float64 // of its variance
	sse    float64
	free   int // parameters
	aicc   float64
}

// set fills the design from the blocks of a window. floor is the memory, scaled so that
// it grows from 0 to 1.
func (d *design) set(floor *[parts]float64, b *blocks) {
	d.y = *floor
	d.load, d.traffic, d.trend = false, false, false
	for i := range parts {
		d.x[colOne][i] = 1
		d.x[colTime][i] = (float64(i) + .5) / parts
	}
	d.fill(colFill, colTime)
	d.setLoad(b)
	d.products()
}

// fill sets, from the column of, the columns from to on: one for each of the times in which
// a cache fills.
func (d *design) fill(to, of int) {
	for k, tau := range fillTimes() {
		for i := range parts {
			d.x[to+k][i] = 1 - math.Exp(-d.x[of][i]/tau)
		}
	}
}

// setLoad sets in the design the share of the requests that were served before each
// block's middle, and the traffic that memory follows with some delay; nothing if no
// request was served.
func (d *design) setLoad(b *blocks) {
	sum, minutes := 0.0, 0.0
	for i := range parts {
		sum += b.served[i]
		minutes += b.minutes[i]
	}
	if sum <= 0 {
		return
	}
	d.load = true
	done, slow := 0.0, math.NaN()
	least, most := math.Inf(1), math.Inf(-1)
	for i, x := range b.served[:parts] {
		d.x[colLoad][i] = (done + x/2) / sum
		done += x
		q := x / max(1, b.minutes[i]) * minutes / sum
		if i == 0 {
			slow = q
		}
		slow += .7 * (q - slow)
		d.x[colTraffic][i] = slow - 1
		d.x[colTrend][i] = q - 1
		least, most = min(least, slow), max(most, slow)
	}
	d.traffic = most-least > trafficVaries
	d.trend = trends(&d.x[colTrend])
	d.fill(colFill+fills, colLoad)
}

// products sets the products of the columns that are used, with each other and with the
// memory, except those of two columns of what fills up: no model needs them.
func (d *design) products() {
	used := colCount
	if !d.load {
		used = colFill + fills
	}
	d.yy = dot(&d.y, &d.y)
	for a := range used {
		if !d.skips(a) {
			d.xy[a] = dot(&d.x[a], &d.y)
			d.productsOf(a)
		}
	}
}

// productsOf sets the products of the column a with itself and with those before it.
func (d *design) productsOf(a int) {
	for b := range min(a, colFill) + 1 {
		if !d.skips(b) {
			s := dot(&d.x[a], &d.x[b])
			d.gram[a][b], d.gram[b][a] = s, s
		}
	}
	d.gram[a][a] = dot(&d.x[a], &d.x[a])
}

// dot returns the dot product.
func dot(a, b *[parts]float64) (s float64) {
	for i := range parts {
		s += a[i] * b[i]
	}
	return s
}

// skips reports whether a column is left out: that of the load, the traffic or the trend
// if no request was served, that of the traffic also if it varies little, and that of the
// trend if it shows none. No other column is.
func (d *design) skips(col int) bool {
	return (col == colLoad || col == colTraffic) && !d.load || col == colTraffic && !d.traffic || col == colTrend && !d.trend
}

// solve sets the coefficients of a model by the design. It returns false if the terms are
// not independent, or a term that can only add memory gets a negative coefficient.
func (d *design) solve(f *fit) bool {
	var l [packed]float64
	n := 0
	for i, t := range f.terms[:f.n] {
		row := &d.gram[t]
		for _, u := range f.terms[:i+1] {
			l[n] = row[u]
			n++
		}
		f.coef[i] = d.xy[t]
	}
	if !linear.Factor(l[:], f.n, alike) {
		return false
	}
	linear.Forward(l[:], f.coef[:f.n])
	linear.Back(l[:], f.coef[:f.n])
	for i, c := range f.coef[1:f.n] {
		if c < 0 && (i != 0 || !f.lasts) {
			return false
		}
	}
	f.setFactor(l[:])
	d.score(f)
	return true
}

// setFactor sets the factor by which the variance of the second term is that of what is
// left over. l is the factored matrix of the model.
func (f *fit) setFactor(l []float64) {
	e := [maxTerms]float64{1: 1}
	linear.Forward(l, e[:f.n])
	f.factor = 0
	for _, x := range e[:f.n] {
		f.factor += x * x
	}
}

// score sets the growth that lasts by a model, and how well it explains the memory (AICc:
// lower is better).
func (d *design) score(f *fit) {
	f.growth = 0
	if f.lasts {
		f.growth = f.coef[1]
	}
	f.sse = d.yy
	for i := range f.n {
		f.sse -= f.coef[i] * d.xy[f.terms[i]]
	}
	f.sse += parts * exactness * exactness
	k := float64(f.free)
	f.aicc = parts*math.Log(f.sse/parts) + 2*k*parts/max(1, parts-k-1)
}

// deviation returns the standard error of the lasting term, as a share of the growth of the
// window, in which what the model leaves over is correlated in time (0 to 0.8); at least
// 1e-6.
func (d *design) deviation(f *fit) float64 {
	var left [parts]float64
	sum, lag := 0.0, 0.0
	for i := range parts {
		r := d.y[i]
		for k := range f.n {
			r -= f.coef[k] * d.x[f.terms[k]][i]
		}
		left[i] = r
		sum += r * r
		if i > 0 {
			lag += r * left[i-1]
		}
	}
	r1 := 0.0
	if sum > 1e-12 {
		r1 = max(0, min(.8, lag/sum))
	}
	s2 := sum / max(1, float64(parts-f.free))
	return math.Sqrt(max(1e-12, s2*f.factor*(1+r1)/(1-r1)))
}

// finding is what the models of a window agree on.
type finding struct {
	growth float64 // the lasting growth of the best model, as a share of the window's
	errors float64 // it is so many standard errors from none
	live   float64 // growth of the last quarter, as a share of what the best model has lasting
	least  float64 // the least lasting growth of all models that explain the memory as well
}

// models are the fitted models of a window.
type models struct {
	design *design
	all    [maxModels]fit
	n      int
}

// try fits a model with n terms, and adds it to the models if it can be solved. free is
// how many free parameters it has. lasts: its second term grows without a limit.
func (m *models) try(lasts bool, free, n int, terms [maxTerms]int) {
	f := &m.all[m.n]
	f.terms, f.n, f.lasts, f.free = terms, n, lasts, free
	if m.design.solve(f) {
		m.n++
	}
}

// tryBoth fits a model whose growth lasts, without the traffic as a term and, if that
// changes, with it.
func (m *models) tryBoth(free, n int, terms [maxTerms]int) {
	m.try(true, free, n, terms)
	if m.design.traffic {
		terms[n] = colTraffic
		m.try(true, free+1, n+1, terms)
	}
}

// tryFlow fits models whose growth does not last: memory follows the traffic, or its
// trend, beside the given terms. It adds none if the traffic does not change.
func (m *models) tryFlow(free, n int, terms [maxTerms]int) {
	if m.design.traffic {
		terms[n] = colTraffic
		m.try(false, free, n+1, terms)
	}
	if m.design.trend {
		terms[n] = colTrend
		m.try(false, free, n+1, terms)
	}
}

// explain fits all models and returns what the plausible ones agree on: of those whose
// growth lasts, the ones whose AICc is at most within more than the best; of the others,
// the best one and those that leave little over.
func (d *design) explain(within float64) finding {
	m := models{design: d}
	m.tryFlow(3, 1, [maxTerms]int{colOne})
	m.tryFlow(5, 2, [maxTerms]int{colOne, colFill})
	m.tryBoth(3, 2, [maxTerms]int{colOne, colTime})
	for col := colFill; col < colFill+fills; col++ {
		m.tryBoth(5, 3, [maxTerms]int{colOne, colTime, col})
	}
	if d.load {
		m.tryFlow(5, 2, [maxTerms]int{colOne, colFill + fills})
		m.tryBoth(3, 2, [maxTerms]int{colOne, colLoad})
		for col := colFill; col < colCount; col++ {
			m.tryBoth(5, 3, [maxTerms]int{colOne, colLoad, col})
		}
	}
	return d.agree(m.all[:m.n], within)
}

// agree returns what the plausible ones of the models agree on, see [design.explain]: least
// is +Inf if there is none, and the rest is that of the best model, 0 if its growth does
// not last.
func (d *design) agree(all []fit, within float64) finding {
	out := finding{least: math.Inf(1)}
	best := math.Inf(1)
	for i := range all {
		best = min(best, all[i].aicc)
	}
	for i := range all {
		f := &all[i]
		if !f.lasts {
			if f.aicc == best || f.sse <= parts*flowLeaves*flowLeaves {
				out.least = min(out.least, 0)
			}
			continue
		}
		if f.aicc > best+within {
			continue
		}
		dev := d.deviation(f)
		out.least = min(out.least, f.growth-dev)
		if f.aicc == best {
			out.growth, out.errors = f.growth, f.growth/dev
			out.live = d.live(f)
		}
	}
	return out
}

// trends replaces values by the parabola that fits them best. It reports whether that
// shows a trend: its range is large enough, and more than chance makes of what it leaves
// over.
func trends(x *[parts]float64) bool {
	var sum, first, second, firsts, seconds float64
	const mean = (parts*parts - 1) / 12.0 // of the squares of u
	for i, v := range x {
		u := float64(i) - (parts-1)/2.0
		w := u*u - mean
		sum += v
		first += u * v
		firsts += u * u
		second += w * v
		seconds += w * w
	}
	least, most, left := math.Inf(1), math.Inf(-1), 0.0
	for i, v := range x {
		u := float64(i) - (parts-1)/2.0
		x[i] = sum/parts + first/firsts*u + second/seconds*(u*u-mean)
		least, most = min(least, x[i]), max(most, x[i])
		left += (v - x[i]) * (v - x[i])
	}
	chance := math.Sqrt(left / (parts - 3) * 12 / parts) // standard error of a line's range
	return most-least > max(trendVaries, trendErrors*chance)
}

// live returns how much memory grew in the last blocks, as a share of what the lasting
// growth of a model expects of them; 0 if it expects none.
func (d *design) live(f *fit) float64 {
	u := &d.x[f.terms[1]]
	mean := func(x *[parts]float64, i int) float64 { return (x[i] + x[i+1] + x[i+2]) / 3 }
	expected := f.growth * (mean(u, parts-3) - mean(u, parts-8))
	if expected <= 0 {
		return 0
	}
	return (mean(&d.y, parts-3) - mean(&d.y, parts-8)) / expected
}
