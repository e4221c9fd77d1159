package display

import "github.com/resp-exporter/resp-exporter/internal/health"

// Facts is a list of numbers in words, without those that are not known.
type Facts []string

// Add adds a number in words; nothing where it is nil.
func (w *Facts) Add(v *float64, words func(float64) string) {
	if v != nil {
		*w = append(*w, words(*v))
	}
}

// AddNonZero adds a number that is not 0.
func (w *Facts) AddNonZero(v *float64, what string) {
	if v != nil && *v != 0 {
		*w = append(*w, health.FormatCount(*v)+" "+what)
	}
}

// Counted returns the words of a number of something.
func Counted(what string) func(float64) string {
	return func(v float64) string { return health.FormatCount(v) + " " + what }
}

// Lasting returns the words of a duration in seconds.
func Lasting(what string) func(float64) string {
	return func(v float64) string { return what + " " + health.FormatSeconds(v) }
}
