package views

import (
	"math"

	"github.com/resp-exporter/resp-exporter/internal/leak/linear"
)

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

// add adds one observation of one worker, as it came. Old ones count less and less.
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
			c.sums[linear.At(i, j)] += float32(over[i] * over[j])
		}
	}
}

// atOnce sets s to the regression of the memory's growth on the columns cols, by single
// observations. It returns false if the columns cannot be separated.
func (c *company) atOnce(s *solution, cols []int) bool {
	b := block{n: c.n, xy: c.xy, yy: c.yy}
	for i := range c.sums {
		b.gram[i] = float64(c.sums[i])
	}
	return s.set(&b, cols)
}

// has reports whether the requests of a view come so often with those of another one, more
// than by chance, that the growth of one may be attributed to the other: samples do not
// see all requests. rate returns how many requests per second a view has. It is false also
// if nothing was observed.
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
		together := float64(c.sums[linear.At(view, i)])
		chance := math.Sqrt(float64(c.sums[linear.At(view, view)]) * float64(c.sums[linear.At(i, i)]) / c.n)
		if together >= leastTogether*chance && together >= companyShare*mine*other*math.Sqrt(n*m) {
			return true
		}
	}
	return false
}
