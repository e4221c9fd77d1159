package views

import "math"

const (
	leastTogether = 3.0     // standard errors that two views come together more than by chance
	companyShare  = .2      // of the variance of their requests
	halved        = 20000.0 // observations after which those before count half
	late          = 300.0   // observations that say what is usual
)

// company is which views come with which: products of how many more requests to them than
// usual there were in the observations.
type company struct {
	n     float64
	lasts float64
	seen  [columns]float64
	usual [columns]float64 // requests a second of late
	sums  [packed]float32
	xy    [columns]float64 // the same products with what the memory grew by
	yy    float64
}

// add adds what one worker has seen, before it is put together.
func (c *company) add(x *[columns]float64, grown float64) {
	if c.n >= halved {
		c.n, c.lasts, c.yy = c.n/2, c.lasts/2, c.yy/2
		for i := range c.seen {
			c.seen[i] /= 2
			c.xy[i] /= 2
		}
		for i := range c.sums {
			c.sums[i] /= 2
		}
	}
	c.n++
	c.lasts += x[0]
	c.yy += grown * grown
	var over [columns]float64
	for i := 1; i < columns; i++ {
		c.seen[i] += x[i]
		over[i] = x[i] - c.usual[i]*x[0]
		c.usual[i] += over[i] / x[0] / min(c.n, late)
	}
	for i := 1; i < columns; i++ {
		if c.seen[i] == 0 {
			continue
		}
		c.xy[i] += over[i] * grown
		for j := 1; j <= i; j++ {
			c.sums[at(i, j)] += float32(over[i] * over[j])
		}
	}
}

// atOnce returns what the memory grows by in the very observations that have requests to
// the views of some columns, and its standard errors; false: that cannot be told.
func (c *company) atOnce(cols []int) (coef, dev [columns]float64, ok bool) {
	b := block{n: c.n, xy: c.xy, yy: c.yy}
	for i := range c.sums {
		b.gram[i] = float64(c.sums[i])
	}
	var v inverse
	if !v.set(&b, cols) {
		return coef, dev, false
	}
	for k, i := range cols {
		coef[i], dev[i] = v.estimate(&b, k)
	}
	return coef, dev, true
}

// has reports whether the requests of a view come with those of another one. Samples do
// not see all requests: the growth by those of one view that are not seen would be taken
// for that of the other. rate is how many requests of a view there are in a second.
func (c *company) has(view int, rate func(view int) float64) bool {
	if c.lasts <= 0 {
		return false
	}
	part := func(i int) (seen, all float64) { // of the requests that were seen; all requests
		all = rate(i-1) * c.lasts
		return c.seen[i] / max(all, c.seen[i]), max(all, c.seen[i])
	}
	mine, n := part(view)
	for i := 1; i < columns; i++ {
		if i == view || c.seen[i] == 0 {
			continue
		}
		other, m := part(i)
		together := float64(c.sums[at(view, i)])
		chance := math.Sqrt(float64(c.sums[at(view, view)]) * float64(c.sums[at(i, i)]) / c.n)
		if together >= leastTogether*chance && together >= companyShare*mine*other*math.Sqrt(n*m) {
			return true
		}
	}
	return false
}
