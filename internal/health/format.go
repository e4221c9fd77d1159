package health

import (
	"math"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Exact writes v with all its digits up to a millionth, thousands apart.
func Exact(v float64) string { return text.Exact(v) }

// FormatBytes writes bytes for people. It counts in thousands: 1 MB is 1,000,000 bytes.
func FormatBytes(v float64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	units := []string{" B", " kB", " MB", " GB", " TB", " PB"}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	if i == 0 {
		return sign + Exact(math.Round(v)) + units[0]
	}
	return sign + text.Short(v) + units[i]
}

// FormatSeconds writes a length of time in its two largest units.
func FormatSeconds(v float64) string { return text.Seconds(v) }

// FormatPercent writes a ratio as percent, with one decimal below 10.
func FormatPercent(ratio float64) string {
	if p := math.Abs(ratio * 100); p > 0 && p < 0.05 {
		return "<0.1 %"
	}
	return text.Short(ratio*100) + " %"
}

// FormatCount writes a number of things. It leaves four digits together, as in a listen limit of 2048.
func FormatCount(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 10000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return text.Short(v)
}

// FormatRate writes a number per second.
func FormatRate(v float64) string {
	if v > 0 && v < 0.05 {
		return "<0.1/s"
	}
	return text.Short(v) + "/s"
}
