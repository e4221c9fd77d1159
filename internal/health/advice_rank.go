package health

import (
	"cmp"
	"slices"
	"time"
)

// The ranks of advice: root causes come first, symptoms last.
const (
	rankRoot    = iota // it blocks others and waits for nothing known
	rankCause          // it takes long by itself
	rankSymptom        // a number beyond its limit
)

// advice is one line about what to do. Of several lines about one cause only the
// first is shown.
type advice struct {
	rank  int
	cause string // identifies the cause; the line itself where the line has no other
	line  string
}

// adviser returns advice about something that has not been healthy for that long.
type adviser func(since time.Duration) []advice

// symptoms returns an adviser with these lines, each about a symptom.
func symptoms(lines ...string) adviser {
	out := make([]advice, len(lines))
	for i, l := range lines {
		out[i] = advice{rankSymptom, l, l}
	}
	return func(time.Duration) []advice { return out }
}

// deferred returns an adviser that is built when its advice is first needed.
func deferred(of func() adviser) adviser {
	return func(since time.Duration) []advice { return of()(since) }
}

// rootCause returns an adviser with one line about a root cause.
func rootCause(cause, line string) adviser {
	return func(time.Duration) []advice { return []advice{{rankRoot, cause, line}} }
}

// lines returns the advice sorted by rank, one line per cause.
func lines(all []advice) []string {
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b advice) int { return cmp.Compare(a.rank, b.rank) })
	seen := make(map[string]bool)
	out := []string{}
	for _, a := range ranked {
		if a.line != "" && !seen[a.cause] {
			seen[a.cause] = true
			out = append(out, a.line)
		}
	}
	return out
}
