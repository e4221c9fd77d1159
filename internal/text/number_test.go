package text_test

import (
	"math"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0 s", 0.00001: "<0.1 ms", 0.25: "250 ms", 1.25: "1.2 s", 42: "42 s", 71: "1 min 11 s", 120: "2 min", 7500: "2 h 5 min", 90000: "1 d 1 h", -3: "-3 s",
	} {
		if got := text.Seconds(v); got != want {
			t.Errorf("Seconds(%g) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{1234567: "1,234,567", -1000.5: "-1,000.5", 0.1234567: "0.123457", 999: "999", -1e-9: "0", -0.5: "-0.5", math.Inf(1): "+Inf"} {
		if got := text.Exact(v); got != want {
			t.Errorf("Exact(%g) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0 %", 0.0001: "<0.1 %", -0.0001: "<0.1 %", 0.5: "50 %", -0.5: "-50 %"} {
		if got := text.Percent(v); got != want {
			t.Errorf("Percent(%g) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{9.94: "9.9", 9.96: "10", -0.01: "0", 3: "3"} {
		if got := text.Short(v); got != want {
			t.Errorf("Short(%g) = %q, want %q", v, got, want)
		}
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := text.Enumerate(words); got != want {
			t.Errorf("Enumerate(%q) = %q", words, got)
		}
	}
}
