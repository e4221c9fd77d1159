package text

import (
	"math"
	"strconv"
)

// Bytes returns a number of bytes in the largest unit from B to PB that fits, with one
// decimal below 10. It counts in thousands: 1 MB is 1,000,000 bytes.
func Bytes(v float64) string {
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
	return sign + Short(v) + units[i]
}

// Percent returns a ratio (1 is 100 %) as percent, with one decimal below 10; "<0.1 %",
// without its sign, if it is less than 0.05 %, and not 0.
func Percent(ratio float64) string {
	if p := math.Abs(ratio * 100); p > 0 && p < 0.05 {
		return "<0.1 %"
	}
	return Short(ratio*100) + " %"
}

// Count returns a number of things. A whole number below 10,000 has no comma, as in a
// listen limit of 2048; all others are as [Short] has them.
func Count(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 10000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return Short(v)
}

// Rate returns a number per second, e.g. "2.9/s"; "<0.1/s" if it is less than 0.05, and
// not 0.
func Rate(v float64) string {
	if v > 0 && v < 0.05 {
		return "<0.1/s"
	}
	return Short(v) + "/s"
}
