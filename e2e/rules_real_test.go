package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

// asInstalled lists the metrics of rules that are missing until the servers are set up for
// them, and why. It is a fault if one exists.
var asInstalled = map[string]string{
	"resp_mysql_query_seconds_total": "MariaDB adds up the time of queries with performance_schema=ON only, and that needs a right",
	"resp_redis_maxmemory_bytes":     "a Redis without a limit has none",
}

// ofFaults lists the metrics of rules that exist only while there is a fault, which other
// tests make.
var ofFaults = []string{
	"resp_leak_slope_bytes_per_second",                                                     // TestScenarioMemoryLeak, TestDashboardsOnRealScrapes
	"resp_task_restarts_total",                                                             // of a worker with a memory file: TestInsideReports
	"resp_task_heartbeat_age_seconds",                                                      // of a worker with a memory file: TestInsideReports
	"resp_heal_throttle_ratio",                                                             // TestThrottle
	"resp_http_requests_shed_total",                                                        // of a worker with a memory file: TestThrottle
	"resp_heal_control_key_writes_total",                                                   // of an exporter with healing.control: TestThrottleOnOtherHosts
	"resp_heal_relay_up", "resp_heal_relay_alerts_total", "resp_heal_relay_oldest_seconds", // of an exporter with a relay: TestRelay
}

// TestRulesNameWhatAScrapeHas checks that every metric of the shipped rules exists with
// the default collectors, beside a real shop with all stores, the documented rights and
// healing on, and that every recording rule has a result. With default servers only the
// metrics of asInstalled are missing.
func TestRulesNameWhatAScrapeHas(t *testing.T) {
	t.Parallel()
	t.Run("as installed", func(t *testing.T) {
		t.Parallel()
		h := startBusy(t)
		eventually(t, 60*time.Second, func() error { return h.named(t, asInstalled) })
	})
	t.Run("set up", func(t *testing.T) {
		t.Parallel()
		h := startBusy(t, "--performance-schema=ON")
		execute(t, h.stores.db, "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'")
		h.stores.redis.cli("CONFIG", "SET", "maxmemory", "256mb")
		_, _, prometheus := h.alertingAt(t)
		eventually(t, 60*time.Second, func() error { return h.named(t, nil) })
		eventually(t, 60*time.Second, func() error { return h.records(t, prometheus) })
		healthy(t, prometheus)
	})
}

// startBusy starts all there is, with customers, beside an app of an event loop, and
// an alert that called for a person and another one that was healed.
func startBusy(t *testing.T, mariadb ...string) *sick {
	t.Helper()
	h, _, _ := startEvery(t, mariadb...)
	h.loops(t)
	h.shop.traffic(t, 10, "/", "/products", "/error", "/products/99", "/slow?s=0.2")
	// What an app reports itself.
	send(t, h.udp, "resp.queue_time:12|ms|#source:header,app:shop", "resp.pool_wait:2.5|ms|#pool:main,app:shop", "resp.task:15|ms|#task:cleanup,outcome:failed,app:shop")
	h.reported(t, "Person")
	h.becomes(t, 20*time.Second, "person", "escalated")
	eventually(t, 20*time.Second, func() error { return h.scrape(t).want(5, "resp_pool_connections", "app=shop", "state=leaked") })
	h.reported(t, "Leaked", "app=shop", "pool=main")
	h.becomes(t, 60*time.Second, "leaked", "verified")
	return h
}

// named returns an error unless a scrape has exactly the metrics that the rules name,
// except for those that must be missing.
func (h *sick) named(t *testing.T, without map[string]string) error {
	t.Helper()
	rules, _ := shipped(t)
	used := map[string]string{}
	for _, r := range rules {
		for _, m := range metricName.FindAllString(r.Expr, -1) {
			if strings.HasPrefix(m, "resp_") {
				used[m] = r.Alert + r.Record
			}
		}
	}
	if len(used) < 40 {
		t.Fatalf("the rules name %d metrics", len(used))
	}
	m, errs := h.scrape(t), []error{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		is := m.has(name) == nil
		for _, part := range []string{"_bucket", "_count", "_sum"} { // of a histogram
			family, whole := strings.CutSuffix(name, part)
			is = is || whole && m.has(family) == nil
		}
		switch why := without[name]; {
		case slices.Contains(ofFaults, name):
		case !is && why == "":
			errs = append(errs, fmt.Errorf("%s of %s is not there", name, used[name]))
		case is && why != "":
			errs = append(errs, fmt.Errorf("%s is there, though %s", name, why))
		}
	}
	for name := range without {
		if used[name] == "" {
			errs = append(errs, fmt.Errorf("no rule names %s", name))
		}
	}
	return all(errs...)
}

// records returns an error unless each recording rule has a result.
func (h *sick) records(t *testing.T, prometheus string) error {
	t.Helper()
	// The metrics of an instrumented app.
	send(t, h.udp, "resp.request:12.5|ms|#app:shop,method:GET,code:200,route:/products")
	rules, _ := shipped(t)
	var errs []error
	for _, r := range rules {
		if r.Record == "" {
			continue
		}
		found, err := prom.Query(t.Context(), prometheus, r.Record)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("nothing is recorded as %s", r.Record)
		}
		errs = append(errs, err)
	}
	return all(errs...)
}
