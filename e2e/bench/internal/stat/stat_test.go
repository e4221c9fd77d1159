package stat_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

func TestOf(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []float64
		want stat.Spread
		text string
	}{
		"none":      {nil, stat.Spread{}, "0.0"},
		"one":       {[]float64{4}, stat.Spread{Median: 4, Min: 4, Max: 4}, "4.0"},
		"odd":       {[]float64{9, 1, 5}, stat.Spread{Median: 5, Min: 1, Max: 9}, "5.0 [1.0–9.0]"},
		"even":      {[]float64{4, 1, 3, 2}, stat.Spread{Median: 2.5, Min: 1, Max: 4}, "2.5 [1.0–4.0]"},
		"same text": {[]float64{1.01, 1.02, 1.03}, stat.Spread{Median: 1.02, Min: 1.01, Max: 1.03}, "1.0"},
	} {
		got := stat.Of(tc.in)
		if got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
		if text := got.Format(1); text != tc.text {
			t.Errorf("%s: got %q, want %q", name, text, tc.text)
		}
	}
}

func TestOfKeepsItsInput(t *testing.T) {
	in := []float64{3, 1, 2}
	stat.Of(in)
	if in[0] != 3 || in[1] != 1 || in[2] != 2 {
		t.Errorf("input is now %v", in)
	}
}

func TestRatio(t *testing.T) {
	if got := stat.Ratio(5, 2); got != "2.50×" {
		t.Errorf("got %q", got)
	}
	if got := stat.Ratio(5, 0); got != "–" {
		t.Errorf("by nothing: got %q", got)
	}
}

func TestTable(t *testing.T) {
	got := stat.Table([]string{"a", "b"}, [][]string{{"1", "x|y"}, {"2"}})
	want := "| a | b |\n|---|---|\n| 1 | x\\|y |\n| 2 |  |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func step(asked float64, sent, counted int64) stat.Step {
	return stat.Step{Asked: asked, Sent: sent, Counted: counted, Seconds: 2, CPU: 0.001}
}

func TestStep(t *testing.T) {
	s := step(100, 200, 200)
	if !s.Lossless() || s.Rate() != 100 || s.CPUPerLine() != 5 || s.SenderLimited() {
		t.Errorf("a good step: %v %v %v %v", s.Lossless(), s.Rate(), s.CPUPerLine(), s.SenderLimited())
	}
	if s := step(100, 0, 0); s.Lossless() || s.CPUPerLine() != 0 {
		t.Errorf("nothing sent must not be loss-free: %v, %v", s.Lossless(), s.CPUPerLine())
	}
	if (stat.Step{Asked: 100, Sent: 1}).Rate() != 0 {
		t.Error("no time must give no rate")
	}
	if s := step(100, 150, 150); !s.SenderLimited() {
		t.Error("75 of 100 asked for is the sender's limit")
	}
	if s := step(0, 150, 150); s.SenderLimited() {
		t.Error("nothing was asked of an unpaced sender")
	}
	// More counted than sent means that there was another sender: no result.
	if s := step(100, 200, 201); s.Lossless() {
		t.Error("201 of 200 is not loss-free")
	}
}

func TestLadder(t *testing.T) {
	good := func(rate float64) stat.Step { return step(rate, int64(2*rate), int64(2*rate)) }
	bad := func(rate float64) stat.Step { return step(rate, int64(2*rate), int64(2*rate)-1) }
	for name, tc := range map[string]struct {
		steps []stat.Step
		best  float64 // 0: none
		over  bool
	}{
		"not begun":               {nil, 0, false},
		"climbing":                {[]stat.Step{good(10), good(20)}, 20, false},
		"one loss":                {[]stat.Step{good(10), bad(20)}, 10, false},
		"a loss and a good step":  {[]stat.Step{good(10), bad(20), good(40)}, 40, false},
		"two losses in a row":     {[]stat.Step{good(10), bad(20), bad(40)}, 10, true},
		"two losses, not in line": {[]stat.Step{bad(10), good(20), bad(40)}, 20, false},
		"nothing but losses":      {[]stat.Step{bad(10), bad(20)}, 0, true},
		"sender at its end":       {[]stat.Step{good(10), step(100, 150, 150)}, 75, true},
	} {
		best, ok := stat.Best(tc.steps)
		if ok != (tc.best > 0) || best.Rate() != tc.best {
			t.Errorf("%s: best %v, %v; want %v", name, best.Rate(), ok, tc.best)
		}
		if got := stat.Over(tc.steps); got != tc.over {
			t.Errorf("%s: over %v, want %v", name, got, tc.over)
		}
	}
}

// TestInterval checks that the interval of the median holds it, is the same for the same
// seed, and is a point for equal values.
func TestInterval(t *testing.T) {
	t.Parallel()
	values := []float64{9, 1, 5, 3, 7, 4, 6, 2, 8}
	s := stat.Interval(values, 3)
	if s.Median != 5 || s.Min < 1 || s.Min >= 5 || s.Max <= 5 || s.Max > 9 || stat.Interval(values, 3) != s {
		t.Errorf("%+v", s)
	}
	if s := stat.Interval([]float64{2, 2, 2}, 1); s != (stat.Spread{Median: 2, Min: 2, Max: 2}) {
		t.Errorf("%+v", s)
	}
}
