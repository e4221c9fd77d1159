package health

import "github.com/resp-exporter/resp-exporter/internal/text"

// Exact returns v rounded to a millionth, with commas between thousands: "1,234.5".
func Exact(v float64) string { return text.Exact(v) }

// FormatBytes returns bytes for people, in thousands: "1 MB" is 1,000,000 bytes.
func FormatBytes(v float64) string { return text.Bytes(v) }

// FormatSeconds returns seconds in one unit ("1.5 s"), from a minute on in two ("2 min 5 s").
func FormatSeconds(v float64) string { return text.Seconds(v) }

// FormatPercent returns a ratio as percent, with one decimal below 10 %.
func FormatPercent(ratio float64) string { return text.Percent(ratio) }

// FormatCount returns a number of things; four digits stay together, as in a limit of
// 2048.
func FormatCount(v float64) string { return text.Count(v) }

// FormatRate returns a number per second for people, e.g. "12/s".
func FormatRate(v float64) string { return text.Rate(v) }
