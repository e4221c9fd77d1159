package evidence_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// Evidence and modeltest use the same names and labels: evidence of a state that is built
// from numbers has exactly these numbers again.
func TestEvidenceHasTheNamesOfModeltest(t *testing.T) {
	ofApp := []string{
		"resp_app_workers[busy]", "resp_app_workers[idle]", "resp_app_workers[stuck]", "resp_app_workers[booting]",
		"page.worker[0 4711 stuck recvfrom]", "resp_worker_heartbeat_age_seconds[0]",
		"resp_app_start_time_seconds[]", "resp_app_cpu_usage_ratio[]", "resp_app_threads[]", "resp_app_open_fds[]", "resp_app_max_fds[]",
		"resp_worker_restarts_total[]", "page.worker_cpu_ratio[0]", "resp_worker_start_time_seconds[0]",
		"page.listen_overflows_5m[]", "resp_listener_queue_length[:8000]", "resp_listener_queue_limit[:8000]",
		"resp_app_memory_bytes[rss]", "resp_app_memory_bytes[pss]", "resp_app_memory_limit_bytes[]", "resp_app_memory_usage_ratio[]",
		"resp_worker_memory_bytes[0 rss]", "resp_worker_memory_bytes[0 pss]", "resp_worker_memory_bytes[0 uss]", "resp_worker_memory_bytes[0 swap]",
		"resp_pool_connections[main in_use]", "resp_pool_connections[main idle]", "resp_pool_connections[main in_transaction]", "resp_pool_connections[main leaked]",
		"resp_pool_capacity[main]", "resp_pool_utilization_ratio[main]", "page.pool_leak[main main 0 4711 812]", "resp_worker_connections[0 mysql:main]",
		"resp_task_queue_length[mail]", "resp_task_oldest_age_seconds[mail]", "resp_task_running[mail]", "resp_task_failed[mail]", "resp_task_orphaned[mail]",
		"resp_task_workers[mail]", "resp_task_worker_heartbeat_age_seconds[mail]",
		"resp_sessions[cache]", "resp_sessions_without_expiry[cache]", "resp_session_bytes[cache]", "resp_session_scan_coverage_ratio[cache]", "resp_session_scan_age_seconds[cache]",
	}
	ofServers := map[string][]string{
		"main": {
			"resp_mysql_ping_seconds[]", "resp_mysql_connections[]", "resp_mysql_max_connections[]", "resp_mysql_threads_running[]", "resp_mysql_longest_query_seconds[]",
			"resp_mysql_app_query_seconds[]", "resp_mysql_oldest_transaction_seconds[]", "resp_mysql_lock_waits[]",
		},
		"cache": {
			"resp_redis_ping_seconds[]", "resp_redis_memory_bytes[]", "resp_redis_maxmemory_bytes[]", "resp_redis_connected_clients[]", "resp_redis_blocked_clients[]",
			"page.redis_hit_ratio[]",
		},
	}
	var facts []modeltest.Fact
	var want []string
	add := func(of string, names []string) {
		for _, s := range names {
			name, labels, _ := strings.Cut(strings.TrimSuffix(s, "]"), "[")
			f := modeltest.Fact{Name: name, Labels: []string{of}, Value: float64(100 + len(facts))}
			if labels != "" {
				f.Labels = append(f.Labels, strings.Split(labels, " ")...)
			}
			facts = append(facts, f)
			want = append(want, fmt.Sprintf("%s %v", s, f.Value))
		}
	}
	add("shop", ofApp)
	for server, names := range ofServers {
		add(server, names)
	}
	s, unknown := modeltest.From(facts)
	if len(unknown) > 0 {
		t.Errorf("modeltest does not have %q", unknown)
	}
	got := numbers(s, "shop", "mysql:main", "redis:cache")
	slices.Sort(got)
	slices.Sort(want)
	for _, n := range want {
		if !slices.Contains(got, n) {
			t.Errorf("not in the evidence: %s", n)
		}
	}
	for _, n := range got {
		if !slices.Contains(want, n) {
			t.Errorf("only in the evidence: %s", n)
		}
	}
}
