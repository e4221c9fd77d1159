package health_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// A few requests are no evidence, and what the last minute does not show is over.
func TestRequestsNeedEvidence(t *testing.T) {
	errors := func(ratio, requests, failed float64) []modeltest.Fact {
		return []modeltest.Fact{fact("page.http_error_ratio", ratio, "shop"), fact("page.http_requests_5m", requests, "shop"), fact("page.http_errors_5m", failed, "shop")}
	}
	mean := func(seconds, timed float64) []modeltest.Fact {
		return []modeltest.Fact{fact("page.http_mean_seconds", seconds, "shop"), fact("page.http_timed_5m", timed, "shop")}
	}
	last := func(fs []modeltest.Fact, requests, ratio, seconds float64) []modeltest.Fact {
		return append(fs, fact("page.http_last_requests", requests, "shop"), fact("page.http_last_error_ratio", ratio, "shop"),
			fact("page.http_last_timed", requests, "shop"), fact("page.http_last_mean_seconds", seconds, "shop"))
	}
	for name, c := range map[string]struct {
		facts []modeltest.Fact
		want  health.Level
	}{
		"1 of 2 fails":                 {errors(0.5, 2, 1), health.Healthy},
		"2 of 2 fail":                  {errors(1, 2, 2), health.Healthy},
		"3 of 3 fail":                  {errors(1, 3, 3), health.Critical},
		"3 of 50 fail":                 {errors(0.06, 50, 3), health.Warning},
		"not known how many":           {errors(0.5, 2, 1)[:1], health.Critical},
		"fails no more":                {last(errors(0.5, 100, 50), 20, 0, 0.1), health.Healthy},
		"fails less":                   {last(errors(0.5, 100, 50), 20, 0.06, 0.1), health.Warning},
		"fails still":                  {last(errors(0.5, 100, 50), 20, 1, 0.1), health.Critical},
		"too few since":                {last(errors(0.5, 100, 50), 4, 0, 0.1), health.Critical},
		"began just now":               {last(errors(0.01, 1000, 10), 20, 0.5, 0.1), health.Healthy},
		"one request takes long":       {mean(60, 1), health.Healthy},
		"4 requests take long":         {mean(60, 4), health.Healthy},
		"5 requests take long":         {mean(6, 5), health.Warning},
		"not known how many take long": {mean(60, 1)[:1], health.Critical},
		"takes long no more":           {last(mean(12, 100), 20, 0, 0.1), health.Healthy},
		"takes long still, but no longer that long": {last(mean(12, 100), 20, 0, 6), health.Warning},
	} {
		j := newTrial().look(0, append(appOf("shop", 0, "idle"), c.facts...)...)
		if got := j.Of("shop").Components["requests"]; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// An error rate of five minutes is recovering from the time on when the last minute has
// no errors, and its end has a time of its own.
func TestRequestsRecover(t *testing.T) {
	facts := func(last float64) []modeltest.Fact {
		return append(appOf("shop", 0, "idle"), fact("page.http_error_ratio", 0.5, "shop"), fact("page.http_errors_5m", 50, "shop"),
			fact("page.http_last_requests", 20, "shop"), fact("page.http_last_error_ratio", last, "shop"))
	}
	x := newTrial()
	x.look(0, facts(1)...)
	x.look(5*time.Second, facts(1)...)
	j := x.look(10*time.Second, facts(0)...)
	ended := j.Recovering()
	if len(j.Findings()) > 0 || len(ended) != 1 || ended[0].Name != "error_rate" || !ended[0].Ended.Equal(noon.Add(5*time.Second)) || len(j.Recommendations()) > 0 {
		t.Errorf("%+v, recovering %+v, %q", j.Findings(), ended, j.Recommendations())
	}
}
