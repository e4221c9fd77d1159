package health_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

const interval = 30 * time.Second

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// trial evaluates one sample after another.
type trial struct {
	in    health.Input
	state health.State
}

func newTrial() *trial {
	return &trial{in: health.Input{At: noon, Limits: config.Default().Thresholds, Interval: interval}}
}

// look evaluates a sample that was taken so long after noon.
func (x *trial) look(after time.Duration, rs ...modeltest.Fact) health.Evaluation {
	x.in.At, x.in.State = noon.Add(after), modeltest.State(rs)
	var j health.Evaluation
	j, x.state = health.Evaluate(x.in, x.state)
	return j
}

// brief returns the components of the host and of all apps in one line.
func brief(j health.Evaluation) string {
	var out []string
	for _, s := range append([]health.Status{j.Host}, j.Apps...) {
		for _, c := range slices.Sorted(maps.Keys(s.Components)) {
			out = append(out, fmt.Sprintf("%s/%s=%s", s.App, c, s.Components[c]))
		}
	}
	return strings.Join(out, " ")
}

// appOf returns the facts of an app with workers in these states, the first busy or stuck longest.
func appOf(app string, queue float64, states ...string) []modeltest.Fact {
	out := []modeltest.Fact{fact("resp_up", 1, "app:"+app), fact("resp_app_info", 1, app, "gunicorn", "sync")}
	count := map[string]float64{"busy": 0, "idle": 0, "stuck": 0, "booting": 0}
	for i, s := range states {
		count[s]++
		out = append(out, fact("page.worker", float64(42-i), app, fmt.Sprint(i), fmt.Sprint(4710+i), s, "waits in recvfrom"))
	}
	for s, n := range count {
		out = append(out, fact("resp_app_workers", n, app, s))
	}
	return append(out, fact("resp_listener_queue_length", queue, app, ":8000"), fact("resp_listener_queue_limit", 128, app, ":8000"))
}

func unavailable(collector, reason string, details ...string) []modeltest.Fact {
	out := []modeltest.Fact{fact("resp_collector_available", 0, collector, reason)}
	for _, d := range details {
		out = append(out, fact("page.unavailable", 0, collector, reason, d))
	}
	return out
}

