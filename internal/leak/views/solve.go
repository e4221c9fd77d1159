package views

import (
	"math"

	"github.com/resp-exporter/resp-exporter/internal/leak/linear"
)

const (
	// alike is the part of a column's square that the others must leave unexplained, at
	// least, to be told apart from it.
	alike = 1e-6
	// pageError is the square of the least standard error: memory comes in pages.
	pageError = 64 * 64
)

// solution is a regression that is solved on some columns of a block.
type solution struct {
	l    [packed]float64 // by Cholesky
	cols int
	of   [columns]int     // the columns of the block that are used
	coef [columns]float64 // bytes
	left float64          // sum of the squares that the coefficients leave over
	n    float64          // observations
}

// set solves the regression of a block on the columns cols. It returns false if these are
// not independent.
func (s *solution) set(b *block, cols []int) bool {
	s.cols, s.left, s.n = copy(s.of[:], cols), b.yy, b.n
	n := 0
	for i, c := range cols {
		for _, d := range cols[:i+1] {
			s.l[n] = b.gram[linear.At(c, d)]
			n++
		}
		s.coef[i] = b.xy[c]
	}
	if !linear.Factor(s.l[:], s.cols, alike) {
		return false
	}
	linear.Forward(s.l[:], s.coef[:s.cols])
	for _, z := range s.coef[:s.cols] {
		s.left -= z * z
	}
	linear.Back(s.l[:], s.coef[:s.cols])
	return true
}

// deviation returns the standard error, in bytes, of the coefficient in place k, at least
// 64. It is the larger of that for observations whose variance differs (White, 1980), by
// meat, and that of least squares: rare falls of the memory may all have happened without
// the view.
func (s *solution) deviation(meat *[packed]float32, k int) float64 {
	var row [columns]float64 // of the inverse
	row[k] = 1
	a := row[:s.cols]
	linear.Forward(s.l[:], a)
	linear.Back(s.l[:], a)
	variance := 0.0
	for i, c := range s.of[:s.cols] {
		half := 0.0
		for j, d := range s.of[:i] {
			half += a[j] * float64(meat[linear.At(c, d)])
		}
		variance += a[i] * (2*half + a[i]*float64(meat[linear.At(c, c)]))
	}
	variance = max(variance*1e12, a[k]*s.left/max(1, s.n))
	free := s.n / max(1, s.n-float64(s.cols))
	return math.Sqrt(max(pageError, variance*free))
}
