package display

import "github.com/resp-exporter/resp-exporter/internal/health"

// Facts is a list of numbers in words, without those that are not known.
type Facts []string

// Add appends the words of a number; nothing if it is nil.
func (w *Facts) Add(v *float64, words func(float64) string) {
	if v != nil {
		*w = append(*w, words(*v))
	}
}

// AddNonZero appends a number with what it counts, e.g. "3 leaked"; nothing if it is nil
// or 0.
func (w *Facts) AddNonZero(v *float64, what string) {
	if v != nil && *v != 0 {
		*w = append(*w, health.FormatCount(*v)+" "+what)
	}
}

// Counted returns a function that writes a number with what it counts, e.g. "3 in use".
func Counted(what string) func(float64) string {
	return func(v float64) string { return health.FormatCount(v) + " " + what }
}

// Lasting returns a function that writes seconds after a word, e.g. "oldest 12 s".
func Lasting(what string) func(float64) string {
	return func(v float64) string { return what + " " + health.FormatSeconds(v) }
}
