package health

import (
	"cmp"
	"slices"
	"time"
)

// The ranks of advice: root causes come first, symptoms last.
const (
	rankRoot    = iota // it blocks others and waits for nothing known
	rankCause          // slow, without a cause elsewhere
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

// symptoms returns an adviser that returns these lines, each as advice about a symptom.
func symptoms(lines ...string) adviser {
	out := make([]advice, len(lines))
	for i, l := range lines {
		out[i] = advice{rankSymptom, l, l}
	}
	return func(time.Duration) []advice { return out }
}

// deferred returns an adviser that calls of only when its advice is needed.
func deferred(of func() adviser) adviser {
	return func(since time.Duration) []advice { return of()(since) }
}

// rootCause returns an adviser that returns one line about the root cause named cause.
func rootCause(cause, line string) adviser {
	return func(time.Duration) []advice { return []advice{{rankRoot, cause, line}} }
}

// Advice is one line about what to do, with what it is about.
type Advice struct {
	Cause string // what it ends, e.g. "mysql:main/connection:812"; of a symptom its alert, e.g. "shop/error_rate"
	Text  string // sentences
}

// given is advice of a rule.
type given struct {
	advice
	rule Subject
}

// ranked returns advice that has a line, by rank, the first of each cause; a cause that is a line becomes app/rule.
func ranked(all []given) []Advice {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b given) int { return cmp.Compare(a.rank, b.rank) })
	seen := make(map[string]bool)
	var out []Advice
	for _, a := range sorted {
		if a.line == "" || seen[a.cause] {
			continue
		}
		seen[a.cause] = true
		cause := a.cause
		if cause == a.line {
			cause = a.rule.App + "/" + a.rule.title()
		}
		out = append(out, Advice{cause, a.line})
	}
	return out
}

// texts returns the text of each advice, in the same order.
func texts(all []Advice) []string {
	out := make([]string, len(all))
	for i, a := range all {
		out[i] = a.Text
	}
	return out
}
