package e2e_test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestScenarioMemoryLeak checks that a worker that leaks memory is found by the shipped
// rule and recycled under load: each request is answered with 200, as fast as before, and
// the other workers stay.
func TestScenarioMemoryLeak(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{rules: []string{
		"    - name: memory", "      match: {alertname: RespWorkerMemoryLeak}", "      cooldown: 60s", "      steps:",
		"        - action: recycle_worker", "          with: {pick: largest, min_age: 5s, " + importCheck + "}", "          verify_within: 60s", "        - action: escalate",
	}})
	h.alerting(t)
	l := h.shop.traffic(t, 12, "/", "/products", "/products/2", "/slow?s=0.1")
	quiet := l.quiet(t)
	before := h.scrape(t).pids("shop")
	fault := time.Now()
	if status := h.shop.get("/fault/leak-memory"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	last := h.becomes(t, 150*time.Second, "memory", "verified")
	t.Logf("verified %s after the fault, of that %s of action and check", time.Since(fault).Round(time.Second), last.Updated.Sub(last.Applied).Round(time.Second))
	healed := time.Now()
	eventually(t, 60*time.Second, func() error { return wants("requests since", l.between(healed, time.Now()).n > 40, true) })
	l.end()
	during, after := l.between(fault, healed), l.between(healed, time.Now())
	if bad := during.bad + after.bad; bad > 0 {
		t.Errorf("%d of %d requests were not answered with 200, first %+v %+v", bad, during.n+after.n, during.worst, after.worst)
	}
	during.likeQuiet(t, "while it leaked and was recycled", quiet)
	after.likeQuiet(t, "afterwards", quiet)
	var changed []string
	now := h.scrape(t).pids("shop")
	for slot, pid := range now {
		if before[slot] != pid {
			changed = append(changed, slot)
		}
	}
	if len(now) != 3 || len(last.Plan.Victims) != 1 || !slices.Equal(changed, []string{last.Plan.Victims[0].ID}) {
		t.Errorf("recycled was %+v, changed are %v of %v", last.Plan.Victims, changed, now)
	}
}
