package health

import (
	"cmp"
	"slices"
	"time"
)

// The ranks of advice: what is at the root comes before what only shows it.
const (
	rankRoot    = iota // it holds up others, and waits for nothing that is seen
	rankCause          // it takes long by itself
	rankSymptom        // a number beyond its limit
)

// advice is one line about what to do. Of several about one cause the first
// counts.
type advice struct {
	rank  int
	cause string // what it is about; the line itself where nothing else may be
	line  string
}

// adviser returns advice for something that has not been well for that long.
type adviser func(since time.Duration) []advice

// says returns an adviser with these lines, each about a symptom.
func symptoms(lines ...string) adviser {
	out := make([]advice, len(lines))
	for i, l := range lines {
		out[i] = advice{rankSymptom, l, l}
	}
	return func(time.Duration) []advice { return out }
}

// later returns an adviser that is made only once its advice is wanted.
func deferred(of func() adviser) adviser {
	return func(since time.Duration) []advice { return of()(since) }
}

// atRoot returns an adviser with one line about a cause that is at the root.
func rootCause(cause, line string) adviser {
	return func(time.Duration) []advice { return []advice{{rankRoot, cause, line}} }
}

// lines returns the advice by rank, one line a cause.
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
