package dashboards

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Finding is one fault of a dashboard.
type Finding struct {
	Rule      string // one of Rules
	Dashboard string // its uid, or its file where it has none
	Where     string // as in Query, or empty for the dashboard as a whole
	RefID     string
	Detail    string
}

// String returns the finding in one line.
func (f Finding) String() string {
	at := strings.TrimSpace(f.Where + " " + f.RefID)
	if at != "" {
		at = ", " + at
	}
	return fmt.Sprintf("%s: %s%s: %s", f.Rule, f.Dashboard, at, f.Detail)
}

// Exception lets a finding be, for a reason. Empty fields but Rule match all.
type Exception struct{ Rule, Dashboard, Where, RefID, Reason string }

// covers reports whether the exception is for this finding. Fields that it leaves empty
// match any.
func (e Exception) covers(f Finding) bool {
	same := func(want, got string) bool { return want == "" || want == got }
	return e.Rule == f.Rule && same(e.Dashboard, f.Dashboard) && same(e.Where, f.Where) && same(e.RefID, f.RefID)
}

// Except returns the findings that no exception covers. An exception without a reason,
// and one that covers nothing, is a finding of the rule "exception".
func Except(findings []Finding, exceptions []Exception) []Finding {
	used := make([]bool, len(exceptions))
	var out []Finding
	for _, f := range findings {
		i := slices.IndexFunc(exceptions, func(e Exception) bool { return e.covers(f) })
		if i < 0 {
			out = append(out, f)
			continue
		}
		used[i] = true
	}
	for i, e := range exceptions {
		if e.Reason == "" || !used[i] {
			out = append(out, Finding{Rule: "exception", Dashboard: e.Dashboard, Where: e.Where, RefID: e.RefID, Detail: fmt.Sprintf("the exception of %s covers nothing, or has no reason", e.Rule)})
		}
	}
	return out
}

// rule is one rule of the linter.
type rule struct {
	name  string
	check func(*linter)
}

// catalog returns every rule. The names are those of the injected faults.
func catalog() []rule {
	return []rule{
		{"uid", uids},
		{"model", models},
		{"uneditable", uneditable},
		{"inputs", inputs},
		{"described", described},
		{"template-datasource", templateDatasource},
		{"template", templates},
		{"template-reload", reloads},
		{"datasource", datasources},
		{"panel-id", panelIDs},
		{"grid", grid},
		{"no-value", noValues},
		{"targets", targets},
		{"links", links},
		{"syntax", syntax},
		{"metric", metrics},
		{"label", labelled},
		{"selector", selectors},
		{"rate-interval", rateIntervals},
		{"min-interval", minIntervals},
		{"counter", counters},
		{"histogram", histograms},
		{"unit", units},
		{"unit-agrees", unitsAgree},
		{"one-unit", oneUnit},
		{"threshold-drawn", thresholdsDrawn},
		{"static-threshold", staticThresholds},
		{"state-color", stateColors},
		{"stale-stat", staleStats},
		{"annotation-point", annotationPoints},
		{"table-unit", tableUnits},
		{"table-cell", tableCells},
		{"whole-count", wholeCounts},
		{"figure-color", figureColors},
		{"gap", gaps},
		{"axis", axes},
		{"limit-legend", limitLegends},
		{"hidden-series", hiddenSeries},
		{"begin", beginnings},
		{"data-link", dataLinks},
		{"legend-table", legendTables},
		{"day-before", dayBefore},
		{"start-marks", startMarks},
		{"open-height", openHeights},
	}
}

// Rules returns the names of all rules.
func Rules() []string {
	out := []string{"exception"}
	for _, r := range catalog() {
		out = append(out, r.name)
	}
	return out
}

// linter is one run over all dashboards.
type linter struct {
	all      []Dashboard
	known    Known
	queries  []parsed
	rule     string
	findings []Finding
}

// parsed is a query, as Prometheus reads it.
type parsed struct {
	Query

	expr  parser.Expr // nil if it is none
	label string      // the label whose values a variable has
	fault error
	panel *Panel
	unit  string // how the target's values are shown; "": not known
}

// Lint returns every fault of the dashboards, by rule and place.
func Lint(all []Dashboard, known Known) []Finding {
	l := &linter{all: all, known: known}
	for i := range all {
		l.queries = append(l.queries, parseAll(&all[i])...)
	}
	for _, r := range catalog() {
		l.rule = r.name
		r.check(l)
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Dashboard, b.Dashboard), cmp.Compare(a.Rule, b.Rule))
	})
	return l.findings
}

