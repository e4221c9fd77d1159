package health

import (
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func ofWorkers(n, total float64) string { return FormatCount(n) + " of " + plural(total, "worker") }

// plural returns a number and the noun one, with an s unless the number is 1.
func plural(n float64, one string) string { return text.Plural(n, one, one+"s") }

func isAre(n float64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// detailText returns a detail after a comma; "" for none.
func detailText(detail string) string {
	if detail == "" {
		return ""
	}
	return ", " + detail
}

// pidText returns a process id; "PID" if it is not known.
func pidText(pid int) string {
	if pid == 0 {
		return "PID"
	}
	return strconv.Itoa(pid)
}
