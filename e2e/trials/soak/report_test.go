package soak_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/trials/soak"
)

// scrapes returns the scrapes of an exporter with the goroutines that of returns.
func scrapes(n int, of func(i int) float64) []soak.Scrape {
	out := make([]soak.Scrape, n)
	for i := range out {
		out[i] = soak.Scrape{N: i, Seconds: float64(i), Took: 0.01, Status: 200, Series: 500, RSS: 40e6, Goroutines: of(i), Files: 30, CPU: 1 + float64(i)/100}
	}
	return out
}

func TestGrowths(t *testing.T) {
	t.Parallel()
	noise := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated
	for name, c := range map[string]struct {
		of    func(i int) float64
		grows bool
	}{
		"flat":                      {func(int) float64 { return 40 }, false},
		"noise":                     {func(int) float64 { return 40 + 20*noise.Float64() }, false},
		"fills up and stays":        {func(i int) float64 { return math.Min(float64(i), 150) }, false},
		"shrinks":                   {func(i int) float64 { return 1000 - float64(i)/2 }, false},
		"one an hour":               {func(i int) float64 { return 40 + float64(i)/100 }, false}, // below what the bound allows
		"one in ten scrapes":        {func(i int) float64 { return 40 + float64(i)/10 }, true},
		"one in ten, in much noise": {func(i int) float64 { return 40 + float64(i)/10 + 20*noise.Float64() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, g := range soak.Growths(scrapes(1000, c.of)) {
				if g.Grows != (c.grows && g.Name == "goroutines") {
					t.Errorf("%+v", g)
				}
			}
		})
	}
	if g := soak.Growths(scrapes(1000, func(i int) float64 { return float64(i) })); math.Abs(g[1].Slope-1000) > 1e-6 || g[0].Slope != 0 {
		t.Errorf("slopes %v and %v", g[1].Slope, g[0].Slope)
	}
	if g := soak.Growths(nil); len(g) != 4 || g[0].Grows {
		t.Errorf("of nothing: %+v", g)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	list := scrapes(1000, func(i int) float64 { return float64(i) })
	list[3].Status = 503
	if n := soak.Bad(list); n != 1 {
		t.Errorf("%d bad", n)
	}
	var b strings.Builder
	if err := (soak.Result{Scrapes: list, Recycled: 7}).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1000 scrapes in 999 s, 1 without an answer of 200", "7 workers recycled", "| goroutines | 280 | 920 |", "**grows**", "| open files | 30 | 30 | 0.00 | 0 | 30 | holds |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
