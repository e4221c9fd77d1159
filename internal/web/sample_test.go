package web_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
)

var moment = time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)

// fixed is a source that always returns the same state.
type fixed struct {
	r  *model.State
	at time.Time
}

func (f fixed) Latest() (*model.State, health.Evaluation) {
	if f.r == nil {
		return &model.State{}, judged(f.r, f.at)
	}
	return f.r, judged(f.r, f.at)
}

// judged returns the evaluation of one state by the default limits; none at the zero time.
func judged(r *model.State, at time.Time) health.Evaluation {
	if at.IsZero() {
		return health.Evaluation{}
	}
	in := health.Input{State: r, At: at, Limits: config.Default().Thresholds, Interval: time.Second}
	for i := range r.MySQL {
		in.MySQL = append(in.MySQL, r.MySQL[i].Name)
	}
	for i := range r.Redis {
		in.Redis = append(in.Redis, r.Redis[i].Name)
	}
	j, _ := health.Evaluate(in, health.State{})
	return j
}

// sample collects readings.
type sample []modeltest.Fact

func (s *sample) add(name string, v float64, labels ...string) {
	*s = append(*s, modeltest.Fact{Name: name, Labels: labels, Value: v})
}

func (s *sample) thresholds() {
	for resource, l := range map[string][2]float64{
		"memory": {0.8, 0.9}, "cpu": {0.8, 0.9}, "disk": {0.85, 0.95},
		"request_queue": {50, 100}, "response_time": {5, 10}, "connection_pool": {0.8, 0.9}, "error_rate": {0.05, 0.1},
	} {
		s.add("resp_threshold", l[0], resource, "warning")
		s.add("resp_threshold", l[1], resource, "critical")
		for _, app := range []string{"shop", "blog"} {
			s.add("resp_app_threshold", l[0], app, resource, "warning")
			s.add("resp_app_threshold", l[1], app, resource, "critical")
		}
	}
}

// worker adds one worker and counts it.
func (s *sample) worker(app string, slot int, state string, seconds float64, detail string) {
	n := strconv.Itoa(slot)
	s.add("page.worker", seconds, app, n, strconv.Itoa(4710+slot), state, detail)
	s.add("page.worker_cpu_ratio", 0.12, app, n)
	s.add("resp_worker_memory_bytes", 240e6, app, n, "rss")
	s.add("resp_worker_memory_bytes", 182e6, app, n, "pss")
	s.add("resp_worker_memory_bytes", 151e6, app, n, "uss")
	s.add("resp_worker_memory_bytes", 0, app, n, "swap")
	s.add("resp_worker_start_time_seconds", float64(moment.Add(-190*time.Minute).Unix()), app, n)
	s.add("resp_worker_heartbeat_age_seconds", 0.4, app, n)
}

func (s *sample) app(name string) {
	s.add("resp_up", 1, "app:"+name)
	s.add("resp_app_info", 1, name, "gunicorn", "sync")
	s.add("resp_app_start_time_seconds", float64(moment.Add(-4*time.Hour).Unix()), name)
	s.add("resp_app_memory_bytes", 476e6, name, "pss")
	s.add("resp_app_memory_usage_ratio", 0.42, name)
	s.add("resp_app_cpu_usage_ratio", 0.31, name)
	s.add("resp_app_threads", 9, name)
	s.add("resp_app_open_fds", 61, name)
	s.add("resp_app_max_fds", 1024, name)
	s.add("resp_worker_restarts_total", 2, name)
	s.add("resp_listener_queue_length", 0, name, ":8000")
	s.add("page.listen_overflows_5m", 2, name)
	s.add("resp_listener_queue_limit", 2048, name, ":8000")
	s.add("page.http_rate", 41, name)
	s.add("page.http_error_ratio", 0.002, name)
	s.add("page.http_mean_seconds", 0.03, name)
	s.add("page.http_slow_5m", 0, name)
	s.add("page.http_latency_seconds", 0.021, name, "0.5")
	s.add("page.http_latency_seconds", 0.082, name, "0.95")
	s.add("page.http_latency_seconds", 0.14, name, "0.99")
}

// fullSample is one app of four workers with everything known.
func fullSample() *model.State {
	var s sample
	s.thresholds()
	s.app("shop")
	s.worker("shop", 0, "busy", 0.2, "waits in recvfrom")
	s.worker("shop", 1, "idle", 13, "")
	s.worker("shop", 2, "booting", 1, "")
	s.worker("shop", 3, "", 3, "")
	for state, n := range map[string]float64{"busy": 1, "idle": 1, "stuck": 0, "booting": 1} {
		s.add("resp_app_workers", n, "shop", state)
	}
	s.add("resp_host_memory_usage_ratio", 0.61)
	s.add("resp_host_cpu_usage_ratio", 0.23)
	s.add("resp_disk_usage_ratio", 0.44, "/")
	s.add("page.pressure_ratio", 0.02, "cpu", "some")
	s.add("page.pressure_ratio", 0.01, "io", "full")
	s.add("page.unavailable", 0, "waits", "permission", "wait states of shop need CAP_SYS_PTRACE or the app's uid")
	s.add("resp_collector_available", 0, "waits", "permission")
	s.add("resp_collector_available", 0, "pressure", "unsupported")
	s.add("resp_collector_available", 0, "statsd", "disabled")
	s.add("resp_collector_available", 1, "host", "ok")
	return modeltest.State(s)
}

