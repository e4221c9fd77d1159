package evidence_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/app/evidence"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// numbers returns the names, labels and values of the numbers of an app and its servers.
func numbers(s *model.State, app string, servers ...string) []string {
	var out []string
	for _, n := range evidence.Numbers(s, app, servers) {
		out = append(out, fmt.Sprintf("%s%v %v", n.Name, n.Labels, n.Value))
	}
	return out
}

// Evidence has the numbers of the app and of its servers, without users and hosts.
func TestEvidenceNumbers(t *testing.T) {
	fact := func(name string, v float64, labels ...string) modeltest.Fact {
		return modeltest.Fact{Name: name, Labels: labels, Value: v}
	}
	s := modeltest.State([]modeltest.Fact{
		fact("resp_up", 1, "app:shop"), fact("resp_app_threads", 9, "shop"), fact("resp_app_threads", 7, "blog"), fact("resp_app_workers", 2, "shop", "busy"),
		fact("page.worker", 42, "shop", "0", "4711", "stuck", "waits in recvfrom"), fact("page.worker_wait", 42, "shop", "0", "mysql", "mysql:main"),
		fact("resp_worker_memory_bytes", 5, "shop", "0", "pss"), fact("resp_pool_connections", 3, "shop", "main", "leaked"),
		fact("page.pool_leak", 58, "shop", "main", "main", "0", "4711", "812"), fact("resp_worker_connections", 4, "shop", "0", "mysql:main"),
		fact("resp_listener_queue_length", 3, "shop", ":8000"), fact("resp_task_queue_length", 2, "shop", "mail"), fact("resp_sessions", 6, "shop", "cache"),
		fact("resp_mysql_connections", 61, "main"), fact("resp_mysql_connections", 62, "other"), fact("resp_redis_memory_bytes", 8, "cache"),
		fact("page.lock_wait", 4, "main", "9", "shop", "0", "812", "", "", "", "sleeping", "ann", "10.0.0.7"),
		fact("page.mysql_query", 5, "main", "7", "ann", "10.0.0.7", "", "", "", "SELECT"),
	})
	s.Reported = []model.Reported{
		{App: "shop", Traces: []model.MemoryTrace{{Run: "r-1.a", PID: 4711, Lines: []model.MemoryLine{{File: "/srv/cart.py", Line: 42, Blocks: 7, Bytes: 1000}}}}},
		{App: "blog", Traces: []model.MemoryTrace{{Run: "r-2.a", PID: 4712, Lines: []model.MemoryLine{{File: "/srv/ann.py", Line: 1, Bytes: 7}}}}},
	}
	got := numbers(s, "shop", "mysql:main")
	for _, want := range []string{
		"resp_app_threads[] 9", "resp_app_workers[busy] 2", "page.worker[0 4711 stuck waits in recvfrom] 42", "page.worker_wait[0 mysql mysql:main] 42",
		"resp_worker_memory_bytes[0 pss] 5", "resp_pool_connections[main leaked] 3", "page.pool_leak[main main 0 4711 812] 58",
		"resp_worker_connections[0 mysql:main] 4", "resp_listener_queue_length[:8000] 3", "resp_task_queue_length[mail] 2", "resp_sessions[cache] 6",
		"resp_mysql_connections[] 61", "page.lock_wait[9 shop 0 812   0 sleeping] 4", "page.mysql_query[7   0 SELECT] 5",
		"page.memory_trace_bytes[r-1.a 4711 /srv/cart.py 42] 1000",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	for _, n := range got {
		if strings.Contains(n, "ann") || strings.Contains(n, "10.0.0.7") || strings.HasPrefix(n, "resp_redis") || n == "resp_app_threads[] 7" || n == "resp_mysql_connections[] 62" {
			t.Errorf("%s is in the evidence", n)
		}
	}
	if n := len(numbers(&model.State{}, "shop", "mysql:main")); n != 0 {
		t.Errorf("%d numbers of nothing", n)
	}
}
