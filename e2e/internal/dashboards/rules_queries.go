package dashboards

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// syntax checks that Prometheus parses a query, also that of Debian 12 (2.42).
func syntax(l *linter) {
	newer := []string{"histogram_avg", "histogram_stddev", "histogram_stdvar", "first_over_time"}
	for _, q := range l.queries {
		if q.fault != nil {
			l.of(q, "%v", q.fault)
			continue
		}
		parser.Inspect(q.expr, func(n parser.Node, _ []parser.Node) error {
			if c, ok := n.(*parser.Call); ok && slices.Contains(newer, c.Func.Name) {
				l.of(q, "%s is not in Prometheus 2.42", c.Func.Name)
			}
			return nil
		})
	}
}

// selectors returns the selectors of series in a query.
func (q parsed) selectors() []*parser.VectorSelector {
	var out []*parser.VectorSelector
	q.selected(func(s *parser.VectorSelector, _ []parser.Node) { out = append(out, s) })
	return out
}

// metrics checks that queries use only metrics that exist.
func metrics(l *linter) {
	l.each(func(q parsed) {
		q.selected(func(s *parser.VectorSelector, path []parser.Node) {
			_, classic := l.known[s.Name+"_bucket"]
			native := classic && slices.ContainsFunc(path, func(n parser.Node) bool {
				c, ok := n.(*parser.Call)
				return ok && (c.Func.Name == "rate" || c.Func.Name == "increase")
			})
			if _, ok := l.known.find(s.Name); !ok && !native {
				l.of(q, "%q is neither a metric of the exporter nor a recorded one", s.Name)
			}
		})
	})
}

// labelled checks that every named label exists.
func labelled(l *linter) {
	l.each(func(q parsed) {
		left := l.known.labels(q.expr, func(format string, args ...any) { l.of(q, format, args...) })
		if q.label != "" && !left.has(q.label) {
			l.of(q, "the series have no label %s", q.label)
		}
	})
}

// selectors checks that each variable selects the series that have its label, and that a
// variable is limited by those before it. A label that may be empty (an alert about the
// host has no app) is exempt, because the selector would hide such series.
func selectors(l *linter) {
	l.each(func(q parsed) {
		for _, s := range q.selectors() {
			series, ok := l.known.find(s.Name)
			if !ok || foreign(s.Name) {
				continue
			}
			for _, v := range q.choices() {
				if series.always(v) && !chosen(s, v) {
					l.of(q, "%s is not chosen by %s=~\"$%s\"", s.Name, v, v)
				}
			}
		}
	})
}

// always reports whether every series is known to have the label.
func (s Series) always(label string) bool {
	if label == "job" || label == "instance" {
		return true
	}
	return s.Labels[label] && !s.empty[label]
}

// choices returns the variables that a query must use.
func (q parsed) choices() []string {
	var out []string
	for _, v := range q.board.Variables {
		if q.Where == "variable "+v.Name {
			break
		}
		if v.Type == "query" {
			out = append(out, v.Name)
		}
	}
	return out
}

// chosen reports whether a selector has a matcher for all values of a variable.
func chosen(s *parser.VectorSelector, v string) bool {
	return slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == v && m.Type == labels.MatchRegexp && (m.Value == "$"+v || m.Value == "${"+v+"}")
	})
}

// around returns the function that takes the range of a selector, and the range.
func around(path []parser.Node) (function string, span time.Duration) {
	if len(path) < 1 {
		return "", 0
	}
	m, ok := path[len(path)-1].(*parser.MatrixSelector)
	if !ok {
		return "", 0
	}
	for _, n := range slices.Backward(path) {
		if c, ok := n.(*parser.Call); ok {
			return c.Func.Name, m.Range
		}
	}
	return "", m.Range
}

// rateIntervals checks for ranges that are written out: they are empty for a slower
// scrape, and miss events between the steps of a long range.
func rateIntervals(l *linter) {
	l.each(func(q parsed) {
		q.selected(func(s *parser.VectorSelector, path []parser.Node) {
			function, span := around(path)
			if !slices.Contains([]string{"rate", "increase", "irate"}, function) || span == rateInterval || span == wholeRange && q.Instant {
				return
			}
			l.of(q, "%s of %s is not over $__rate_interval, nor an instant one over $__range", function, s.Name)
		})
	})
}

// counters checks that counters are shown as rates, and that no gauge is.
func counters(l *linter) {
	l.each(func(q parsed) {
		q.selected(func(s *parser.VectorSelector, path []parser.Node) {
			series, ok := l.known.find(s.Name)
			if !ok || q.label != "" {
				return
			}
			function, _ := around(path)
			rising := slices.Contains([]string{"rate", "increase", "irate"}, function)
			switch {
			case series.Type == "counter" && !rising && !slices.Contains([]string{"resets", "changes"}, function) && !counted(path):
				l.of(q, "the counter %s is outside of rate, increase, irate, resets and changes", s.Name)
			case series.Type == "gauge" && rising:
				l.of(q, "%s of %s, which is no counter", function, s.Name)
			}
		})
	})
}

// counted reports whether only the number of the series matters.
func counted(path []parser.Node) bool {
	if len(path) == 0 {
		return false
	}
	if n, ok := path[len(path)-1].(*parser.AggregateExpr); ok {
		return n.Op == parser.COUNT || n.Op == parser.GROUP
	}
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		c, ok := n.(*parser.Call)
		return ok && strings.HasPrefix(c.Func.Name, "absent")
	})
}

// histograms checks that buckets are summed with their le, and become quantiles.
func histograms(l *linter) {
	l.each(func(q parsed) {
		q.selected(func(s *parser.VectorSelector, path []parser.Node) {
			if strings.HasSuffix(s.Name, "_bucket") && q.label == "" && !one(s) {
				l.buckets(q, s.Name, path)
			}
		})
	})
}

// buckets reports buckets of a histogram that an expression neither passes to
// histogram_quantile by le, nor adds up by le.
func (l *linter) buckets(q parsed, name string, path []parser.Node) {
	quantile, kept := false, false
	for _, n := range path {
		switch n := n.(type) {
		case *parser.Call:
			quantile = quantile || n.Func.Name == "histogram_quantile"
		case *parser.AggregateExpr:
			keeps := slices.Contains(n.Grouping, "le") != n.Without
			kept = kept || keeps
			if quantile && (!keeps || n.Op != parser.SUM) {
				l.of(q, "%s of buckets of %s inside of histogram_quantile; expected sum by (le, …)", n.Op, name)
			}
		}
	}
	if !quantile && !kept {
		l.of(q, "buckets of %s are neither in histogram_quantile nor added up by le", name)
	}
}

// one reports whether a query reads a single bucket.
func one(s *parser.VectorSelector) bool {
	return slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "le" })
}

// resourceOf returns the resource of resp_threshold that a selector, shown in a
// unit, is judged by, or nothing.
func resourceOf(s *parser.VectorSelector, unit string) string {
	for _, x := range limited() {
		if x.metric == s.Name && x.unit == unit {
			return x.resource
		}
	}
	errors := slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "code" && strings.HasPrefix(m.Value, "5") })
	if s.Name == "resp_http_requests_total" && unit == "percentunit" && errors {
		return "error_rate"
	}
	return ""
}