// stores adds a MySQL server, a Redis that is down, and one without a limit.
func (s *sample) stores() {
	s.add("resp_up", 1, "mysql:main")
	s.add("resp_mysql_connections", 61, "main")
	s.add("resp_mysql_max_connections", 151, "main")
	s.add("resp_mysql_threads_running", 4, "main")
	s.add("resp_mysql_oldest_transaction_seconds", 58, "main")
	s.add("resp_mysql_lock_waits", 3, "main")
	s.add("resp_mysql_ping_seconds", 0.0004, "main")
	s.add("resp_up", 0, "redis:queue")
	s.add("resp_up", 1, "redis:cache")
	s.add("resp_redis_memory_bytes", 212e6, "cache")
	s.add("page.redis_hit_ratio", 0.97, "cache")
	s.add("resp_redis_connected_clients", 12, "cache")
	s.add("resp_redis_blocked_clients", 0, "cache")
}

// parts adds a pool with leaks, two queues and two kinds of sessions.
func (s *sample) parts(app string) {
	for state, n := range map[string]float64{"in_use": 2, "idle": 1, "in_transaction": 3, "leaked": 9} {
		s.add("resp_pool_connections", n, app, "main", state)
	}
	s.add("resp_pool_connections", 4, app, "reports", "idle")
	s.add("resp_pool_connections", 2, app, "reports", "leaked")
	s.add("resp_pool_info", 1, app, "main", "outside")
	s.add("resp_pool_info", 1, app, "reports", "inside")
	s.add("resp_pool_waiting_threads", 3, app, "reports")
	s.add("resp_pool_oldest_checkout_seconds", 312, app, "reports")
	s.add("page.pool_site", 312, app, "reports", "/report/<int:n>", "report.py", "fetch", "42", "2")
	s.add("resp_pool_capacity", 15, app, "main")
	s.add("resp_pool_utilization_ratio", 14.0/15, app, "main")
	s.add("page.pool_leak", 58, app, "main", "db", "1", "4711", "812")
	s.add("page.pool_leak", 49, app, "main", "db", "", "", "815")
	s.add("page.pool_worker", 8, app, "main", "1", "leaked")
	s.add("page.pool_worker", 2, app, "main", "0", "in_use")
	s.add("resp_worker_connections", 9, app, "1", "mysql:db")
	s.add("resp_worker_connections", 1, app, "1", "redis:cache")
	s.add("page.lock_wait", 42, "db", "807", app, "0", "812", app, "1", "4711", "sleeping")
	s.add("page.lock_wait", 3, "db", "808", "", "", "", "", "", "", "")
	s.add("resp_task_queue_length", 3, app, "default")
	s.add("resp_task_oldest_age_seconds", 4, app, "default")
	s.add("resp_task_running", 1, app, "default")
	s.add("resp_task_workers", 2, app, "default")
	s.add("resp_task_failed", 0, app, "default")
	s.add("resp_task_queue_length", 7, app, "mail")
	s.add("resp_task_workers", 0, app, "mail")
	s.add("resp_session_scan_coverage_ratio", 1, app, "cache")
	s.add("resp_session_scan_age_seconds", 14, app, "cache")
	s.add("resp_sessions", 23104, app, "cache")
	s.add("resp_sessions_without_expiry", 3002, app, "cache")
	s.add("resp_session_bytes", 9.4e6, app, "cache")
	s.add("resp_session_scan_coverage_ratio", 0.25, app, "queue")
}

// troubleSample is an app whose requests wait, on a host with a nearly full disk.
func troubleSample() *model.State {
	var s sample
	s.thresholds()
	s.app("shop")
	s.worker("shop", 0, "stuck", 42, "waits in recvfrom")
	s.worker("shop", 1, "busy", 3, "waits in recvfrom")
	for state, n := range map[string]float64{"busy": 1, "idle": 0, "stuck": 1, "booting": 0} {
		s.add("resp_app_workers", n, "shop", state)
	}
	s.add("resp_disk_usage_ratio", 0.9, "/")
	s.stores()
	s.parts("shop")
	return modeltest.State(s)
}

// manySample is one app of n workers; slot 77 is stuck.
func manySample(n int) *model.State {
	var s sample
	s.thresholds()
	s.app("shop")
	for i := range n {
		state := "idle"
		if i == 77 {
			state = "stuck"
		}
		s.worker("shop", i, state, 42, "")
	}
	return modeltest.State(s)
}

func options(r *model.State) web.Options {
	return web.Options{
		Source: fixed{r, moment}, Version: "0.1.0", Host: "web-1",
		Started: moment.Add(-75 * time.Hour), Now: func() time.Time { return moment.Add(4 * time.Second) },
	}
}

// recorded returns a history of n samples, one every 5 s, that ends at moment; the
// memory of slot 0 grows by 1.2 MB a minute.
func recorded(t testing.TB, n int) *charts.History {
	t.Helper()
	h := charts.New()
	for i := range n {
		var s sample
		s.add("resp_worker_memory_bytes", 182e6-0.1e6*float64(n-1-i), "shop", "0", "pss")
		s.add("resp_worker_memory_bytes", 182e6, "shop", "1", "pss")
		h.Record(moment.Add(-time.Duration(n-1-i)*5*time.Second), modeltest.State(s))
	}
	return h
}
