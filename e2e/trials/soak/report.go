package soak

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// warm is the part of a soak that does not count: caches and names fill up.
const warm = 0.2

// Growth is how one quantity moved after the warm-up.
type Growth struct {
	Name          string
	First, Last   float64 // medians of the first and the last fifth of what counts
	Slope         float64 // least squares, a thousand scrapes
	Projected     float64 // Slope over all scrapes that count
	Bound         float64 // what the move may be
	Grows         bool
	unit          float64
	decimalPlaces int
}

// bound is what a quantity may move: a share of its size, and at least least.
type bound struct {
	name         string
	of           func(Scrape) float64
	share, least float64
	unit         float64
	decimals     int
}

// bounds lists the quantities. Slow readers, scrapes and StatsD come and go, so
// that none is the same twice; a leak passes every bound with enough scrapes.
func bounds() []bound {
	return []bound{
		{"resident memory, MB", func(s Scrape) float64 { return s.RSS }, 0.15, 16e6, 1e6, 1},
		{"goroutines", func(s Scrape) float64 { return s.Goroutines }, 0.25, 30, 1, 0},
		{"open files", func(s Scrape) float64 { return s.Files }, 0.25, 30, 1, 0},
		{"series", func(s Scrape) float64 { return float64(s.Series) }, 0.1, 50, 1, 0},
	}
}

// Growths returns how each quantity moved, of the scrapes that were answered
// with 200. It grows when the slope and the medians agree that it does.
func Growths(scrapes []Scrape) []Growth {
	good := slices.DeleteFunc(slices.Clone(scrapes), func(s Scrape) bool { return s.Status != 200 })
	slices.SortFunc(good, func(a, b Scrape) int { return a.N - b.N })
	good = good[int(float64(len(good))*warm):]
	var out []Growth
	for _, b := range bounds() {
		fifth := max(len(good)/5, 1)
		if len(good) == 0 {
			fifth = 0
		}
		g := Growth{Name: b.name, First: median(good[:fifth], b.of), Last: median(good[len(good)-fifth:], b.of), unit: b.unit, decimalPlaces: b.decimals}
		g.Slope = 1000 * slope(good, b.of)
		g.Projected = g.Slope * float64(len(good)) / 1000
		g.Bound = max(b.share*g.First, b.least)
		g.Grows = g.Projected > g.Bound && g.Last-g.First > g.Bound*0.5
		out = append(out, g)
	}
	return out
}

// Bad returns how many scrapes were not answered with 200.
func Bad(scrapes []Scrape) (n int) {
	for _, s := range scrapes {
		if s.Status != 200 {
			n++
		}
	}
	return n
}

// median returns the median of one value of the scrapes, 0 without scrapes.
func median(scrapes []Scrape, of func(Scrape) float64) float64 {
	if len(scrapes) == 0 {
		return 0
	}
	v := make([]float64, len(scrapes))
	for i, s := range scrapes {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// slope returns the least-squares slope of a quantity, a scrape.
func slope(scrapes []Scrape, of func(Scrape) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for i, s := range scrapes {
		x, y := float64(i), of(s)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0
	}
	return (n*sxy - sx*sy) / d
}

// Write writes the report of a soak in Markdown.
func (r Result) Write(w io.Writer) error {
	if len(r.Scrapes) == 0 {
		_, err := fmt.Fprintln(w, "no scrape was done")
		return err
	}
	took := make([]float64, len(r.Scrapes))
	var longest, first, last float64 = 0, math.Inf(1), 0
	for i, s := range r.Scrapes {
		took[i] = s.Took
		longest = max(longest, s.Seconds+s.Took)
		if s.CPU > 0 {
			first, last = min(first, s.CPU), max(last, s.CPU)
		}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return 1000 * took[int(q*float64(len(took)-1))] }
	_, err := fmt.Fprintf(w, `%d scrapes in %.0f s, %d without an answer of 200; ms a scrape: p50 %.1f, p99 %.1f, longest %.1f
CPU of the exporter: %.1f ms a scrape, all else that it did meanwhile included
%d workers recycled; %d connections of slow readers, %d ended by the exporter; %.0f StatsD datagrams received

| | first | last | slope, 1,000 scrapes | projected | bound | |
|---|---|---|---|---|---|---|
`, len(r.Scrapes), longest, Bad(r.Scrapes), at(0.5), at(0.99), at(1), 1000*max(last-first, 0)/float64(len(r.Scrapes)), r.Recycled, r.Opened, r.Closed, r.Packets)
	for _, g := range Growths(r.Scrapes) {
		if err != nil {
			return err
		}
		verdict := "holds"
		switch {
		case g.First == 0:
			verdict = "not seen"
		case g.Grows:
			verdict = "**grows**"
		}
		f := func(v float64) string { return fmt.Sprintf("%.*f", g.decimalPlaces, v/g.unit) }
		_, err = fmt.Fprintf(w, "| %s | %s | %s | %.2f | %s | %s | %s |\n", g.Name, f(g.First), f(g.Last), g.Slope/g.unit, f(g.Projected), f(g.Bound), verdict)
	}
	return err
}
