package web_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// The parts of an app are in the JSON; unknown values are null.
func TestPartsJSON(t *testing.T) {
	body := get(t, serve(options(troubleSample())), "/api/v1/status").Body.String()
	for _, want := range []string{
		`"pools":[{"pool":"main","source":"outside","in_use":2,"idle":1,"in_transaction":3,"leaked":9,"capacity":15,"utilization":0.9333333333333333,"leaks":[` +
			`{"mysql":"db","connection":812,"worker":1,"pid":4711,"asleep_seconds":58},{"mysql":"db","connection":815,"worker":null,"pid":null,"asleep_seconds":49}],"waiting_threads":null,"oldest_checkout_seconds":null,"leaked_at":[]},` +
			`{"pool":"reports","source":"inside","in_use":0,"idle":4,"in_transaction":0,"leaked":2,"capacity":null,"utilization":null,"leaks":[],"waiting_threads":3,"oldest_checkout_seconds":312,` +
			`"leaked_at":[{"route":"/report/\u003cint:n\u003e","file":"report.py","line":42,"function":"fetch","connections":2,"oldest_checkout_seconds":312}]}]`,
		`"tasks":[{"queue":"default","length":3,"oldest_age_seconds":4,"running":1,"workers":2,"worker_heartbeat_age_seconds":null,"failed":0,"orphaned":null},{"queue":"mail",`,
		`"sessions":[{"redis":"cache","sessions":23104,"without_expiry":3002,"bytes":9400000,"scan_coverage":1,"scan_age_seconds":14},{"redis":"queue","sessions":null,`,
		`"lock_waits":[{"mysql":"db","seconds":42,"waiter":{"connection":807,"app":"shop","worker":0,"pid":null,"state":null},"blocker":{"connection":812,"app":"shop","worker":1,"pid":4711,"state":"sleeping"}},`,
		`"blocker":{"connection":null,"app":null,"worker":null,"pid":null,"state":null}`,
		`"connections":{"mysql:db":9,"redis:cache":1}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// A pool whose numbers cannot be read has no chart and no number.
func TestNoPoolNoFigure(t *testing.T) {
	if page := get(t, serve(options(fullSample())), "/").Body.String(); strings.Contains(page, "<dt title=\"connections of pool") {
		t.Error("a figure of a pool that is not there")
	}
	var s sample
	s.app("shop")
	s.add("resp_pool_connections", 3, "shop", "main", "in_use")
	page := get(t, serve(options(modeltest.State(s))), "/").Body.String()
	if !strings.Contains(page, `pool</dt><dd><span title="3">3</span><span class="quiet"></span></dd>`) {
		t.Error("no figure of a pool without a capacity")
	}
}
