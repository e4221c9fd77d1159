package health_test

import (
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// poolNow is a pool of 15 connections of shop; leaks sleep 58 s, 57 s and so
// on, all but the last opened by worker 1.
func poolNow(inUse, idle, inTransaction, leaked int) []modeltest.Fact {
	var out []modeltest.Fact
	for state, n := range map[string]int{"in_use": inUse, "idle": idle, "in_transaction": inTransaction, "leaked": leaked} {
		out = append(out, fact("resp_pool_connections", float64(n), "shop", "main", state))
	}
	for i := range leaked {
		slot, pid := "1", "4711"
		if i == leaked-1 && leaked > 1 {
			slot, pid = "", ""
		}
		out = append(out, fact("page.pool_leak", float64(58-i), "shop", "main", "db", slot, pid, strconv.Itoa(801+i)))
	}
	if leaked > 0 {
		out = append(out, fact("page.pool_worker", 1, "shop", "main", "0", "in_use"), fact("page.pool_worker", float64(max(leaked-1, 1)), "shop", "main", "1", "leaked"))
	}
	return append(out, fact("resp_pool_capacity", 15, "shop", "main"), fact("resp_pool_utilization_ratio", float64(inUse+inTransaction+leaked)/15, "shop", "main"))
}

// reported is that the app reports its pool, with a checkout of that age.
func reported(oldest float64, more ...modeltest.Fact) []modeltest.Fact {
	return append(more, fact("resp_pool_info", 1, "shop", "main", "inside"), fact("resp_pool_oldest_checkout_seconds", oldest, "shop", "main"), fact("resp_pool_waiting_threads", 2, "shop", "main"))
}

func parts(in *health.Input) {
	in.Apps, in.MySQL, in.Redis = []string{"shop"}, []string{"db"}, []string{"cache"}
	in.Parts = []health.Part{{"shop", "pool", "main", "mysql:db"}, {"shop", "sessions", "cache", "redis:cache"}, {"shop", "tasks", "default", "redis:cache"}}
}

func partCases() map[string]evaluated {
	calm := appOf("shop", 0, "idle", "idle")
	stores := []modeltest.Fact{fact("resp_up", 1, "mysql:db"), fact("resp_mysql_longest_query_seconds", 0, "db"), fact("resp_up", 1, "redis:cache"), fact("resp_redis_info", 1, "cache", "7", "standalone", "master")}
	with := func(more ...[]modeltest.Fact) []modeltest.Fact {
		out := append([]modeltest.Fact(nil), calm...)
		for _, m := range more {
			out = append(out, m...)
		}
		return out
	}
	one := func(name string, v float64, labels ...string) []modeltest.Fact {
		return []modeltest.Fact{fact(name, v, labels...)}
	}
	queue := func(length, workers float64, more ...modeltest.Fact) []modeltest.Fact {
		return append(more, fact("resp_task_queue_length", length, "shop", "default"), fact("resp_task_workers", workers, "shop", "default"))
	}
	age := func(v float64) modeltest.Fact { return fact("resp_task_oldest_age_seconds", v, "shop", "default") }
	running := func(v float64) modeltest.Fact { return fact("resp_task_running", v, "shop", "default") }
	sessions := func(all, eternal float64, more ...modeltest.Fact) []modeltest.Fact {
		return append(more, fact("resp_session_scan_coverage_ratio", 1, "shop", "cache"), fact("resp_sessions", all, "shop", "cache"), fact("resp_sessions_without_expiry", eternal, "shop", "cache"))
	}
	const well, up = " shop/request_queue=healthy", " shop/workers=healthy"
	const upAll = "/mysql=healthy /redis=healthy"
	return map[string]evaluated{
		"a pool at ease":  {nil, with(poolNow(2, 8, 1, 0)), "shop/pool=healthy" + well + up, "", ""},
		"a pool at work":  {nil, with(poolNow(12, 1, 1, 0)), "shop/pool=warning" + well + up, "shop/pool main", "shop/pool main"},
		"a leaking pool":  {nil, with(poolNow(2, 0, 0, 3)), "shop/pool=warning" + well + up, "shop/pool_leak main", "pool:shop/main"},
		"reported leaks":  {nil, with(append(poolNow(2, 0, 0, 3), reported(95, fact("page.pool_site", 95, "shop", "main", "/report/<int:n>", "report.py", "fetch", "42", "2"))...)), "shop/pool=warning" + well + up, "shop/pool_leak main", "pool:shop/main"},
		"reported, alone": {nil, with(append(poolNow(2, 0, 0, 3)[:4:4], reported(95, fact("page.pool_site", 95, "shop", "main", "", "jobs.py", "refresh", "7", "3"))...)), "shop/pool=warning" + well + up, "shop/pool_leak main", "pool:shop/main"},
		"reported, where": {nil, with(append(poolNow(0, 0, 0, 1), reported(95)...)), "shop/pool=warning" + well + up, "shop/pool_leak main", "mysql:db/connection:801"},
		"one leak":        {nil, with(poolNow(0, 0, 0, 1)), "shop/pool=warning" + well + up, "shop/pool_leak main", "mysql:db/connection:801"},
		"a pool used up":  {nil, with(poolNow(2, 0, 1, 12)), "shop/pool=critical" + well + up, "shop/pool main", "pool:shop/main"},
		"without a limit": {nil, with(poolNow(2, 0, 1, 12)[:4]), "shop/pool=warning" + well + up, "shop/pool_leak main", "pool:shop/main"},

		"a queue at ease":     {nil, with(queue(0, 2)), well[1:] + " shop/tasks=healthy" + up, "", ""},
		"an old job":          {nil, with(queue(9, 2, age(400), running(2))), well[1:] + " shop/tasks=warning" + up, "shop/task_age default", "shop/task_age default"},
		"an old job, a hang":  {nil, with(queue(1, 2, age(1000), running(1))), well[1:] + " shop/tasks=critical" + up, "shop/task_age default", "shop/task_age default"},
		"no worker":           {nil, with(queue(0, 0)), well[1:] + " shop/tasks=warning" + up, "shop/task_workers default", "shop/task_workers default"},
		"nobody takes them":   {nil, with(queue(3, 0, age(10))), well[1:] + " shop/tasks=critical" + up, "shop/task_workers default", "shop/task_workers default"},
		"orphans":             {nil, with(queue(0, 1), one("resp_task_orphaned", 2, "shop", "default")), well[1:] + " shop/tasks=warning" + up, "shop/task_orphaned default", "shop/task_orphaned default"},
		"tasks of a dead app": {nil, append(one("resp_up", 0, "app:shop"), queue(3, 0)...), "shop/tasks=critical shop/workers=critical", "shop/app_down", "app:shop"},

		"sessions at ease":       {nil, with(sessions(23104, 99)), well[1:] + " shop/sessions=healthy" + up, "", ""},
		"few eternal sessions":   {nil, with(sessions(23104, 2000)), well[1:] + " shop/sessions=healthy" + up, "", ""},
		"eternal sessions":       {nil, with(sessions(23104, 3002, fact("resp_session_bytes", 10e6, "shop", "cache"))), well[1:] + " shop/sessions=warning" + up, "shop/sessions cache", "shop/sessions cache"},
		"sessions, first walk":   {parts, with(stores, poolNow(0, 1, 0, 0), queue(0, 1), one("resp_session_scan_coverage_ratio", 0.2, "shop", "cache")), upAll + " shop/pool=healthy" + well + " shop/tasks=healthy" + up, "", ""},
		"sessions, no right":     {parts, with(stores, poolNow(0, 1, 0, 0), queue(0, 1), unavailable("sessions", "permission", "no right"), one("resp_session_scan_coverage_ratio", 0, "shop", "cache")), upAll + " shop/pool=healthy" + well + " shop/sessions=warning shop/tasks=healthy" + up, "shop/sessions cache", ""},
		"all that is configured": {parts, with(stores, poolNow(0, 1, 0, 0), queue(0, 1), sessions(5, 0)), upAll + " shop/pool=healthy" + well + " shop/sessions=healthy shop/tasks=healthy" + up, "", ""},
		"none can be read": {parts, with(stores, unavailable("pool", "permission", "no right"), unavailable("tasks", "permission", "no"), unavailable("sessions", "permission", "no")),
			upAll + " shop/pool=warning" + well + " shop/sessions=warning shop/tasks=warning" + up, "shop/pool main", ""},
		"their stores are down": {parts, with(one("resp_up", 0, "mysql:db"), one("resp_up", 0, "redis:cache"), unavailable("pool", "not_found", "x"), unavailable("tasks", "not_found", "x"), unavailable("sessions", "not_found", "x")),
			"/mysql=critical /redis=critical shop/pool=warning" + well + " shop/sessions=warning shop/tasks=warning" + up, "/mysql db", "mysql:db"},
		"switched off": {parts, with(stores, unavailable("pool", "disabled", ""), unavailable("tasks", "disabled", ""), unavailable("sessions", "disabled", "")), upAll + well + up, "", ""},
	}
}

func TestEvaluateParts(t *testing.T) {
	for name, c := range partCases() {
		t.Run(name, func(t *testing.T) {
			j := c.evaluate()
			c.check(t, j)
			if name == "their stores are down" && len(j.Findings()) != 2 {
				t.Errorf("%d findings, want the two stores: %v", len(j.Findings()), j.Findings())
			}
		})
	}
}

// A finding about one queue is not among those of another whose name ends alike.
func TestPartIsThatPart(t *testing.T) {
	x := newTrial()
	j := x.look(0, append(appOf("shop", 0, "idle"), fact("resp_task_queue_length", 3, "shop", "very big"), fact("resp_task_workers", 0, "shop", "very big"),
		fact("resp_task_queue_length", 0, "shop", "big"), fact("resp_task_workers", 1, "shop", "big"))...)
	if s := j.Of("shop"); s.Part("tasks", "very big") != health.Critical || s.Part("tasks", "big") != health.Healthy || s.Part("pool", "very big") != health.Healthy {
		t.Errorf("%s, %s, %s", s.Part("tasks", "very big"), s.Part("tasks", "big"), s.Part("pool", "very big"))
	}
}
