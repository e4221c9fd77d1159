package dashboards

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// labels returns the labels that the series of an expression may have, and calls complain
// for each label that is named where no series has it.
func (k Known) labels(e parser.Expr, complain func(format string, args ...any)) Labels {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return k.selected(e, complain)
	case *parser.MatrixSelector:
		return k.labels(e.VectorSelector, complain)
	case *parser.SubqueryExpr:
		return k.labels(e.Expr, complain)
	case *parser.ParenExpr:
		return k.labels(e.Expr, complain)
	case *parser.UnaryExpr:
		return k.labels(e.Expr, complain)
	case *parser.StepInvariantExpr:
		return k.labels(e.Expr, complain)
	case *parser.AggregateExpr:
		return k.aggregated(e, complain)
	case *parser.BinaryExpr:
		return k.matched(e, complain)
	case *parser.Call:
		return k.called(e, complain)
	}
	return Labels{}
}

// selected returns the labels of a selected metric, nil if they are not known. It complains
// about matchers of labels that the metric does not have.
func (k Known) selected(e *parser.VectorSelector, complain func(string, ...any)) Labels {
	s, _ := k.find(e.Name)
	if e.Name == "" || s.Labels == nil {
		return nil
	}
	for _, m := range e.LabelMatchers {
		if m.Name != "__name__" && !s.Labels.has(m.Name) {
			complain("%s has no label %s", e.Name, m.Name)
		}
	}
	return s.Labels
}

// aggregated returns the labels that an aggregation leaves. It complains about labels that
// no series inside has.
func (k Known) aggregated(e *parser.AggregateExpr, complain func(string, ...any)) Labels {
	in := k.labels(e.Expr, complain)
	out := Labels{}
	for _, l := range e.Grouping {
		if !in.has(l) {
			complain("%s names the label %s, which no series inside has", e.Op, l)
		}
		out[l] = true
	}
	if e.Without {
		out = without(in, e.Grouping)
	}
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK:
		return in
	case parser.COUNT_VALUES:
		if name, ok := e.Param.(*parser.StringLiteral); ok && out != nil {
			out[name.Val] = true
		}
	}
	return out
}

// without returns a copy of the labels without some.
func without(in Labels, names []string) Labels {
	out := maps.Clone(in)
	for _, n := range names {
		delete(out, n)
	}
	return out
}

// called returns the labels that a function leaves.
func (k Known) called(e *parser.Call, complain func(string, ...any)) Labels {
	var in Labels
	found := false
	for _, arg := range e.Args {
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			in, found = k.labels(arg, complain), true
		}
	}
	switch {
	case !found || e.Func.Name == "scalar" || e.Func.Name == "vector":
		return Labels{}
	case e.Func.Name == "label_replace" || e.Func.Name == "label_join":
		return relabeled(e, in, complain)
	case e.Func.Name == "histogram_quantile":
		if !in.has("le") && ofBuckets(e) {
			complain("histogram_quantile has no label le inside")
		}
		return without(in, []string{"le"})
	}
	return in
}

// ofBuckets reports whether an expression reads buckets of a classic histogram.
func ofBuckets(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		found = found || ok && strings.HasSuffix(s.Name, "_bucket")
		return nil
	})
	return found
}

// relabeled returns the labels after label_replace or label_join: one more.
func relabeled(e *parser.Call, in Labels, complain func(string, ...any)) Labels {
	sources := e.Args[3:]
	if e.Func.Name == "label_replace" {
		sources = e.Args[3:4]
	}
	for _, arg := range sources {
		if source, ok := arg.(*parser.StringLiteral); ok && source.Val != "" && !in.has(source.Val) {
			complain("%s reads the label %s, which no series inside has", e.Func.Name, source.Val)
		}
	}
	out := maps.Clone(in)
	if target, ok := e.Args[1].(*parser.StringLiteral); ok && out != nil {
		out[target.Val] = true
	}
	return out
}

// matched returns the labels of what an operator leaves.
func (k Known) matched(e *parser.BinaryExpr, complain func(string, ...any)) Labels {
	left, right := k.labels(e.LHS, complain), k.labels(e.RHS, complain)
	m := e.VectorMatching
	switch {
	case m == nil && e.LHS.Type() == parser.ValueTypeScalar:
		return right
	case m == nil:
		return left
	case e.Op == parser.LOR:
		return union(left, right)
	}
	matchable(e, left, right, complain)
	one := right
	switch m.Card {
	case parser.CardOneToMany:
		one, left = left, right
	case parser.CardOneToOne:
		return meeting(m, left)
	case parser.CardManyToOne, parser.CardManyToMany:
	}
	for _, l := range m.Include {
		if !one.has(l) {
			complain("group_left or group_right takes the label %s, which the other side does not have", l)
		}
	}
	out := maps.Clone(left)
	if out != nil {
		for _, l := range m.Include {
			out[l] = true
		}
	}
	return out
}

// matchable complains about the labels of a vector match: named ones that a side lacks and,
// without on or ignoring, those that only one side has.
func matchable(e *parser.BinaryExpr, left, right Labels, complain func(string, ...any)) {
	m := e.VectorMatching
	for _, l := range m.MatchingLabels {
		if !left.has(l) && !right.has(l) || m.On && (!left.has(l) || !right.has(l)) {
			complain("%s matches by the label %s, which a side does not have", e.Op, l)
		}
	}
	if m.On || len(m.MatchingLabels) > 0 || left == nil || right == nil {
		return
	}
	var odd []string
	for l := range union(left, right) {
		if left[l] != right[l] {
			odd = append(odd, l)
		}
	}
	if slices.Sort(odd); len(odd) > 0 {
		complain("%s has the label %s on one side only, so nothing matches", e.Op, strings.Join(odd, ", "))
	}
}

// meeting returns the labels that one-to-one matching leaves.
func meeting(m *parser.VectorMatching, left Labels) Labels {
	if !m.On {
		return without(left, m.MatchingLabels)
	}
	out := Labels{}
	for _, l := range m.MatchingLabels {
		out[l] = true
	}
	return out
}

// union returns the labels of both; nil, which is unknown, if one of them is.
func union(a, b Labels) Labels {
	if a == nil || b == nil {
		return nil
	}
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
