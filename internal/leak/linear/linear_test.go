package linear_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/leak/linear"
)

// products returns the products of random columns with each other.
func products(rng *rand.Rand, n int) []float64 {
	a := make([]float64, linear.Packed(n))
	for range n + 5 {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
			for j := range i + 1 {
				a[linear.At(i, j)] += x[i] * x[j]
			}
		}
	}
	return a
}

// times returns A x.
func times(a, x []float64) []float64 {
	b := make([]float64, len(x))
	for i := range b {
		for j := range x {
			b[i] += a[linear.At(i, j)] * x[j]
		}
	}
	return b
}

func TestSolve(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for n := 1; n <= 30; n++ {
		a := products(rng, n)
		want := make([]float64, n)
		for i := range want {
			want[i] = rng.NormFloat64()
		}
		b := times(a, want)
		if !linear.Factor(a, n, 1e-12) {
			t.Fatalf("%d rows: not factored", n)
		}
		linear.Forward(a, b)
		linear.Back(a, b)
		for i := range b {
			if math.Abs(b[i]-want[i]) > 1e-6 {
				t.Fatalf("%d rows: got %v, expected %v", n, b, want)
			}
		}
	}
}

// TestAlike checks that a column that is zero, or a combination of the others, is
// detected.
func TestAlike(t *testing.T) {
	for name, a := range map[string][]float64{
		"the same twice": {4, 4, 4},
		"nearly":         {1, 1, 1 + 1e-7},
		"nothing":        {0, 0, 1},
		"negative":       {1, 0, -1},
		"not a number":   {1, math.NaN(), 1},
	} {
		if linear.Factor(a, 2, 1e-6) {
			t.Errorf("%s: factored to %v", name, a)
		}
	}
	if a := []float64{1, 1, 1 + 1e-5}; !linear.Factor(a, 2, 1e-6) {
		t.Error("columns that differ were not factored")
	}
}

func benchmark(b *testing.B, n int) {
	a := products(rand.New(rand.NewPCG(1, 1)), n)
	l, x := make([]float64, len(a)), make([]float64, n)
	b.ReportAllocs()
	for b.Loop() {
		copy(l, a)
		linear.Factor(l, n, 1e-12)
		x[0] = 1
		linear.Forward(l, x)
		linear.Back(l, x)
	}
}

func BenchmarkSolve4(b *testing.B) { benchmark(b, 4) }

func BenchmarkSolve28(b *testing.B) { benchmark(b, 28) }