// report adds a finding about a place in a dashboard.
func (l *linter) report(d Dashboard, where, format string, args ...any) {
	l.findings = append(l.findings, Finding{Rule: l.rule, Dashboard: cmp.Or(d.UID, d.File), Where: where, Detail: fmt.Sprintf(format, args...)})
}

// of reports about a query, once for the same words.
func (l *linter) of(q parsed, format string, args ...any) {
	f := Finding{Rule: l.rule, Dashboard: cmp.Or(q.Dashboard, q.board.File), Where: q.Where, RefID: q.RefID, Detail: fmt.Sprintf(format, args...)}
	if !slices.Contains(l.findings, f) {
		l.findings = append(l.findings, f)
	}
}

// each calls f with every query that can be read.
func (l *linter) each(f func(parsed)) {
	for _, q := range l.queries {
		if q.expr != nil {
			f(q)
		}
	}
}

// panels returns every panel of every dashboard.
func (l *linter) panels() iter.Seq2[Dashboard, Panel] {
	return over(l.all, func(d Dashboard) []Panel { return d.Panels })
}

// variables returns all variables of the dashboard.
func (l *linter) variables() iter.Seq2[Dashboard, Variable] {
	return over(l.all, func(d Dashboard) []Variable {
		return slices.DeleteFunc(slices.Clone(d.Variables), func(v Variable) bool { return v.Type != "query" })
	})
}

// annotations returns the annotations of all dashboards.
func (l *linter) annotations() iter.Seq2[Dashboard, Annotation] {
	return over(l.all, func(d Dashboard) []Annotation { return d.Annotations })
}

// over returns what each dashboard has, beside the dashboard.
func over[T any](all []Dashboard, of func(Dashboard) []T) iter.Seq2[Dashboard, T] {
	return func(yield func(Dashboard, T) bool) {
		for _, d := range all {
			for _, x := range of(d) {
				if !yield(d, x) {
					return
				}
			}
		}
	}
}

// selected calls f with every selector of the query and its surrounding nodes.
func (q parsed) selected(f func(s *parser.VectorSelector, path []parser.Node)) {
	parser.Inspect(q.expr, func(n parser.Node, path []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			f(s, path)
		}
		return nil
	})
}

// The values of Grafana's duration variables in parsed queries. They are unusual, to
// distinguish them from durations that are written out.
const (
	rateInterval = 7_777_001 * time.Millisecond
	interval     = 7_777_002 * time.Millisecond
	wholeRange   = 7_777_003 * time.Millisecond
)

// parseAll reads the queries of a dashboard, the variables that stand in
// strings left as they are.
func parseAll(d *Dashboard) []parsed {
	var out []parsed
	for _, q := range d.Queries() {
		q.board = d
		p := parsed{Query: q}
		text := q.Expr
		if strings.HasPrefix(q.Where, "variable ") {
			selector, label, ok := LabelValues(text)
			if !ok {
				p.fault = fmt.Errorf("%s is no label_values(metric, label)", text)
				out = append(out, p)
				continue
			}
			text, p.label = selector, label
		}
		p.expr, p.fault = parser.NewParser(parser.Options{}).ParseExpr(marked(d, text))
		if p.fault != nil {
			p.expr = nil
		}
		if i := slices.IndexFunc(d.Panels, func(panel Panel) bool { return q.RefID != "" && panel.Where() == q.Where }); i >= 0 {
			p.panel = &d.Panels[i]
			p.unit = p.panel.unitOf(q.RefID)
		}
		out = append(out, p)
	}
	return out
}

// marked returns an expression with a value in the place of each variable; one that is not
// known stays.
func marked(d *Dashboard, text string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		name := m[1] + m[2] + m[4]
		if d := map[string]time.Duration{"__rate_interval": rateInterval, "__interval": interval, "__range": wholeRange}[name]; d > 0 {
			return fmt.Sprintf("%dms", d.Milliseconds())
		}
		if name == "__range_s" || name == "__interval_ms" || name == "__range_ms" {
			return "7777"
		}
		for _, v := range d.Variables {
			if v.Name == name && v.Type != "query" {
				return v.first()
			}
		}
		return found
	})
}
