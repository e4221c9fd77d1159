package dashboards

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// unit is the unit of an expression; the zero value is not known.
type unit struct {
	known          bool
	bytes, seconds int
	ratio          bool // by its name
	clock          bool // a point in time, seconds since 1970
	milli          bool // such a point in milliseconds, as Grafana wants it
	quotient       bool // of two such values: a share, a mean
	fixed          bool // a number of the expression, which has the unit of what it meets
}

// number returns the unit of a plain number.
func number() unit { return unit{known: true} }

// allowed returns the ids of Grafana's units for a metric, the usual one first; nil is
// any. They are in grafana/packages/grafana-data, valueFormats/categories.
func (u unit) allowed() []string {
	switch {
	case !u.known || u.fixed:
		return nil
	case u.clock && u.milli:
		return []string{"dateTimeFromNow", "dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeAsLocal", "dateTimeAsLocalNoDateIfToday", "dateTimeAsSystem"}
	case u.clock:
		return []string{"a unit of time once it is multiplied by 1000"}
	case u.ratio:
		return []string{"percentunit"}
	}
	return map[[2]int][]string{
		{0, 0}:  {"short", "none", "percentunit", "bool", "bool_yes_no", "bool_on_off", "locale", "sishort"},
		{1, 0}:  {"bytes", "decbytes"},
		{1, -1}: {"Bps", "binBps"},
		{0, 1}:  {"s", "dtdurations"},
		{0, -1}: {"ops", "reqps", "cps", "rps", "wps", "iops", "eps", "rowsps"},
	}[[2]int{u.bytes, u.seconds}]
}

// named returns the unit of a metric by its name, as Prometheus has it:
// prometheus.io/docs/practices/naming.
func named(name string) unit {
	for _, part := range []string{"_bucket", "_count"} {
		if strings.HasSuffix(name, part) {
			return number()
		}
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_sum")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"), strings.HasSuffix(name, "_start_time_seconds"):
		return unit{known: true, clock: true}
	case strings.HasSuffix(name, "_bytes_per_second"):
		return unit{known: true, bytes: 1, seconds: -1}
	case strings.HasSuffix(name, "_per_second"):
		return unit{known: true, seconds: -1}
	case strings.HasSuffix(name, "_seconds"), strings.HasSuffix(name, "_seconds_to_limit"):
		return unit{known: true, seconds: 1}
	case strings.HasSuffix(name, "_bytes"), strings.HasSuffix(name, "_bytes_per_request"):
		return unit{known: true, bytes: 1}
	case strings.HasSuffix(name, "_ratio"):
		return unit{known: true, ratio: true}
	}
	return number()
}

// unit returns the unit of an expression.
func (k Known) unit(e parser.Expr) unit {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return unit{known: true, fixed: true}
	case *parser.VectorSelector:
		return k.unitOf(e.Name)
	case *parser.MatrixSelector:
		return k.unit(e.VectorSelector)
	case *parser.SubqueryExpr:
		return k.unit(e.Expr)
	case *parser.ParenExpr:
		return k.unit(e.Expr)
	case *parser.UnaryExpr:
		return k.unit(e.Expr)
	case *parser.StepInvariantExpr:
		return k.unit(e.Expr)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.COUNT, parser.GROUP, parser.COUNT_VALUES:
			return number()
		case parser.STDVAR:
			return unit{}
		}
		return k.unit(e.Expr)
	case *parser.Call:
		return k.result(e)
	case *parser.BinaryExpr:
		return k.combined(e)
	}
	return unit{}
}

// unitOf returns the unit of a metric, from its rule or from its name. The zero unit: it is
// not known.
func (k Known) unitOf(name string) unit {
	s, ok := k.find(name)
	switch {
	case name == "ALERTS_FOR_STATE": // since when the alert has been active
		return unit{known: true, clock: true}
	case !ok || name == "" || isThreshold(name):
		return unit{}
	case s.expr == nil:
		return named(name)
	}
	u := k.unit(s.expr)
	if strings.Contains(name[strings.LastIndex(name, ":"):], "ratio") && u.known {
		return unit{known: true, ratio: true}
	}
	return u
}

// result returns the unit of the result of a function.
func (k Known) result(e *parser.Call) unit {
	switch e.Func.Name {
	case "rate", "irate", "deriv":
		u := k.unit(e.Args[0])
		u.seconds--
		u.ratio, u.quotient = false, false
		return u
	case "histogram_quantile":
		return quantiled(e)
	case "time", "timestamp":
		return unit{known: true, clock: true}
	case "count_over_time", "changes", "resets", "absent", "absent_over_time", "present_over_time", "sgn":
		return number()
	case "quantile_over_time":
		return k.unit(e.Args[1])
	case "abs", "ceil", "floor", "round", "clamp", "clamp_min", "clamp_max", "scalar", "vector", "sort", "sort_desc", "label_replace", "label_join",
		"increase", "delta", "idelta", "predict_linear", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "last_over_time", "stddev_over_time":
		return k.unit(e.Args[0])
	}
	return unit{}
}

// quantiled returns the unit of what the buckets inside are buckets of.
func quantiled(e *parser.Call) unit {
	out := unit{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = named(strings.TrimSuffix(s.Name, "_bucket"))
		}
		return nil
	})
	return out
}

// combined returns the unit of an expression with an operator; the zero unit if it is not
// known.
func (k Known) combined(e *parser.BinaryExpr) unit {
	l, r := k.unit(e.LHS), k.unit(e.RHS)
	switch e.Op {
	case parser.MUL, parser.DIV:
		return scaled(e, l, r)
	case parser.ADD, parser.SUB:
		return added(e.Op, l, r)
	case parser.MOD, parser.POW, parser.ATAN2:
		return unit{}
	case parser.LOR:
		if !l.known {
			return r
		}
		return l
	}
	switch {
	case e.ReturnBool:
		return number()
	case l.fixed:
		return r
	}
	return l
}

// added returns the unit of a sum or a difference; the zero unit if the two do not fit.
func added(op parser.ItemType, l, r unit) unit {
	switch {
	case r.fixed:
		return l
	case l.fixed:
		return r
	case l.clock && r.clock && op == parser.SUB && l.milli == r.milli && !l.milli:
		return unit{known: true, seconds: 1}
	case l.clock && r == (unit{known: true, seconds: 1}):
		return l
	}
	l.ratio, r.ratio = l.ratio || r.ratio, l.ratio || r.ratio
	l.quotient, r.quotient = l.quotient || r.quotient, l.quotient || r.quotient
	if l != r {
		return unit{}
	}
	return l
}

// scaled returns the unit of a product or a quotient.
func scaled(e *parser.BinaryExpr, l, r unit) unit {
	sign := 1
	if e.Op == parser.DIV {
		sign = -1
	}
	switch {
	case !l.known || !r.known:
		return unit{}
	case l.clock || r.clock:
		if l.clock && r.fixed && sign == 1 && thousand(e.RHS) {
			l.milli = true
			return l
		}
		return unit{}
	case r.fixed:
		return l
	case l.fixed && sign == 1:
		return r
	}
	out := unit{known: true, bytes: l.bytes + sign*r.bytes, seconds: l.seconds + sign*r.seconds}
	out.fixed = l.fixed && r.fixed
	out.quotient = sign < 0 && !out.fixed
	return out
}

// thousand reports whether an expression is the number 1000.
func thousand(e parser.Expr) bool {
	n, ok := e.(*parser.NumberLiteral)
	return ok && n.Val == 1000
}
