package web_test

import (
	"math"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

func TestFormats(t *testing.T) {
	type table map[float64]string
	for name, c := range map[string]struct {
		format func(float64) string
		want   table
	}{
		"bytes": {web.FormatBytes, table{0: "0 B", 1: "1 B", 999: "999 B", 999.7: "1 kB", 1200: "1.2 kB", 999499: "999 kB", 999600: "1 MB",
			182452224: "182 MB", 9.96e6: "10 MB", 1.2e9: "1.2 GB", 3e15: "3 PB", 4e18: "4,000 PB", -1.2e6: "-1.2 MB"}},
		"seconds": {web.FormatSeconds, table{0: "0 s", 0.00001: "<0.1 ms", 0.0004: "0.4 ms", 0.082: "82 ms", 0.9996: "1 s", 1: "1 s", 8.2: "8.2 s",
			42: "42 s", 59.4: "59 s", 59.6: "1 min", 190: "3 min 10 s", 3599.6: "1 h", 11400: "3 h 10 min", 86399: "1 d", 273600: "3 d 4 h", -2: "-2 s"}},
		"percent": {web.FormatPercent, table{0: "0 %", 0.0001: "<0.1 %", 0.002: "0.2 %", 0.12: "12 %", 1: "100 %", 12.345: "1,235 %"}},
		"count":   {web.FormatCount, table{0: "0", 2048: "2048", 23104: "23,104", 0.5: "0.5", -3: "-3"}},
		"rate":    {web.FormatRate, table{0: "0/s", 0.01: "<0.1/s", 0.3: "0.3/s", 41.2: "41/s", 1234: "1,234/s"}},
		"exact":   {web.Exact, table{0: "0", 0.082: "0.082", 182452224: "182,452,224", -1234.5: "-1,234.5", 100: "100"}},
	} {
		for in, want := range c.want {
			if got := c.format(in); got != want {
				t.Errorf("%s of %v: %q, want %q", name, in, got, want)
			}
		}
	}
}

func TestTrend(t *testing.T) {
	h := recorded(t, 60)
	perSecond, known := h.Trend("shop", "0")
	if !known || math.Abs(perSecond-20000) > 1 {
		t.Errorf("got %v bytes per second (%v), want 20000", perSecond, known)
	}
	if v, known := h.Trend("shop", "1"); !known || v != 0 {
		t.Errorf("a level worker: %v (%v), want 0", v, known)
	}
	if _, known := h.Trend("shop", "9"); known {
		t.Error("a worker without numbers has a trend")
	}
	if _, known := recorded(t, 20).Trend("shop", "0"); known {
		t.Error("100 s are enough for a trend, want 2 minutes")
	}
	for in, want := range map[float64]string{20000: "↗ 1.2 MB/min", -20000: "↘ -1.2 MB/min", 100: "→ level"} {
		if arrow, words := display.Trend(in, true); arrow+" "+words.Text != want {
			t.Errorf("%v: %q %q, want %q", in, arrow, words.Text, want)
		}
	}
}
