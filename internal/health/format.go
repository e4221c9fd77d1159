package health

import "github.com/resp-exporter/resp-exporter/internal/text"

// Exact writes v with all its digits up to a millionth, thousands apart.
func Exact(v float64) string { return text.Exact(v) }

// FormatBytes writes bytes for people. It counts in thousands: 1 MB is 1,000,000 bytes.
func FormatBytes(v float64) string { return text.Bytes(v) }

// FormatSeconds writes a length of time in its two largest units.
func FormatSeconds(v float64) string { return text.Seconds(v) }

// FormatPercent writes a ratio as percent, with one decimal below 10.
func FormatPercent(ratio float64) string { return text.Percent(ratio) }

// FormatCount writes a number of things. It leaves four digits together, as in a listen limit of 2048.
func FormatCount(v float64) string { return text.Count(v) }

// FormatRate writes a number per second.
func FormatRate(v float64) string { return text.Rate(v) }