func onceCases() map[string]evaluated {
	plus := func(a []modeltest.Fact, b ...modeltest.Fact) []modeltest.Fact { return append(a, b...) }
	return map[string]evaluated{
		"nothing": {nil, nil, "", "", ""},
		"calm": {nil, plus(appOf("shop", 0, "busy", "idle"), fact("resp_app_cpu_usage_ratio", 0.3, "shop"), fact("resp_app_memory_usage_ratio", 0.79, "shop")),
			"shop/cpu=healthy shop/memory=healthy shop/request_queue=healthy shop/workers=healthy", "", ""},
		"down": {nil, []modeltest.Fact{fact("resp_up", 0, "app:shop"), fact("resp_app_cpu_usage_ratio", 0.99, "shop")},
			"shop/workers=critical", "shop/app_down", "app:shop"},
		"all stuck": {nil, appOf("shop", 3, "stuck", "stuck"), "shop/request_queue=healthy shop/workers=critical",
			"shop/workers",
			"shop/worker:0"},
		"some stuck": {nil, appOf("shop", 0, "idle", "stuck"), "shop/request_queue=healthy shop/workers=warning", "shop/workers", "shop/worker:1"},
		"all busy with a queue, CPU idle": {nil, plus(appOf("shop", 31, "busy", "busy"), fact("resp_app_cpu_usage_ratio", 0.12, "shop")),
			"shop/cpu=healthy shop/request_queue=healthy shop/workers=warning", "shop/workers",
			"shop/workers"},
		"all busy, CPU full": {nil, plus(appOf("shop", 31, "busy", "busy"), fact("resp_app_cpu_usage_ratio", 0.95, "shop")),
			"shop/cpu=critical shop/request_queue=healthy shop/workers=warning", "shop/cpu", "shop/cpu"},
		"all busy, CPU at its limit": {nil, plus(appOf("shop", 31, "busy", "busy"), fact("resp_app_cpu_usage_ratio", 0.80, "shop")),
			"shop/cpu=warning shop/request_queue=healthy shop/workers=warning", "shop/workers", "shop/workers"},
		"queue full": {nil, appOf("shop", 128, "idle", "idle"), "shop/request_queue=critical shop/workers=healthy", "shop/request_queue", "shop/request_queue"},
		"queue with free workers": {nil, appOf("shop", 60, "idle", "busy"), "shop/request_queue=warning shop/workers=healthy", "shop/request_queue",
			"shop/request_queue"},
		"errors": {nil, plus(appOf("shop", 0, "idle"), fact("page.http_error_ratio", 0.12, "shop"), fact("page.http_rate", 41, "shop")),
			"shop/request_queue=healthy shop/requests=critical shop/workers=healthy", "shop/error_rate", "shop/error_rate"},
		"errors beside a throttle": {nil, plus(appOf("shop", 0, "idle"), fact("page.http_error_ratio", 0.12, "shop"), fact("page.http_rate", 41, "shop"),
			fact("page.http_requests_5m", 12300, "shop"), fact("page.http_errors_5m", 1476, "shop"), fact("page.http_shed_5m", 3690, "shop")),
			"shop/request_queue=healthy shop/requests=critical shop/workers=healthy", "shop/error_rate", "shop/error_rate"},
		"slow": {nil, plus(appOf("shop", 0, "busy", "idle"), fact("page.http_mean_seconds", 6, "shop"), fact("page.http_slow_5m", 7, "shop")),
			"shop/request_queue=healthy shop/requests=warning shop/workers=healthy", "shop/response_time", "shop/response_time"},
		"memory": {nil, plus(appOf("shop", 0, "idle", "idle"), fact("resp_app_memory_usage_ratio", 0.93, "shop"), fact("resp_app_memory_limit_bytes", 512e6, "shop"),
			fact("resp_worker_memory_bytes", 100e6, "shop", "0", "pss"), fact("resp_worker_memory_bytes", 182e6, "shop", "1", "pss"), fact("resp_worker_memory_bytes", 300e6, "shop", "0", "rss")),
			"shop/memory=critical shop/request_queue=healthy shop/workers=healthy", "shop/memory", "shop/memory"},
		"a full disk bounds every app": {nil, plus(appOf("shop", 0, "idle"), fact("resp_disk_usage_ratio", 0.97, "/var"), fact("resp_disk_usage_ratio", 0.2, "/")),
			"/disk=critical shop/disk=critical shop/request_queue=healthy shop/workers=healthy", "/disk /var", "/disk /var"},
		"host": {nil, []modeltest.Fact{fact("resp_host_memory_usage_ratio", 0.85), fact("resp_host_cpu_usage_ratio", 0.2), fact("resp_up", 1, "app:shop"), fact("resp_app_memory_bytes", 476e6, "shop", "pss")},
			"/cpu=healthy /memory=warning shop/workers=healthy", "/memory", "/memory"},

		// Unknown is not healthy, and a missing part is not judged.
		"discovered, unseen, no requests": {nil, []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", "")},
			"shop/workers=warning", "shop/workers", "shop/workers"},
		"discovered, unseen, requests": {nil, []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", ""), fact("page.http_rate", 3, "shop")},
			"shop/workers=healthy", "", ""},
		"configured, unseen, requests": {func(in *health.Input) { in.Apps = []string{"shop"} },
			[]modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", ""), fact("page.http_rate", 3, "shop")},
			"shop/workers=warning", "shop/workers", "shop/workers"},
		"configured, processes not read": {func(in *health.Input) { in.Apps = []string{"shop"} }, unavailable("process", "timeout", "it did not answer"),
			"shop/workers=warning", "shop/app_down", ""},
		"configured, processes switched off": {func(in *health.Input) { in.Apps = []string{"shop"} }, unavailable("process", "disabled", ""), "", "", ""},
		"memory failed": {nil, plus(unavailable("memory", "failed", "read pss: odd"), fact("resp_up", 1, "app:shop")),
			"shop/memory=warning shop/workers=healthy", "shop/memory", ""},
		"queue not permitted, discovered": {nil, plus(unavailable("listener", "permission", "no"), fact("resp_up", 1, "app:shop")), "shop/workers=healthy", "", ""},
		"queue not permitted, configured": {func(in *health.Input) { in.Apps = []string{"shop"} }, plus(unavailable("listener", "permission", "no"), fact("resp_up", 1, "app:shop")),
			"shop/request_queue=warning shop/workers=healthy", "shop/request_queue", ""},
	}
}

