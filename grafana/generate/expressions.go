package main

import (
	"fmt"
	"strings"
)

func prometheus() dsRef { return dsRef{Type: "prometheus", UID: "${datasource}"} }

// selector returns the matchers of job, instance and the variables, and more of them, in braces.
func selector(variables string, more ...string) string {
	out := []string{`job=~"$job"`, `instance=~"$instance"`}
	for v := range strings.FieldsSeq(variables) {
		out = append(out, fmt.Sprintf("%s=~\"$%s\"", v, v))
	}
	return "{" + strings.Join(append(out, more...), ", ") + "}"
}

// of returns the selector of a metric of the app that is chosen; more are matchers.
func of(metric string, more ...string) string { return metric + selector("app", more...) }

// on returns the selector of a metric of the exporter or its host; more are matchers.
func on(metric string, more ...string) string { return metric + selector("", more...) }

// ofMySQL and ofRedis return the selector of a metric of the chosen server.
func ofMySQL(metric string, more ...string) string { return metric + selector("mysql", more...) }
func ofRedis(metric string, more ...string) string { return metric + selector("redis", more...) }

// rate returns the query of a counter's increase per second.
func rate(selected string) string { return "rate(" + selected + "[$__rate_interval])" }

// dayBefore returns the query of the rate at the same time of the day before.
func dayBefore(selected string) string { return "rate(" + selected + "[$__rate_interval] offset 1d)" }

// timeOf and counted return the queries of the sum of the seconds, and of the number, of
// requests per second, by some labels. Each reads the classic histogram, or the native
// one if Prometheus stores only that.
func timeOf(by string, more ...string) string  { return eitherSum("sum", by, more...) }
func counted(by string, more ...string) string { return eitherSum("count", by, more...) }

func eitherSum(part, by string, more ...string) string {
	classic, native := of("resp_http_request_duration_seconds_"+part, more...), of("resp_http_request_duration_seconds", more...)
	return "(sum by (" + by + ") (" + rate(classic) + ") or sum by (" + by + ") (histogram_" + part + "(" + rate(native) + ")))"
}

func quantile(q, by string, more ...string) string {
	classic, native := of("resp_http_request_duration_seconds_bucket", more...), of("resp_http_request_duration_seconds", more...)
	return "(histogram_quantile(" + q + ", sum by (le, " + by + ") (" + rate(classic) + ")) or histogram_quantile(" + q + ", sum by (" + by + ") (" + rate(native) + ")))"
}

// seen returns the query of the highest value of each group, or -1 for a group that had a
// value only in the last hour: its exporter does not answer.
func seen(by, selected string) string {
	return fmt.Sprintf("max by (%s) (%s) or max by (%[1]s) (last_over_time(%[2]s[1h])) * 0 - 1", by, selected)
}

// lost matches what request threads wait for, without what is no wait.
const lost = `on!~"idle|cpu|loop"`

// shortened returns a query with a label more, short: at most the last 24 characters of
// another label, whose values have no bound.
func shortened(selected, label string) string {
	return fmt.Sprintf("label_replace(label_replace(%s, \"short\", \"$1\", %q, \"(.*)\"), \"short\", \"…$1\", %[2]q, \".+(.{24})\")", selected, label)
}

func gain(selected string) string { return "increase(" + selected + "[$__rate_interval])" }
