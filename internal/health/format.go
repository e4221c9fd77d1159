package health

import (
	"math"
	"strconv"
	"strings"
)

// Exact writes v with all its digits up to a millionth, thousands apart.
func Exact(v float64) string {
	s := strconv.FormatFloat(v, 'f', 6, 64)
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	whole, rest, _ := strings.Cut(s, ".")
	if rest != "" {
		rest = "." + rest
	}
	return thousands(whole) + rest
}

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// short writes v with one decimal below 10 and with none above.
func short(v float64) string {
	if math.Abs(v) >= 9.95 {
		return Exact(math.Round(v))
	}
	s := strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

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
	return sign + short(v) + units[i]
}

// FormatSeconds writes a length of time in its two largest units.
func FormatSeconds(v float64) string {
	switch {
	case v < 0:
		return "-" + FormatSeconds(-v)
	case v == 0:
		return "0 s"
	case v < 0.00005:
		return "<0.1 ms"
	case v < 0.9995:
		return short(v*1000) + " ms"
	case v < 59.5:
		return short(v) + " s"
	case v < 3599.5:
		return pair(v, 60, "min", 1, "s")
	case v < 86400-30:
		return pair(v, 3600, "h", 60, "min")
	default:
		return pair(v, 86400, "d", 3600, "h")
	}
}

func pair(v, big float64, bigName string, small float64, smallName string) string {
	n := math.Round(v / small)
	per := big / small
	out := Exact(math.Floor(n/per)) + " " + bigName
	if rest := math.Mod(n, per); rest > 0 {
		out += " " + Exact(rest) + " " + smallName
	}
	return out
}

// FormatPercent writes a ratio as percent, with one decimal below 10.
func FormatPercent(ratio float64) string {
	if p := math.Abs(ratio * 100); p > 0 && p < 0.05 {
		return "<0.1 %"
	}
	return short(ratio*100) + " %"
}

// FormatCount writes a number of things. It leaves four digits together, as in a listen limit of 2048.
func FormatCount(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 10000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return short(v)
}

// FormatRate writes a number per second.
func FormatRate(v float64) string {
	if v > 0 && v < 0.05 {
		return "<0.1/s"
	}
	return short(v) + "/s"
}
