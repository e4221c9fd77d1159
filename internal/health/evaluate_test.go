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

func TestEvaluateOnce(t *testing.T) {
	plus := func(a []modeltest.Fact, b ...modeltest.Fact) []modeltest.Fact { return append(a, b...) }
	for name, c := range map[string]struct {
		in      func(*health.Input)
		rs      []modeltest.Fact
		want    string // as brief
		alert   string // in the first summary; empty: there is no alert
		advice  string // in the first recommendation
		nothing bool   // no recommendation
	}{
		"nothing": {nil, nil, "", "", "", true},
		"calm": {nil, plus(appOf("shop", 0, "busy", "idle"), fact("resp_app_cpu_usage_ratio", 0.3, "shop"), fact("resp_app_memory_usage_ratio", 0.79, "shop")),
			"shop/cpu=healthy shop/memory=healthy shop/request_queue=healthy shop/workers=healthy", "", "", true},
		"down": {nil, []modeltest.Fact{fact("resp_up", 0, "app:shop"), fact("resp_app_cpu_usage_ratio", 0.99, "shop")},
			"shop/workers=critical", "shop is down: no process was found", "No process of shop was found at the last check", false},
		"all stuck": {nil, appOf("shop", 3, "stuck", "stuck"), "shop/request_queue=healthy shop/workers=critical",
			"shop does not answer: 2 of 2 workers stuck, longest 42 s (worker 0, waits in recvfrom), queue 3 of 128",
			"Workers 0 (pid 4710) and 1 (pid 4711) of shop have been stuck, the longest for 42 s (waits in recvfrom): find out what they wait for, or end them with kill -QUIT 4710 4711", false},
		"some stuck": {nil, appOf("shop", 0, "idle", "stuck"), "shop/request_queue=healthy shop/workers=warning", "1 of 2 workers of shop is stuck, longest 41 s (worker 1", "Worker 1 (pid 4711)", false},
		"all busy with a queue, CPU idle": {nil, plus(appOf("shop", 31, "busy", "busy"), fact("resp_app_cpu_usage_ratio", 0.12, "shop")),
			"shop/cpu=healthy shop/request_queue=healthy shop/workers=warning", "shop has no free worker: 2 of 2 workers busy, longest 42 s (worker 0, waits in recvfrom), queue 31 of 128",
			"All 2 workers of shop are busy or stuck and 31 of 128 connections wait; worker 0 (pid 4710) is in a request for 42 s, waits in recvfrom. Its CPU is at 12 %, so more workers", false},
		"all busy, CPU full": {nil, plus(appOf("shop", 31, "busy", "busy"), fact("resp_app_cpu_usage_ratio", 0.95, "shop")),
			"shop/cpu=critical shop/request_queue=healthy shop/workers=warning", "shop uses 95 % of its CPU", "shop uses 95 % of its CPU limit", false},
		"queue full": {nil, appOf("shop", 128, "idle", "idle"), "shop/request_queue=critical shop/workers=healthy", "the queue of shop is full: 128 of 128 connections wait", "The accept queue of shop is full (128 of 128)", false},
		"queue with free workers": {nil, appOf("shop", 60, "idle", "busy"), "shop/request_queue=warning shop/workers=healthy", "60 of 128 connections wait for shop",
			"60 of 128 connections wait for shop while 1 of its 2 workers are idle: find out why worker 0 (pid 4710), idle for 42 s, does not accept", false},
		"errors": {nil, plus(appOf("shop", 0, "idle"), fact("page.http_error_ratio", 0.12, "shop"), fact("page.http_rate", 41, "shop")),
			"shop/request_queue=healthy shop/requests=critical shop/workers=healthy", "12 % of the requests to shop fail with 5xx", "12 % of the requests to shop failed with 5xx in the last 5 minutes, at 41/s", false},
		"slow": {nil, plus(appOf("shop", 0, "busy", "idle"), fact("page.http_mean_seconds", 6, "shop"), fact("page.http_slow_5m", 7, "shop")),
			"shop/request_queue=healthy shop/requests=warning shop/workers=healthy", "shop takes 6 s per request", "A request to shop took 6 s on average over 5 minutes, 7 of them slow: check what worker 0 (pid 4710) waits for", false},
		"memory": {nil, plus(appOf("shop", 0, "idle", "idle"), fact("resp_app_memory_usage_ratio", 0.93, "shop"), fact("resp_app_memory_limit_bytes", 512e6, "shop"),
			fact("resp_worker_memory_bytes", 100e6, "shop", "0", "pss"), fact("resp_worker_memory_bytes", 182e6, "shop", "1", "pss"), fact("resp_worker_memory_bytes", 300e6, "shop", "0", "rss")),
			"shop/memory=critical shop/request_queue=healthy shop/workers=healthy", "shop uses 93 % of its memory", "the largest is worker 1 (pid 4711) with 182 MB", false},
		"a full disk bounds every app": {nil, plus(appOf("shop", 0, "idle"), fact("resp_disk_usage_ratio", 0.97, "/var"), fact("resp_disk_usage_ratio", 0.2, "/")),
			"/disk=critical shop/disk=critical shop/request_queue=healthy shop/workers=healthy", "disk /var is at 97 %", "Disk /var is 97 % full", false},
		"host": {nil, []modeltest.Fact{fact("resp_host_memory_usage_ratio", 0.85), fact("resp_host_cpu_usage_ratio", 0.2), fact("resp_up", 1, "app:shop"), fact("resp_app_memory_bytes", 476e6, "shop", "pss")},
			"/cpu=healthy /memory=warning shop/workers=healthy", "the host's memory is at 85 %", "The host's memory is at 85 %; of the apps, shop uses most, 476 MB.", false},

		// Unknown is not healthy, and what is not there is not judged.
		"discovered, unseen, no requests": {nil, []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", "")},
			"shop/workers=warning", "its state is not known", "0 of 1 worker of shop can be read", false},
		"discovered, unseen, requests": {nil, []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", ""), fact("page.http_rate", 3, "shop")},
			"shop/workers=healthy", "", "", true},
		"configured, unseen, requests": {func(in *health.Input) { in.Apps = []string{"shop"} },
			[]modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("page.worker", 3, "shop", "0", "42", "", ""), fact("page.http_rate", 3, "shop")},
			"shop/workers=warning", "its state is not known", "", false},
		"configured, processes not read": {func(in *health.Input) { in.Apps = []string{"shop"} }, unavailable("process", "timeout", "it did not answer"),
			"shop/workers=warning", "shop cannot be read: it did not answer", "", true},
		"configured, processes switched off": {func(in *health.Input) { in.Apps = []string{"shop"} }, unavailable("process", "disabled", ""), "", "", "", true},
		"memory failed": {nil, plus(unavailable("memory", "failed", "read pss: odd"), fact("resp_up", 1, "app:shop")),
			"shop/memory=warning shop/workers=healthy", "the memory of shop cannot be read: read pss: odd", "", true},
		"queue not permitted, discovered": {nil, plus(unavailable("listener", "permission", "no"), fact("resp_up", 1, "app:shop")), "shop/workers=healthy", "", "", true},
		"queue not permitted, configured": {func(in *health.Input) { in.Apps = []string{"shop"} }, plus(unavailable("listener", "permission", "no"), fact("resp_up", 1, "app:shop")),
			"shop/request_queue=warning shop/workers=healthy", "the accept queue of shop cannot be read: no", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			if c.in != nil {
				c.in(&x.in)
			}
			check(t, x.look(0, c.rs...), c.want, c.alert, c.advice, c.nothing)
		})
	}
}

