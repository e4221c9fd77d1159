package past

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// onWord returns in one or two words what a thread did or waited for, by model.Thread.On;
// "unknown" for any other value.
func onWord(on string) string {
	switch on {
	case "cpu":
		return "CPU"
	case "cpu_queue":
		return "CPU queue"
	case "throttled":
		return "CPU quota"
	case "gc":
		return "garbage collection"
	case "gil":
		return "interpreter lock"
	case "mysql":
		return "MySQL"
	case "redis":
		return "Redis"
	case "upstream":
		return "other services"
	case "lock":
		return "process lock"
	case "child":
		return "child process"
	case "loop":
		return "event loop"
	case "client", "disk", "sleep", "other":
		return on
	}
	return "unknown"
}

// onClass returns the CSS class for the colour of what a thread did; "on-other" for any other
// value.
func onClass(on string) string {
	switch on {
	case "cpu", "cpu_queue", "throttled", "gc", "gil", "mysql", "redis", "upstream", "client", "lock", "disk", "sleep", "child", "loop":
		return "on-" + on
	}
	return "on-other"
}

// leastShown is the smallest load that is written as a number, in seconds per second.
const leastShown = 0.05

// part is one part of a stacked bar: its colour, its place in the SVG, and words.
type part struct {
	Class, Word string
	From, Size  string
	Value       float64
}

// partWords returns the largest parts in words, at most upTo, e.g. "MySQL 2.9, CPU 0.3";
// "" without parts. Those below leastShown are left out, except for the first.
func partWords(parts []part, format func(float64) string, upTo int) string {
	sorted := slices.Clone(parts)
	slices.SortStableFunc(sorted, func(a, b part) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	var words []string
	for i, p := range sorted[:min(len(sorted), upTo)] {
		if i > 0 && p.Value < leastShown {
			break
		}
		words = append(words, p.Word+" "+format(p.Value))
	}
	return strings.Join(words, ", ")
}

// formatLoad returns seconds per second in words, e.g. "2.9", or "<0.1" below leastShown:
// how many requests were in progress on average.
func formatLoad(v float64) string {
	if v > 0 && v < leastShown {
		return "<0.1"
	}
	return strings.TrimSuffix(health.FormatRate(v), "/s")
}
