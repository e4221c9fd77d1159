package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxUser bounds the name of a database user in a sentence, in bytes.
const maxUser = 100

// User returns the name of a database user for a sentence, cut to maxUser bytes, in
// quotes unless it is a plain word.
func User(name string) string { return text.Quoted(name, maxUser) }

// Owner returns whose a connection is, e.g. " of worker 2 of shop" or " of user
// ann from 10.0.0.7"; "" where that is not known.
func Owner(x *model.Connection) string {
	switch {
	case x.Slot != "" && x.PID != 0:
		return fmt.Sprintf(" of worker %s (pid %d) of %s", x.Slot, x.PID, x.App)
	case x.Slot != "":
		return " of worker " + x.Slot + " of " + x.App
	case x.User != "" && x.Host != "":
		return " of user " + User(x.User) + " from " + x.Host
	case x.User != "":
		return " of user " + User(x.User)
	}
	return ""
}

// Statement returns a statement by its keyword, e.g. "an UPDATE"; "a statement" if that
// is not known.
func Statement(q *model.Query) string {
	switch word := q.Statement; {
	case word == "" || word == "statement":
		return "a statement"
	case word[0] == 'A' || word[0] == 'E' || word[0] == 'I' || word[0] == 'O' || word[0] == 'U':
		return "an " + word
	default:
		return "a " + word
	}
}

// DoNotEnd returns a sentence, after a space, that names the workers that wait for b, at
// most 8, and should not be ended; "" if none is known.
func DoNotEnd(b *locks.Blocker) string {
	if len(b.Waiters) == 0 {
		return ""
	}
	return " Do not end " + workerList(b.Waiters) + ": " + Choose(len(b.Waiters) == 1, "it waits", "they wait") + " for it."
}

// workerList returns workers as an enumeration grouped by app, of at most 8 and how many
// more there are.
func workerList(waiters []locks.Waiter) string {
	const upTo = 8
	sorted := slices.Clone(waiters)
	slices.SortFunc(sorted, func(x, y locks.Waiter) int {
		if n := strings.Compare(x.App, y.App); n != 0 {
			return n
		}
		return CompareSlots(x.Slot, y.Slot)
	})
	var out []string
	for i, v := range sorted {
		if i == upTo {
			out = append(out, fmt.Sprintf("%d more", len(sorted)-upTo))
			break
		}
		name := "worker " + v.Slot
		if i > 0 && sorted[i-1].App == v.App {
			name = v.Slot
		} else if i+1 < len(sorted) && sorted[i+1].App == v.App {
			name = "workers " + v.Slot
		}
		if i+1 == len(sorted) || sorted[i+1].App != v.App {
			name += " of " + v.App
		}
		out = append(out, name)
	}
	return text.Enumerate(out)
}

// CompareSlots compares two slots of workers for a sort, by length, then as texts: "2" is
// before "10".
func CompareSlots(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
