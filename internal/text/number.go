package text

import (
	"math"
	"strconv"
	"strings"
)

// Exact returns v rounded to a millionth, without zeros at the end and with commas between
// thousands, e.g. "1,234.5"; "NaN", "+Inf" and "-Inf" as such.
func Exact(v float64) string {
	s := strconv.FormatFloat(v, 'f', 6, 64)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return s
	}
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	whole, rest, _ := strings.Cut(s, ".")
	if rest != "" {
		rest = "." + rest
	}
	if whole == "-0" && rest == "" {
		return "0"
	}
	return thousands(whole) + rest
}

// thousands returns digits, with or without "-" before them, with a comma between
// thousands.
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

// Short returns v with one decimal below 10, which is left out if it is 0, and from 9.95
// on as a whole number with commas between thousands.
func Short(v float64) string {
	if math.Abs(v) >= 9.95 {
		return Exact(math.Round(v))
	}
	s := strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// Seconds returns v seconds in words: one unit below a minute ("<0.1 ms", "12 ms", "1.5
// s"), from there on two ("2 h 5 min"), the smaller one left out if it is 0.
func Seconds(v float64) string {
	switch {
	case v < 0:
		return "-" + Seconds(-v)
	case v == 0:
		return "0 s"
	case v < 0.00005:
		return "<0.1 ms"
	case v < 0.9995:
		return Short(v*1000) + " ms"
	case v < 59.5:
		return Short(v) + " s"
	case v < 3599.5:
		return pair(v, 60, "min", 1, "s")
	case v < 86400-30:
		return pair(v, 3600, "h", 60, "min")
	default:
		return pair(v, 86400, "d", 3600, "h")
	}
}

// pair returns a number in two units, the smaller one left out if it is 0: "2 h 5 min".
func pair(v, big float64, bigName string, small float64, smallName string) string {
	n := math.Round(v / small)
	per := big / small
	out := Exact(math.Floor(n/per)) + " " + bigName
	if rest := math.Mod(n, per); rest > 0 {
		out += " " + Exact(rest) + " " + smallName
	}
	return out
}

// Enumerate returns words joined with commas, and "and" before the last one; "" without
// words.
func Enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
