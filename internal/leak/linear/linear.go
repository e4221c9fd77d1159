// Package linear solves the normal equations of regressions by Cholesky's method. It
// works in the memory of its caller and allocates nothing.
//
// A symmetric matrix is its lower triangle, row after row; see [At].
package linear

import "math"

// At returns the place of an element in a packed triangle; row and column may be in any
// order.
func At(i, j int) int {
	if i < j {
		i, j = j, i
	}
	return i*(i+1)/2 + j
}

// Packed returns how many elements a packed triangle of n rows has.
func Packed(n int) int { return n * (n + 1) / 2 }

// Factor replaces a positive definite matrix A of n rows by the triangle L with L Lᵀ = A.
// false: A is not positive definite, or a column is explained by those before it but for
// a part alike; a is useless then.
func Factor(a []float64, n int, alike float64) bool {
	for i := range n {
		row := a[At(i, 0):][: i+1 : i+1]
		for j := range i {
			other := a[At(j, 0):][: j+1 : j+1]
			s := row[j]
			for k, x := range other[:j] {
				s -= row[k] * x
			}
			row[j] = s / other[j]
		}
		s := row[i]
		least := alike * s
		for _, x := range row[:i] {
			s -= x * x
		}
		if !(s > least) {
			return false
		}
		row[i] = math.Sqrt(s)
	}
	return true
}

// Forward replaces b by the solution x of L x = b; l is from [Factor].
func Forward(l, b []float64) {
	for i := range b {
		row := l[At(i, 0):][: i+1 : i+1]
		s := b[i]
		for k, x := range row[:i] {
			s -= x * b[k]
		}
		b[i] = s / row[i]
	}
}

// Back replaces b by the solution x of Lᵀ x = b; l is from [Factor].
func Back(l, b []float64) {
	for i := len(b) - 1; i >= 0; i-- {
		row := l[At(i, 0):][: i+1 : i+1]
		x := b[i] / row[i]
		b[i] = x
		for k, y := range row[:i] {
			b[k] -= y * x
		}
	}
}
