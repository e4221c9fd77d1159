package leak

import "math"

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
	maxModels  = 6 + 14*fills
)

// fillTimes returns the time constants, as shares of the window.
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

// set fills the design from the blocks of a window. floor is the memory, begun at 0 and
// scaled so that it grows by 1.
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

func (d *design) fill(to, of int) {
	for k, tau := range fillTimes() {
		for i := range parts {
			d.x[to+k][i] = 1 - math.Exp(-d.x[of][i]/tau)
		}
	}
}

// setLoad sets the share of the requests that were served before each block's middle,
// and the traffic that memory follows with some delay.
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
	d.trend = smooth(&d.x[colTrend]) > trafficVaries
	d.fill(colFill+fills, colLoad)
}

// products sets the products of the columns that are used with each other and with the
// memory. Those of two columns of what fills up are not needed.
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

// productsOf sets the products of one column with those before it.
func (d *design) productsOf(a int) {
	for b := range min(a, colFill) + 1 {
		if !d.skips(b) {
			s := dot(&d.x[a], &d.x[b])
			d.gram[a][b], d.gram[b][a] = s, s
		}
	}
	d.gram[a][a] = dot(&d.x[a], &d.x[a])
}

func dot(a, b *[parts]float64) (s float64) {
	for i := range parts {
		s += a[i] * b[i]
	}
	return s
}

func (d *design) skips(col int) bool {
	return (col == colLoad || col == colTraffic) && !d.load || col == colTraffic && !d.traffic || col == colTrend && !d.trend
}

// triangle is the lower one that Cholesky's method makes of the products of a model.
type triangle [maxTerms][maxTerms]float64

// solve fits a model. It reports false if the terms cannot be told apart, or if what can
// only add memory would take some away.
func (d *design) solve(f *fit) bool {
	var l triangle
	var z [maxTerms]float64
	if !d.factor(f, &l) {
		return false
	}
	d.forward(f, &l, &z)
	if !f.back(&l, &z) {
		return false
	}
	d.score(f)
	return true
}

// factor factors the products of the terms of a model.
func (d *design) factor(f *fit, l *triangle) bool {
	for i := range f.n {
		row := &d.gram[f.terms[i]]
		for j := range i {
			s := row[f.terms[j]]
			for k := range j {
				s -= l[i][k] * l[j][k]
			}
			l[i][j] = s / l[j][j]
		}
		s := row[f.terms[i]] + 1e-9
		for k := range i {
			s -= l[i][k] * l[i][k]
		}
		if s < 1e-8 {
			return false
		}
		l[i][i] = math.Sqrt(s)
	}
	return true
}

// forward solves for z, and for the variance of the second term.
func (d *design) forward(f *fit, l *triangle, z *[maxTerms]float64) {
	var e [maxTerms]float64
	f.factor = 0
	for i := range f.n {
		s, u := d.xy[f.terms[i]], 0.0
		if i == 1 {
			u = 1
		}
		for k := range i {
			s -= l[i][k] * z[k]
			u -= l[i][k] * e[k]
		}
		z[i], e[i] = s/l[i][i], u/l[i][i]
		f.factor += e[i] * e[i]
	}
}

// back sets the coefficients. It reports false if one is negative that may not be.
func (f *fit) back(l *triangle, z *[maxTerms]float64) bool {
	for i := f.n - 1; i >= 0; i-- {
		s := z[i]
		for k := i + 1; k < f.n; k++ {
			s -= l[k][i] * f.coef[k]
		}
		f.coef[i] = s / l[i][i]
		if i > 0 && f.coef[i] < 0 && (i != 1 || !f.lasts) {
			return false
		}
	}
	return true
}

// score sets the growth that lasts by a model, and how well the model explains the memory.
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

// deviation returns the standard error of the lasting term; what is left over is
// correlated in time.
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

// try fits a model of so many terms with some free parameters. lasts tells that its
// second term grows without end.
func (m *models) try(lasts bool, free, n int, terms [maxTerms]int) {
	f := &m.all[m.n]
	f.terms, f.n, f.lasts, f.free = terms, n, lasts, free
	if m.design.solve(f) {
		m.n++
	}
}

// tryBoth fits a model without and with the traffic.
func (m *models) tryBoth(free, n int, terms [maxTerms]int) {
	m.try(true, free, n, terms)
	if m.design.traffic {
		terms[n] = colTraffic
		m.try(true, free+1, n+1, terms)
	}
}

// tryFlow fits memory that only follows the traffic, after the terms before.
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

// explain fits all models; those whose AICc is within range of the best are plausible.
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

func (d *design) agree(all []fit, within float64) finding {
	out := finding{least: math.Inf(1)}
	best := math.Inf(1)
	for i := range all {
		best = min(best, all[i].aicc)
	}
	for i := range all {
		f := &all[i]
		reach := within
		if !f.lasts {
			reach = plausibleFlow
		}
		if f.aicc > best+reach {
			continue
		}
		if !f.lasts {
			out.least = min(out.least, 0)
			if f.aicc == best {
				out.growth, out.errors = 0, 0
			}
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

// smooth replaces values by the parabola that fits them best, and returns its range.
func smooth(x *[parts]float64) float64 {
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
	least, most := math.Inf(1), math.Inf(-1)
	for i := range x {
		u := float64(i) - (parts-1)/2.0
		x[i] = sum/parts + first/firsts*u + second/seconds*(u*u-mean)
		least, most = min(least, x[i]), max(most, x[i])
	}
	return most - least
}

// live returns the growth of the last blocks as a share of what lasts by a model.
func (d *design) live(f *fit) float64 {
	u := &d.x[f.terms[1]]
	mean := func(x *[parts]float64, i int) float64 { return (x[i] + x[i+1] + x[i+2]) / 3 }
	expected := f.growth * (mean(u, parts-3) - mean(u, parts-8))
	if expected <= 0 {
		return 0
	}
	return (mean(&d.y, parts-3) - mean(&d.y, parts-8)) / expected
}