func TestEvaluateOnce(t *testing.T) {
	for name, c := range onceCases() {
		t.Run(name, func(t *testing.T) { c.check(t, c.evaluate()) })
	}
}

// evaluated is one state of the host and what an evaluation must find in it.
type evaluated struct {
	in    func(*health.Input)
	rs    []modeltest.Fact
	want  string // as brief
	alert string // the app and the name of the first; "": there is none
	cause string // of the first advice; "": there is none
}

// evaluate evaluates the state for the first time.
func (c evaluated) evaluate() health.Evaluation {
	x := newTrial()
	if c.in != nil {
		c.in(&x.in)
	}
	return x.look(0, c.rs...)
}

func (c evaluated) check(t *testing.T, j health.Evaluation) {
	t.Helper()
	if got := brief(j); got != c.want {
		t.Errorf("got  %s\nwant %s", got, c.want)
	}
	alert, cause := "", ""
	for _, f := range slices.Backward(j.Findings()) {
		alert = f.App + "/" + f.Name
	}
	for _, a := range slices.Backward(j.Advice()) {
		cause = a.Cause
	}
	if alert != c.alert || cause != c.cause {
		t.Errorf("alert %q and cause %q, want %q and %q", alert, cause, c.alert, c.cause)
	}
}

func storeCases() map[string]evaluated {
	stores := func(in *health.Input) { in.MySQL, in.Redis = []string{"main"}, []string{"cache"} }
	up := []modeltest.Fact{fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 1, "main"),
		fact("resp_up", 1, "redis:cache"), fact("resp_redis_info", 1, "cache", "7.0", "standalone", "master")}
	but := func(drop string, more ...modeltest.Fact) []modeltest.Fact {
		out := slices.DeleteFunc(slices.Clone(up), func(r modeltest.Fact) bool { return r.Name+r.Labels[0] == drop })
		return append(out, more...)
	}
	const query, info = "resp_mysql_longest_query_secondsmain", "resp_redis_infocache"
	return map[string]evaluated{
		"well": {stores, up, "/mysql=healthy /redis=healthy", "", ""},
		"mysql down": {stores, append(unavailable("mysql", "not_found", "mysql other: no route", "mysql main: no connection"), but("resp_upmysql:main", fact("resp_up", 0, "mysql:main"))...),
			"/mysql=critical /redis=healthy", "/mysql main", "mysql:main"},
		"redis speaks something else": {stores, append(unavailable("redis", "failed", "redis cache does not speak the Redis protocol; if it uses TLS, its url must begin with rediss"), but("resp_upredis:cache", fact("resp_up", 0, "redis:cache"))...),
			"/mysql=healthy /redis=critical", "/redis cache", "redis:cache"},
		"redis down":     {stores, but("resp_upredis:cache", fact("resp_up", 0, "redis:cache")), "/mysql=healthy /redis=critical", "/redis cache", "redis:cache"},
		"long statement": {stores, but(query, fact("resp_mysql_longest_query_seconds", 3, "main")), "/mysql=warning /redis=healthy", "/query_time main", "/query_time main"},
		"blocked statement": {stores, but(query, fact("resp_mysql_longest_query_seconds", 9, "main"), fact("page.lock_wait", 4, "main", "9", "shop", "0", "812", "shop", "2", "4711", "sleeping"),
			fact("page.lock_wait", 8, "main", "10", "shop", "1", "812", "shop", "2", "4711", "sleeping"), fact("page.lock_wait", 9, "main", "11", "", "", "", "", "", "", "")),
			"/mysql=critical /redis=healthy", "/query_time main",
			"mysql:main/connection:812"},
		"few hits": {stores, but("", fact("page.redis_hit_ratio", 0.7, "cache"), fact("resp_redis_memory_bytes", 99e6, "cache"), fact("resp_redis_maxmemory_bytes", 100e6, "cache")),
			"/mysql=healthy /redis=warning", "/cache_hit_rate cache", "/cache_hit_rate cache"},
		"hardly any hits":   {stores, but("", fact("page.redis_hit_ratio", 0.49, "cache")), "/mysql=healthy /redis=critical", "/cache_hit_rate cache", "/cache_hit_rate cache"},
		"hits at the limit": {stores, but("", fact("page.redis_hit_ratio", 0.8, "cache")), "/mysql=healthy /redis=healthy", "", ""},
		"one dump":          {stores, but("", fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 0, "main")), "/mysql=healthy /redis=healthy", "", ""},
		"one long dump": {stores, but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 0, "main")),
			"/mysql=healthy /redis=healthy", "", ""},
		"one report of the app": {stores, but(query, fact("resp_mysql_longest_query_seconds", 59, "main"), fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 50, "main")),
			"/mysql=healthy /redis=healthy", "", ""},
		"one endless of the app": {stores, but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 1, "main"), fact("resp_mysql_app_query_seconds", 60, "main")),
			"/mysql=warning /redis=healthy", "/query_time main", "/query_time main"},
		"several": {stores, but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 6, "main"), fact("resp_mysql_app_query_seconds", 6, "main")),
			"/mysql=critical /redis=healthy", "/query_time main", "/query_time main"},
		"full": {stores, but("", fact("resp_mysql_connections", 151, "main"), fact("resp_mysql_max_connections", 151, "main"), fact("page.mysql_holder", 140, "main", "shop", "10.0.0.7", "shop"),
			fact("page.mysql_holder_asleep", 138, "main", "shop", "10.0.0.7", "shop")), "/mysql=critical /redis=healthy",
			"/connections main", "mysql:main/full"},
		"nearly full": {stores, but("", fact("resp_mysql_connections", 136, "main"), fact("resp_mysql_max_connections", 151, "main")), "/mysql=warning /redis=healthy", "/connections main", "mysql:main/full"},
		"half full":   {stores, but("", fact("resp_mysql_connections", 80, "main"), fact("resp_mysql_max_connections", 151, "main")), "/mysql=healthy /redis=healthy", "", ""},
		"too full to ask": {stores, append(unavailable("mysql", "busy", "mysql main: it has no connection left (max_connections)"), but("resp_upmysql:main", fact("resp_up", 0, "mysql:main"), fact("page.mysql_full", 1, "main"),
			fact("resp_worker_connections", 7, "shop", "0", "mysql:main"), fact("resp_worker_connections", 9, "blog", "0", "mysql:main"), fact("resp_worker_connections", 3, "shop", "1", "mysql:main"))...),
			"/mysql=critical /redis=healthy", "/mysql main", "mysql:main/full"},
		"few lookups":            {stores, but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("page.redis_lookups", 999, "cache")), "/mysql=healthy /redis=healthy", "", ""},
		"lookups":                {stores, but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("page.redis_lookups", 1000, "cache")), "/mysql=healthy /redis=critical", "/cache_hit_rate cache", "/cache_hit_rate cache"},
		"a cache":                {stores, but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("resp_redis_cache", 1, "cache")), "/mysql=healthy /redis=critical", "/cache_hit_rate cache", "/cache_hit_rate cache"},
		"no cache":               {stores, but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("resp_redis_cache", 0, "cache")), "/mysql=healthy /redis=healthy", "", ""},
		"mysql half read":        {stores, but(query), "/mysql=warning /redis=healthy", "/query_time main", ""},
		"redis half read":        {stores, append(unavailable("redis", "permission", "redis cache refuses INFO"), but(info)...), "/mysql=healthy /redis=warning", "/cache_hit_rate cache", ""},
		"mysql not looked at":    {stores, append(unavailable("mysql", "timeout", "too late"), up[2:]...), "/mysql=warning /redis=healthy", "/mysql main", ""},
		"mysql switched off":     {stores, append(unavailable("mysql", "disabled", ""), up[2:]...), "/redis=healthy", "", ""},
		"store not configured":   {stores, append(slices.Clone(up), fact("resp_up", 0, "mysql:other")), "/mysql=healthy /redis=healthy", "", ""},
		"no lookups, no verdict": {stores, up, "/mysql=healthy /redis=healthy", "", ""},
	}
}

func TestEvaluateStores(t *testing.T) {
	for name, c := range storeCases() {
		t.Run(name, func(t *testing.T) { c.check(t, c.evaluate()) })
	}
}
