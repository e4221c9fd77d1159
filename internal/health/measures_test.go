package health_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

func fact(name string, v float64, labels ...string) modeltest.Fact {
	return modeltest.Fact{Name: name, Labels: labels, Value: v}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResources(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const nothing = `{"timestamp":"2026-01-02T03:04:05Z","memory_usage_percent":null,"memory_usage_mb":null,` +
		`"cpu_usage_percent":null,"disk_usage_percent":null,"connection_pool_utilization":null,"active_threads":null,"request_queue_size":null}`
	for name, c := range map[string]struct {
		in   []modeltest.Fact
		want string
	}{
		"nothing known": {nil, nothing},
		"another app and no number": {[]modeltest.Fact{
			fact("resp_app_threads", 3, "blog"),
			fact("resp_app_threads", math.NaN(), "shop"),
			fact("resp_app_cpu_usage_ratio", math.Inf(1), "shop"),
			fact("resp_listener_queue_length", math.NaN(), "shop", ":8000"),
			fact("resp_disk_usage_ratio", math.NaN(), "/"),
		}, nothing},
		"all known": {[]modeltest.Fact{
			fact("resp_app_memory_usage_ratio", 0.5, "shop"),
			fact("resp_app_memory_bytes", 900e6, "shop", "rss"),
			fact("resp_app_memory_bytes", 500e6, "shop", "pss"),
			fact("resp_app_cpu_usage_ratio", 0.25, "shop"),
			fact("resp_disk_usage_ratio", 0.5, "/"),
			fact("resp_disk_usage_ratio", 0.75, "/var"),
			fact("resp_pool_utilization_ratio", 0.2, "shop", "main"),
			fact("resp_app_threads", 9, "shop"),
			fact("resp_listener_queue_length", 0, "shop", ":8000"),
			fact("resp_listener_queue_length", 4, "shop", ":8001"),
		}, `{"timestamp":"2026-01-02T03:04:05Z","memory_usage_percent":50,"memory_usage_mb":500,` +
			`"cpu_usage_percent":25,"disk_usage_percent":75,"connection_pool_utilization":0.2,"active_threads":9,"request_queue_size":4}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asJSON(t, measures.Resources(modeltest.State(c.in), "shop", at)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPerformance(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := modeltest.State([]modeltest.Fact{
		fact("page.http_mean_seconds", 0.25, "shop"),
		fact("page.http_slow_5m", 0, "shop"),
		fact("page.http_error_ratio", 0.125, "shop"),
		fact("page.http_rate", 41.5, "shop"),
		fact("resp_worker_connections", 3, "cart", "0", "mysql:main"),
		fact("resp_worker_connections", 3, "cart", "1", "mysql:main"),
		fact("resp_worker_connections", 1, "cart", "1", "mysql:logs"),
		fact("resp_worker_connections", 0, "cart", "0", "mysql:old"),
		fact("resp_worker_connections", 1, "cart", "0", "redis:cache"),
		fact("resp_worker_connections", 1, "cart", "0", "redis:queue"),
		fact("resp_worker_connections", 1, "cart", "0", "postgresql"),
		fact("resp_mysql_longest_query_seconds", 1.5, "main"),
		fact("resp_mysql_longest_query_seconds", 2.5, "logs"),
		fact("resp_mysql_longest_query_seconds", 99, "old"),
		fact("page.redis_hit_ratio", 0.75, "cache"),
		fact("page.redis_hit_ratio", 0.95, "queue"),
		fact("page.redis_hit_ratio", 0.1, "other"),
		fact("resp_worker_connections", 1, "cart", "0", "redis:jobs"),
		fact("page.redis_hit_ratio", 0.05, "jobs"),
		fact("resp_redis_cache", 0, "jobs"),
	})
	for app, want := range map[string]string{
		"shop": `{"timestamp":"2026-01-02T03:04:05Z","avg_response_time":0.25,"slow_request_count":0,"error_rate":0.125,` +
			`"throughput_rps":41.5,"database_query_time":null,"cache_hit_rate":null}`,
		"cart": `{"timestamp":"2026-01-02T03:04:05Z","avg_response_time":null,"slow_request_count":null,"error_rate":null,` +
			`"throughput_rps":null,"database_query_time":2.5,"cache_hit_rate":0.75}`,
		"blog": `{"timestamp":"2026-01-02T03:04:05Z","avg_response_time":null,"slow_request_count":null,"error_rate":null,` +
			`"throughput_rps":null,"database_query_time":null,"cache_hit_rate":null}`,
	} {
		if got := asJSON(t, measures.Performance(r, app, at)); got != want {
			t.Errorf("%s: got  %s\nwant %s", app, got, want)
		}
	}
}

func TestAppMemoryFallsBackToResident(t *testing.T) {
	r := modeltest.State([]modeltest.Fact{fact("resp_app_memory_bytes", 9, "shop", "rss")})
	if v := measures.AppMemory(r, "shop"); v == nil || *v != 9 {
		t.Errorf("got %v, want 9", v)
	}
	if v := measures.AppMemory(r, "blog"); v != nil {
		t.Errorf("got %v for an app that was not read, want nil", *v)
	}
}