func check(t *testing.T, j health.Evaluation, want, alert, advice string, nothing bool) {
	t.Helper()
	if got := brief(j); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	found, lines := j.Findings(), j.Recommendations()
	if alert == "" && len(found) > 0 || alert != "" && (len(found) == 0 || !strings.Contains(found[0].Summary, alert)) {
		t.Errorf("findings %v, want %q", found, alert)
	}
	if nothing && len(lines) > 0 || !nothing && (len(lines) == 0 || !strings.Contains(lines[0], advice)) {
		t.Errorf("recommendations %q, want %q", lines, advice)
	}
	for _, l := range lines {
		if !strings.HasSuffix(l, ".") || !strings.ContainsAny(l, "0123456789") && !strings.Contains(l, "at the last check") {
			t.Errorf("%q is no sentence with a number", l)
		}
	}
}

func TestEvaluateStores(t *testing.T) {
	stores := func(in *health.Input) { in.MySQL, in.Redis = []string{"main"}, []string{"cache"} }
	up := []modeltest.Fact{fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 1, "main"),
		fact("resp_up", 1, "redis:cache"), fact("resp_redis_info", 1, "cache", "7.0", "standalone", "master")}
	but := func(drop string, more ...modeltest.Fact) []modeltest.Fact {
		out := slices.DeleteFunc(slices.Clone(up), func(r modeltest.Fact) bool { return r.Name+r.Labels[0] == drop })
		return append(out, more...)
	}
	const query, info = "resp_mysql_longest_query_secondsmain", "resp_redis_infocache"
	for name, c := range map[string]struct {
		rs            []modeltest.Fact
		want          string
		alert, advice string
		nothing       bool
	}{
		"well": {up, "/mysql=healthy /redis=healthy", "", "", true},
		"mysql down": {append(unavailable("mysql", "not_found", "mysql other: no route", "mysql main: no connection"), but("resp_upmysql:main", fact("resp_up", 0, "mysql:main"))...),
			"/mysql=critical /redis=healthy", "MySQL main does not answer", "MySQL main did not answer at the last check (no connection)", false},
		"redis speaks something else": {append(unavailable("redis", "failed", "redis cache does not speak the Redis protocol; if it uses TLS, its url must begin with rediss"), but("resp_upredis:cache", fact("resp_up", 0, "redis:cache"))...),
			"/mysql=healthy /redis=critical", "Redis cache does not answer", "(does not speak the Redis protocol; if it uses TLS, its url must begin with rediss)", false},
		"redis down":     {but("resp_upredis:cache", fact("resp_up", 0, "redis:cache")), "/mysql=healthy /redis=critical", "Redis cache does not answer", "Redis cache did not answer at the last check", false},
		"long statement": {but(query, fact("resp_mysql_longest_query_seconds", 3, "main")), "/mysql=warning /redis=healthy", "a statement has run on MySQL main for 3 s", "A statement on MySQL main has run for 3 s", false},
		"blocked statement": {but(query, fact("resp_mysql_longest_query_seconds", 9, "main"), fact("page.lock_wait", 4, "main", "9", "shop", "0", "812", "shop", "2", "4711", "sleeping"),
			fact("page.lock_wait", 8, "main", "10", "shop", "1", "812", "shop", "2", "4711", "sleeping"), fact("page.lock_wait", 9, "main", "11", "", "", "", "", "", "", "")),
			"/mysql=critical /redis=healthy", "for 9 s; connection 812 of worker 2 (pid 4711) of shop blocks 2",
			"Connection 812 of worker 2 (pid 4711) of shop on MySQL main, sleeping, holds a lock that 2 other connections wait for, the longest for 8 s", false},
		"few hits": {but("", fact("page.redis_hit_ratio", 0.7, "cache"), fact("resp_redis_memory_bytes", 99e6, "cache"), fact("resp_redis_maxmemory_bytes", 100e6, "cache")),
			"/mysql=healthy /redis=warning", "only 70 % of the lookups on Redis cache find their key", "it holds 99 MB of 100 MB", false},
		"hardly any hits":   {but("", fact("page.redis_hit_ratio", 0.49, "cache")), "/mysql=healthy /redis=critical", "only 49 %", "Only 49 %", false},
		"hits at the limit": {but("", fact("page.redis_hit_ratio", 0.8, "cache")), "/mysql=healthy /redis=healthy", "", "", true},
		"one dump":          {but("", fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 0, "main")), "/mysql=healthy /redis=healthy", "", "", true},
		"one long dump": {but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 0, "main")),
			"/mysql=healthy /redis=healthy", "", "", true},
		"one report of the app": {but(query, fact("resp_mysql_longest_query_seconds", 59, "main"), fact("page.mysql_shared_query_seconds", 0, "main"), fact("resp_mysql_app_query_seconds", 50, "main")),
			"/mysql=healthy /redis=healthy", "", "", true},
		"one endless of the app": {but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 1, "main"), fact("resp_mysql_app_query_seconds", 60, "main")),
			"/mysql=warning /redis=healthy", "for 1 min", "1 min", false},
		"several": {but(query, fact("resp_mysql_longest_query_seconds", 900, "main"), fact("page.mysql_shared_query_seconds", 6, "main"), fact("resp_mysql_app_query_seconds", 6, "main")),
			"/mysql=critical /redis=healthy", "for 6 s", "6 s", false},
		"full": {but("", fact("resp_mysql_connections", 151, "main"), fact("resp_mysql_max_connections", 151, "main"), fact("page.mysql_holder", 140, "main", "shop", "10.0.0.7", "shop"),
			fact("page.mysql_holder_asleep", 138, "main", "shop", "10.0.0.7", "shop")), "/mysql=critical /redis=healthy",
			"MySQL main has 151 of its 151 connections in use: 140 of user shop from 10.0.0.7, pool of shop, 138 of them asleep", "151 of 151 connections to MySQL main are in use: 140 of user shop", false},
		"nearly full": {but("", fact("resp_mysql_connections", 136, "main"), fact("resp_mysql_max_connections", 151, "main")), "/mysql=warning /redis=healthy", "136 of its 151", "136 of 151", false},
		"half full":   {but("", fact("resp_mysql_connections", 80, "main"), fact("resp_mysql_max_connections", 151, "main")), "/mysql=healthy /redis=healthy", "", "", true},
		"too full to ask": {append(unavailable("mysql", "busy", "mysql main: it has no connection left (max_connections)"), but("resp_upmysql:main", fact("resp_up", 0, "mysql:main"), fact("page.mysql_full", 1, "main"),
			fact("resp_worker_connections", 7, "shop", "0", "mysql:main"), fact("resp_worker_connections", 9, "blog", "0", "mysql:main"), fact("resp_worker_connections", 3, "shop", "1", "mysql:main"))...),
			"/mysql=critical /redis=healthy", "MySQL main accepts no more connections: all are in use: shop holds 10 of them", "at the last check: shop holds 10 of them", false},
		"few lookups":            {but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("page.redis_lookups", 999, "cache")), "/mysql=healthy /redis=healthy", "", "", true},
		"lookups":                {but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("page.redis_lookups", 1000, "cache")), "/mysql=healthy /redis=critical", "only 10 %", "Only 10 %", false},
		"a cache":                {but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("resp_redis_cache", 1, "cache")), "/mysql=healthy /redis=critical", "only 10 %", "Only 10 %", false},
		"no cache":               {but("", fact("page.redis_hit_ratio", 0.1, "cache"), fact("resp_redis_cache", 0, "cache")), "/mysql=healthy /redis=healthy", "", "", true},
		"mysql half read":        {but(query), "/mysql=warning /redis=healthy", "the running statements of MySQL main cannot be read", "", true},
		"redis half read":        {append(unavailable("redis", "permission", "redis cache refuses INFO"), but(info)...), "/mysql=healthy /redis=warning", "the state of Redis cache cannot be read: refuses INFO", "", true},
		"mysql not looked at":    {append(unavailable("mysql", "timeout", "too late"), up[2:]...), "/mysql=warning /redis=healthy", "MySQL main cannot be read: too late", "", true},
		"mysql switched off":     {append(unavailable("mysql", "disabled", ""), up[2:]...), "/redis=healthy", "", "", true},
		"store not configured":   {append(slices.Clone(up), fact("resp_up", 0, "mysql:other")), "/mysql=healthy /redis=healthy", "", "", true},
		"no lookups, no verdict": {up, "/mysql=healthy /redis=healthy", "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			stores(&x.in)
			check(t, x.look(0, c.rs...), c.want, c.alert, c.advice, c.nothing)
		})
	}
}
