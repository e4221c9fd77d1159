// Package stat turns the rounds of a benchmark into figures and tables. It is
// pure: nothing here measures.
package stat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Spread has the results of several rounds for one quantity, in its unit.
type Spread struct {
	Median, Min, Max float64
}

// Of returns the spread of values, which may come in any order. The median of an
// even number of values is the mean of the middle two. No values give zeros.
func Of(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	m := v[mid]
	if len(v)%2 == 0 {
		m = (v[mid-1] + v[mid]) / 2
	}
	return Spread{Median: m, Min: v[0], Max: v[len(v)-1]}
}

// resamples is how often [Interval] draws.
const resamples = 10_000

// Interval returns the median of values with its 95 % interval as Min and Max, by
// resampling, for which the seed draws. There must be a value.
func Interval(values []float64, seed uint64) Spread {
	draw := rand.New(rand.NewPCG(seed, 1))
	medians, sample := make([]float64, resamples), make([]float64, len(values))
	for i := range medians {
		for j := range sample {
			sample[j] = values[draw.IntN(len(values))]
		}
		medians[i] = Of(sample).Median
	}
	slices.Sort(medians)
	return Spread{Median: Of(values).Median, Min: medians[resamples*25/1000], Max: medians[resamples*975/1000]}
}

// Format returns the spread as "median [min–max]" with the given number of decimals, and as
// the median alone when all rounds look the same.
func (s Spread) Format(decimals int) string {
	m, low, high := num(s.Median, decimals), num(s.Min, decimals), num(s.Max, decimals)
	if low == high {
		return m
	}
	return m + " [" + low + "–" + high + "]"
}

func num(v float64, decimals int) string { return fmt.Sprintf("%.*f", decimals, v) }

// Ratio writes a divided by b as "2.5×", or "–" when b is not above zero.
func Ratio(a, b float64) string {
	if b <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", a/b)
}

// Column returns one figure of each element of list.
func Column[T any](list []T, figure func(T) float64) Spread {
	values := make([]float64, 0, len(list))
	for _, e := range list {
		values = append(values, figure(e))
	}
	return Of(values)
}

// Table writes a Markdown table. A row that is shorter than the head is filled
// with empty cells; a pipe in a cell is escaped.
func Table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for i := range head {
			cell := ""
			if i < len(cells) {
				cell = strings.ReplaceAll(cells[i], "|", `\|`)
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}
