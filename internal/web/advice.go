package web

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// adviceView is the recommendations; Hidden is the number of those not shown.
type adviceView struct {
	Lines    []string
	Hidden   int
	Runbooks []runbookLink
}

// adviceLine is one recommendation. Apps is set where the verdict has the sentence that
// belongs to it: the advice alone does not say which apps it is about.
type adviceLine struct {
	text string
	apps []string
}

const adviceNames = 4 // apps named before the same advice

// adviceOf returns the lines of advice, at most adviceUpTo, the number of those left out,
// and the links to runbooks. If there are several apps, a line begins with those that it
// is about.
func (w *Web) adviceOf(s *pageState, v *verdict) adviceView {
	lines := s.adviceLines(v.Sentence)
	n := min(len(lines), adviceUpTo)
	out := adviceView{Hidden: len(lines) - n, Runbooks: w.runbooksOf(s)}
	for _, l := range lines[:n] {
		words := l.text
		if len(s.Apps) > 1 && len(l.apps) > 0 {
			words = listed(l.apps) + ": " + words
		}
		out.Lines = append(out.Lines, words)
	}
	return out
}

// adviceLines returns the recommendations for the page, the most useful first: without the
// sentences that the verdict has, and the same advice for several apps as one line.
func (s *pageState) adviceLines(verdict string) []adviceLine {
	var out []adviceLine
	for _, line := range s.health.Recommendations() {
		l := s.withoutSentence(line, verdict)
		if i := slices.IndexFunc(out, func(o adviceLine) bool { return o.text == l.text }); i >= 0 {
			out[i].apps = append(out[i].apps, l.apps...)
			continue
		}
		out = append(out, l)
	}
	return out
}

// withoutSentence returns a recommendation as a line with its app. It leaves out the
// sentence about the cause or chain if the verdict has that, and that about a cause also if
// there are several apps, each of which shows its own. Any other line is returned as it is,
// without apps.
func (s *pageState) withoutSentence(line, verdict string) adviceLine {
	for i := range s.state.Bottlenecks {
		b := &s.state.Bottlenecks[i]
		sentence := cause.Sentence(b)
		told := len(s.Apps) > 1 || strings.Contains(verdict, strings.TrimSuffix(sentence, "."))
		if advice := cause.Advice(b); told && advice != "" && sentence != "" && line == sentence+" "+advice {
			return adviceLine{advice, []string{b.App}}
		}
	}
	for i := range s.state.Chains {
		c := &s.state.Chains[i]
		sentence := diagnosis.Sentence(c, c.App)
		if advice := diagnosis.Advice(c); advice != "" && line == sentence+" "+advice && strings.Contains(verdict, strings.TrimSuffix(sentence, ".")) {
			return adviceLine{advice, []string{c.App}}
		}
	}
	return adviceLine{text: line}
}

// listed returns names in words, the first four and how many more: "a, b, c, d and 3
// more".
func listed(names []string) string {
	words := slices.Clone(names[:min(len(names), adviceNames)])
	if more := len(names) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return text.Enumerate(words)
}
