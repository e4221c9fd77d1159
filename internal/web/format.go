package web

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// shown is a number as a person reads it, and exactly.
type shown struct{ Text, Exact string }

const (
	unknown    = "–"
	notKnown   = "not known"
	timeLayout = "2006-01-02 15:04:05 UTC"
)

// show makes both forms of v, or the dash of what is not known.
func show(v *float64, format func(float64) string, unit string) shown {
	if v == nil {
		return shown{unknown, notKnown}
	}
	return shown{format(*v), exact(*v) + unit}
}

func showBytes(v *float64) shown   { return show(v, formatBytes, " bytes") }
func showSeconds(v *float64) shown { return show(v, formatSeconds, " s") }
func showPercent(v *float64) shown { return show(v, formatPercent, " (ratio)") }
func showCount(v *float64) shown   { return show(v, formatCount, "") }
func showRate(v *float64) shown    { return show(v, formatRate, " per second") }
func showCores(v *float64) shown   { return show(v, formatPercent, " cores") }

// exact writes v with all its digits up to a millionth, thousands apart.
func exact(v float64) string {
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
		return exact(math.Round(v))
	}
	s := strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// formatBytes counts in thousands: 1 MB is 1,000,000 bytes.
func formatBytes(v float64) string {
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
		return sign + exact(math.Round(v)) + units[0]
	}
	return sign + short(v) + units[i]
}

// formatSeconds writes a length of time in its two largest units.
func formatSeconds(v float64) string {
	switch {
	case v < 0:
		return "-" + formatSeconds(-v)
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
	out := exact(math.Floor(n/per)) + " " + bigName
	if rest := math.Mod(n, per); rest > 0 {
		out += " " + exact(rest) + " " + smallName
	}
	return out
}

func formatPercent(ratio float64) string {
	if p := math.Abs(ratio * 100); p > 0 && p < 0.05 {
		return "<0.1 %"
	}
	return short(ratio*100) + " %"
}

// formatCount leaves four digits together, as in a listen limit of 2048.
func formatCount(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 10000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return short(v)
}

func formatRate(v float64) string {
	if v > 0 && v < 0.05 {
		return "<0.1/s"
	}
	return short(v) + "/s"
}

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// unixTime turns a metric's seconds since 1970 into a time, to the second.
func unixTime(v *float64) time.Time {
	if v == nil || *v <= 0 || *v > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(*v), 0).UTC()
}

// trendText writes an arrow and its rate for bytes per second. Less than
// 100 kB a minute is noise and counts as level.
func trendText(perSecond float64, known bool) (arrow string, words shown) {
	perMinute := perSecond * 60
	switch {
	case !known:
		return "", shown{}
	case perMinute >= 1e5:
		arrow = "↗"
	case perMinute <= -1e5:
		arrow = "↘"
	default:
		return "→", shown{"level", "changes by " + formatBytes(perMinute) + "/min over the last 5 min"}
	}
	return arrow, shown{formatBytes(perMinute) + "/min", exact(math.Round(perSecond)) + " bytes per second over the last 5 min"}
}
