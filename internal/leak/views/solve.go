package views

import "math"

// inverse is the inverse of the products of a regression, of the columns that it used.
type inverse struct {
	l    [columns][columns]float64 // of Cholesky
	cols int
	of   [columns]int // the columns of the block that are used
	coef [columns]float64
	left float64 // sum of the squares that the coefficients leave over
}

// set solves the regression on the columns that cols holds. It reports false if they
// cannot be told apart.
func (v *inverse) set(b *block, cols []int) bool {
	v.cols = copy(v.of[:], cols)
	if !v.factor(b) {
		return false
	}
	v.solve(b)
	return true
}

// factor factors the products of the columns.
func (v *inverse) factor(b *block) bool {
	for i := range v.cols {
		for j := range i + 1 {
			s := b.gram[at(v.of[i], v.of[j])]
			for k := range j {
				s -= v.l[i][k] * v.l[j][k]
			}
			if i != j {
				v.l[i][j] = s / v.l[j][j]
				continue
			}
			if s <= alike*b.gram[at(v.of[i], v.of[i])] {
				return false
			}
			v.l[i][i] = math.Sqrt(s)
		}
	}
	return true
}

// solve sets the coefficients.
func (v *inverse) solve(b *block) {
	v.left = b.yy
	for i := range v.cols {
		s := b.xy[v.of[i]]
		for k := range i {
			s -= v.l[i][k] * v.coef[k]
		}
		v.coef[i] = s / v.l[i][i]
		v.left -= v.coef[i] * v.coef[i]
	}
	for i := v.cols - 1; i >= 0; i-- {
		s := v.coef[i]
		for k := i + 1; k < v.cols; k++ {
			s -= v.l[k][i] * v.coef[k]
		}
		v.coef[i] = s / v.l[i][i]
	}
}

// alike is the part of a column's square that the others must leave unexplained, at
// least, to be told apart from it.
const alike = 1e-6

// pageError is the square of the least standard error: memory comes in pages.
const pageError = 64 * 64

// row returns the row of the inverse of the column in place k.
func (v *inverse) row(k int) (a [columns]float64) {
	for i := k; i < v.cols; i++ {
		s := 0.0
		if i == k {
			s = 1
		}
		for j := k; j < i; j++ {
			s -= v.l[i][j] * a[j]
		}
		a[i] = s / v.l[i][i]
	}
	for i := v.cols - 1; i >= 0; i-- {
		s := a[i]
		for j := i + 1; j < v.cols; j++ {
			s -= v.l[j][i] * a[j]
		}
		a[i] = s / v.l[i][i]
	}
	return a
}

// estimate returns the coefficient of the column in place k and its standard error, both
// in bytes: the larger of the one that holds if the variance of observations differs
// (White, 1980), and of the one of least squares, as rare falls of the memory may all have
// happened without the view.
func (v *inverse) estimate(b *block, k int) (coef, dev float64) {
	a := v.row(k)
	variance := 0.0
	for i := range v.cols {
		for j := range v.cols {
			variance += a[i] * a[j] * float64(b.meat[at(v.of[i], v.of[j])])
		}
	}
	variance = max(variance*1e12, a[k]*v.left/max(1, b.n))
	free := b.n / max(1, b.n-float64(v.cols))
	return v.coef[k], math.Sqrt(max(pageError, variance*free))
}
