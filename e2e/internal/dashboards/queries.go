package dashboards

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Query is one query of a dashboard, with its variables still in.
type Query struct {
	Dashboard string // the uid
	Where     string // "panel 3 Errors", "variable job", "annotation Alerts"
	RefID     string // of a panel's target, else empty
	Expr      string // PromQL; of a variable what LabelValues reads
	Instant   bool
	// MinInterval is the least step, of the panel or of the target.
	MinInterval time.Duration

	// minStep is the target's own minimum step: Grafana uses it instead of the
	// data source's scrape interval.
	minStep time.Duration
	board   *Dashboard
}

// Queries returns every query: of targets, of variables, of annotations.
func (d Dashboard) Queries() []Query {
	var out []Query
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			if t.Expr != "" {
				out = append(out, d.target(p, t))
			}
		}
	}
	for _, v := range d.Variables {
		if expr := v.Definition(); v.Type == "query" && expr != "" {
			out = append(out, Query{Dashboard: d.UID, Where: "variable " + v.Name, Expr: expr, Instant: true, board: &d})
		}
	}
	for _, a := range d.Annotations {
		if expr := a.Definition(); expr != "" {
			step := span(cmp.Or(a.Step, "60s")) // Grafana's own default
			out = append(out, Query{Dashboard: d.UID, Where: "annotation " + a.Name, Expr: expr, MinInterval: step, minStep: step, board: &d})
		}
	}
	return out
}

// target returns the query of one target of a panel.
func (d Dashboard) target(p Panel, t Target) Query {
	return Query{
		Dashboard: d.UID, Where: p.Where(), RefID: t.RefID, Expr: t.Expr, Instant: t.Instant && !t.Range,
		MinInterval: max(span(p.Interval), span(t.Interval)), minStep: span(t.Interval), board: &d,
	}
}

// Where returns the name of the panel in messages.
func (p Panel) Where() string { return fmt.Sprintf("panel %d %s", p.ID, p.Title) }

// Definition returns the query of the variable, in either of the forms in which it is
// written.
func (v Variable) Definition() string {
	switch q := v.Query.(type) {
	case string:
		return q
	case map[string]any:
		text, _ := q["query"].(string)
		return text
	}
	return ""
}

// Definition returns the query of the annotation, in either of the forms in which it is
// written.
func (a Annotation) Definition() string {
	if a.Target.Expr != "" {
		return a.Target.Expr
	}
	return a.Expr
}

var labelValues = regexp.MustCompile(`(?s)^\s*label_values\s*\(\s*(?:(.*\S)\s*,\s*)?([a-zA-Z_][a-zA-Z0-9_]*)\s*\)\s*$`)

// LabelValues reads label_values(selector, label), the query of a variable;
// the selector is empty where the values of all series are wanted. The results are
// match[] and the name of a call of Prometheus' API, /api/v1/label/NAME/values.
func LabelValues(expr string) (selector, label string, ok bool) {
	m := labelValues.FindStringSubmatch(expr)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// Values are what a query's variables stand for. An empty Job, Instance or App
// is All.
type Values struct {
	Job, Instance, App string
	Scrape             time.Duration     // the data source's scrape interval, 15 s if it is 0
	Range              time.Duration     // from the start of the dashboard's time to its end
	Step               time.Duration     // by the width; at least the query's MinInterval
	Extra              map[string]string // of any other variable, by name
}

// variable is every spelling of a variable: $x, [[x:format]], ${x.field:format}.
var variable = regexp.MustCompile(`\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}`)

// Fill returns the query as Grafana sends it. A variable that is not known
// stays, and is a fault of syntax for Prometheus.
func (q Query) Fill(v Values) string {
	return variable.ReplaceAllStringFunc(q.Expr, func(found string) string {
		m := variable.FindStringSubmatch(found)
		name, format := m[1]+m[2]+m[4], m[3]+m[6]
		if text, ok := q.builtin(name, v); ok {
			return text
		}
		if text, ok := q.value(name, format, v); ok {
			return text
		}
		return found
	})
}

// Step returns the query's step for these values.
func (q Query) Step(v Values) time.Duration {
	return max(v.Step, q.MinInterval, time.Second)
}

// builtin returns the values of Grafana's built-in variables.
func (q Query) builtin(name string, v Values) (string, bool) {
	step, scrape := q.Step(v), v.Scrape
	if scrape == 0 {
		scrape = 15 * time.Second
	}
	if q.minStep > 0 {
		scrape = q.minStep
	}
	switch name {
	case "__rate_interval":
		return seconds(max(step+scrape, 4*scrape)), true
	case "__rate_interval_ms":
		return millis(max(step+scrape, 4*scrape)), true
	case "__interval":
		return seconds(step), true
	case "__interval_ms":
		return millis(step), true
	case "__range":
		return seconds(v.Range), true
	case "__range_s":
		return strconv.Itoa(int(v.Range.Seconds())), true
	case "__range_ms":
		return millis(v.Range), true
	}
	return "", false
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// value returns a variable of the dashboard.
func (q Query) value(name, format string, v Values) (string, bool) {
	decl, declared := q.declared(name)
	text, given := v.Extra[name]
	if own := map[string]string{"job": v.Job, "instance": v.Instance, "app": v.App}[name]; own != "" {
		text, given = own, true
	}
	switch {
	case given:
		return escape(text, format, decl.Multi || decl.IncludeAll), true
	case !declared:
		return "", false
	case decl.Type != "query":
		return decl.first(), true
	case decl.AllValue != nil && *decl.AllValue != "":
		return *decl.AllValue, true
	}
	return ".+", true
}

// declared returns the variable of the query's dashboard with that name; false if there is
// none.
func (q Query) declared(name string) (Variable, bool) {
	if q.board != nil {
		for _, v := range q.board.Variables {
			if v.Name == name {
				return v, true
			}
		}
	}
	return Variable{}, false
}

// first returns the initial value of a variable without a query.
func (v Variable) first() string {
	if text, ok := v.Current.Value.(string); ok && text != "" {
		return text
	}
	text, _, _ := strings.Cut(v.Definition(), ",")
	_, after, found := strings.Cut(text, " : ")
	if found {
		text = after
	}
	return strings.TrimSpace(text)
}

// escape writes a value as Grafana does: of a variable of many values as part of a regular
// expression inside of quotes, or by the format.
func escape(text, format string, many bool) string {
	switch {
	case format == "regex":
		return regexp.QuoteMeta(text)
	case format != "":
		return text
	case many:
		return strings.ReplaceAll(regexp.QuoteMeta(text), `\`, `\\`)
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}
