package main

import (
	"fmt"
	"strings"
)

func prometheus() dsRef { return dsRef{Type: "prometheus", UID: "${datasource}"} }

// selector returns the matchers of the variables, and more of them.
func selector(variables string, more ...string) string {
	out := []string{`job=~"$job"`, `instance=~"$instance"`}
	for v := range strings.FieldsSeq(variables) {
		out = append(out, fmt.Sprintf("%s=~\"$%s\"", v, v))
	}
	return "{" + strings.Join(append(out, more...), ", ") + "}"
}

// of selects a metric of the app that is chosen; more are matchers.
func of(metric string, more ...string) string { return metric + selector("app", more...) }

// on selects a metric of the exporter or its host.
func on(metric string, more ...string) string { return metric + selector("", more...) }

// ofMySQL and ofRedis select a metric of the server that is chosen.
func ofMySQL(metric string, more ...string) string { return metric + selector("mysql", more...) }
func ofRedis(metric string, more ...string) string { return metric + selector("redis", more...) }

// rate is what a counter gains a second; more is what increase shows.
func rate(selected string) string { return "rate(" + selected + "[$__rate_interval])" }

// timeOf and counted add up, by some labels, the seconds and the number of
// requests a second; quantile is a share of them. Each is of the classic
// histogram, or of the native one where Prometheus keeps that only.
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

// lost matches what request threads wait for, without what is no wait.
const lost = `on!~"idle|cpu|loop"`

func gain(selected string) string { return "increase(" + selected + "[$__rate_interval])" }
