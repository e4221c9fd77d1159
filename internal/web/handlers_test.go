package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
	"github.com/resp-exporter/resp-exporter/internal/web"
)

func TestEndpoints(t *testing.T) {
	good := func(*web.Options) {}
	reload := func(err error) func(*web.Options) {
		return func(o *web.Options) { o.LifecycleEnabled, o.Reload = true, func() error { return err } }
	}
	for name, c := range map[string]struct {
		method, target string
		with           func(*web.Options)
		code           int
		body           string // must be in the answer
	}{
		"page":               {"GET", "/", good, 200, "<!doctype html>"},
		"page by HEAD":       {"HEAD", "/", good, 200, ""},
		"page by POST":       {"POST", "/", good, 405, ""},
		"unknown path":       {"GET", "/nothing", good, 404, ""},
		"status":             {"GET", "/api/v1/status", good, 200, `"apps":[`},
		"status by POST":     {"POST", "/api/v1/status", good, 405, ""},
		"update":             {"GET", "/api/v1/page", good, 200, `"sections":{`},
		"update since":       {"GET", "/api/v1/page?since=12", good, 200, `"full":true`},
		"update since what":  {"GET", "/api/v1/page?since=yesterday", good, 400, "whole number"},
		"update by DELETE":   {"DELETE", "/api/v1/page", good, 405, ""},
		"update of an app":   {"GET", "/api/v1/page?app=shop&at=09:15", good, 200, `"sections":{`},
		"update at no time":  {"GET", "/api/v1/page?at=noon", good, 400, "at must be a time"},
		"page at no time":    {"GET", "/?at=noon", good, 400, "at must be a time"},
		"runbooks":           {"GET", "/runbooks", good, 200, `<h3 id="respqueuefull">`},
		"unknown runbook":    {"GET", "/runbooks?alert=RespNone", good, 200, `<h3 id="respqueuefull">`},
		"runbooks by POST":   {"POST", "/runbooks", good, 405, ""},
		"prefix: runbooks":   {"GET", "/admin/r/runbooks", func(o *web.Options) { o.RoutePrefix = "/admin/r" }, 200, `href="static/app.css"`},
		"script":             {"GET", "/static/app.js", good, 200, "use strict"},
		"chart library":      {"GET", "/static/uplot/uPlot.iife.min.js", good, 200, "uPlot"},
		"its license":        {"GET", "/static/uplot/LICENSE", good, 200, "MIT"},
		"no such file":       {"GET", "/static/x.js", good, 404, ""},
		"out of the files":   {"GET", "/static/..%2ftemplates/page.html", good, 404, ""},
		"healthy":            {"GET", "/-/healthy", good, 200, "resp-exporter is Healthy.\n"},
		"healthy by POST":    {"POST", "/-/healthy", good, 405, ""},
		"ready":              {"GET", "/-/ready", good, 200, "resp-exporter is Ready.\n"},
		"not ready":          {"GET", "/-/ready", func(o *web.Options) { o.Ready = func() bool { return false } }, 503, "not Ready"},
		"reload is off":      {"POST", "/-/reload", good, 403, "Lifecycle API is not enabled."},
		"reload by GET":      {"GET", "/-/reload", reload(nil), 405, ""},
		"reload by POST":     {"POST", "/-/reload", reload(nil), 200, ""},
		"reload by PUT":      {"PUT", "/-/reload", reload(nil), 200, ""},
		"reload fails":       {"POST", "/-/reload", reload(errors.New("line 3: no")), 500, "failed to reload config: line 3: no"},
		"profiles are off":   {"GET", "/debug/pprof/", good, 404, ""},
		"profiles":           {"GET", "/debug/pprof/", func(o *web.Options) { o.Pprof = true }, 200, "goroutine"},
		"a profile":          {"GET", "/debug/pprof/goroutine?debug=1", func(o *web.Options) { o.Pprof = true }, 200, "goroutine profile:"},
		"command line":       {"GET", "/debug/pprof/cmdline", func(o *web.Options) { o.Pprof = true }, 200, "web.test"},
		"prefix: page":       {"GET", "/admin/r/", func(o *web.Options) { o.RoutePrefix = "/admin/r" }, 200, "<!doctype html>"},
		"prefix: no slash":   {"GET", "/admin/r", func(o *web.Options) { o.RoutePrefix = "/admin/r/" }, 302, "/admin/r/"},
		"prefix: root":       {"GET", "/", func(o *web.Options) { o.RoutePrefix = "admin/r" }, 302, "/admin/r/"},
		"prefix: healthy":    {"GET", "/admin/r/-/healthy", func(o *web.Options) { o.RoutePrefix = "/admin/r" }, 200, "Healthy"},
		"prefix: script":     {"GET", "/admin/r/static/app.js", func(o *web.Options) { o.RoutePrefix = "/admin/r" }, 200, "use strict"},
		"prefix: profiles":   {"GET", "/admin/r/debug/pprof/", func(o *web.Options) { o.RoutePrefix, o.Pprof = "/admin/r", true }, 200, "goroutine"},
		"prefix: not beside": {"GET", "/-/healthy", func(o *web.Options) { o.RoutePrefix = "/admin/r" }, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(fullSample())
			c.with(&o)
			rec := httptest.NewRecorder()
			serve(o).ServeHTTP(rec, httptest.NewRequest(c.method, c.target, nil))
			if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.body) {
				t.Errorf("%s %s: status %d, want %d with %q; body: %.300s", c.method, c.target, rec.Code, c.code, c.body, rec.Body)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	h := serve(options(fullSample()))
	for _, target := range []string{"/", "/api/v1/status", "/api/v1/page", "/static/app.js", "/-/healthy"} {
		head := get(t, h, target).Header()
		if csp := head.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", target, csp)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Referrer-Policy") != "no-referrer" || head.Get("Cache-Control") == "" {
			t.Errorf("%s: headers %v", target, head)
		}
		if head.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie", target)
		}
	}
}

// TestRunbookOfAnAlert checks that the name of an alert leads to its section.
func TestRunbookOfAnAlert(t *testing.T) {
	t.Parallel()
	for prefix, path := range map[string]string{"": "/runbooks", "/admin/r": "/admin/r/runbooks"} {
		o := options(fullSample())
		o.RoutePrefix = prefix
		rec := httptest.NewRecorder()
		serve(o).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path+"?alert=RespQueueFull", nil))
		if got := rec.Header().Get("Location"); rec.Code != http.StatusFound || got != "runbooks#respqueuefull" {
			t.Errorf("%s: status %d, location %q", path, rec.Code, got)
		}
	}
}

func TestReloadRefusesOtherSites(t *testing.T) {
	o := options(fullSample())
	o.LifecycleEnabled, o.Reload = true, func() error { t.Error("reloaded for another site"); return nil }
	req := httptest.NewRequest(http.MethodPost, "/-/reload", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	rec := httptest.NewRecorder()
	serve(o).ServeHTTP(rec, req)
	if rec.Code != http.StatusForbidden {
		t.Errorf("status %d, want 403", rec.Code)
	}
}

func TestAssetsAreAskedForOnce(t *testing.T) {
	h := serve(options(fullSample()))
	first := get(t, h, "/static/app.js")
	req := httptest.NewRequest(http.MethodGet, "/static/app.js", nil)
	req.Header.Set("If-None-Match", first.Header().Get("ETag"))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != http.StatusNotModified || rec.Body.Len() != 0 {
		t.Errorf("second time: status %d with %d bytes, want 304 with none", rec.Code, rec.Body.Len())
	}
	if kind := first.Header().Get("Content-Type"); kind != "text/javascript; charset=utf-8" {
		t.Errorf("type %q", kind)
	}
}

const wantStatus = `{"version":"0.1.0","host":{"name":"web-1","memory_usage_percent":50,"cpu_usage_percent":null,` +
	`"disks":[{"mountpoint":"/","usage_percent":25}],"pressure":[{"resource":"io","kind":"full","waiting_percent":1}]},` +
	`"started":"2025-12-30T06:30:05Z","last_check":"2026-01-02T09:30:05Z","threads_at":"2026-01-02T09:30:05Z",` +
	`"health":{"overall_status":"healthy","components":{"disk":"healthy","memory":"healthy"},"alerts":[],"recovering":[],"muted":[],"recommendations":[],"last_check":"2026-01-02T09:30:05Z"},` +
	`"recommendations":["0 of 1 worker of shop can be read: run the exporter as its user, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH."],` +
	`"apps":[{"name":"shop","server":null,"worker_class":null,"up":true,` +
	`"resources":{"timestamp":"2026-01-02T09:30:05Z","memory_usage_percent":null,"memory_usage_mb":null,"cpu_usage_percent":null,` +
	`"disk_usage_percent":25,"connection_pool_utilization":null,"active_threads":null,"request_queue_size":null},` +
	`"performance":{"timestamp":"2026-01-02T09:30:05Z","avg_response_time":null,"slow_request_count":null,"error_rate":null,` +
	`"throughput_rps":null,"database_query_time":null,"cache_hit_rate":null},` +
	`"health":{"overall_status":"warning","components":{"disk":"healthy","workers":"warning"},"alerts":[{"name":"workers","severity":"warning","component":"workers",` +
	`"summary":"shop runs, but its state is not known: no worker can be read, no request is reported","since":"2026-01-02T09:30:05Z"}],"recovering":[],"muted":[],` +
	`"recommendations":["0 of 1 worker of shop can be read: run the exporter as its user, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH."],"last_check":"2026-01-02T09:30:05Z"},` +
	`"bottleneck":null,"capacity":{"utilization_ratio":null,"saturation_requests_per_second":null,"queue_wait_seconds":null},` +
	`"workers":[{"slot":0,"pid":4711,"state":null,"detail":null,"seconds":null,"memory_bytes":9,"cpu":null,"age_seconds":60,"heartbeat_age_seconds":null,"connections":{},"threads":[],"leak":null}],` +
	`"listeners":[{"listener":":8000","length":null,"limit":128}],"pools":[],"tasks":[],"sessions":[],"reported":null}],"lock_waits":[],"chains":[],` +
	`"unavailable":[{"collector":"waits","reason":"permission","detail":"why"}],` +
	`"notes":[{"collector":"requests","of":"app:shop","reason":"malformed","detail":"lines"}]}`

func TestStatusJSON(t *testing.T) {
	var s sample
	s.add("resp_up", 1, "app:shop")
	s.add("page.worker", nan, "shop", "0", "4711", "", "")
	s.add("resp_worker_memory_bytes", 9, "shop", "0", "rss")
	s.add("resp_worker_start_time_seconds", float64(moment.Add(-time.Minute).Unix()), "shop", "0")
	s.add("resp_listener_queue_limit", 128, "shop", ":8000")
	s.add("resp_host_memory_usage_ratio", 0.5)
	s.add("resp_host_cpu_usage_ratio", nan)
	s.add("resp_disk_usage_ratio", 0.25, "/")
	s.add("page.pressure_ratio", 0.01, "io", "full")
	s.add("page.unavailable", 0, "waits", "permission", "why")
	s.add("page.note", 0, "requests", "app:shop", "malformed", "lines")
	rec := get(t, serve(options(modeltest.State(s))), "/api/v1/status")
	if got := strings.TrimSpace(rec.Body.String()); got != wantStatus {
		t.Errorf("got  %s\nwant %s", got, wantStatus)
	}
}

func TestStatusBeforeTheFirstLook(t *testing.T) {
	o := options(modeltest.State(nil))
	o.Source = fixed{}
	h := serve(o)
	var got struct {
		LastCheck *time.Time `json:"last_check"`
		Apps      []any      `json:"apps"`
	}
	if err := json.Unmarshal(get(t, h, "/api/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.LastCheck != nil || got.Apps == nil || len(got.Apps) != 0 {
		t.Errorf("got %+v, want no check and an empty list", got)
	}
	if page := get(t, h, "/").Body.String(); !strings.Contains(page, "The first check of this host has not finished yet") {
		t.Error("the page does not say that nothing was read yet")
	}
}

func TestUpdateHoldsEachSectionOfThePage(t *testing.T) {
	o := options(fullSample())
	o.History = recorded(t, 3)
	h := serve(o)
	var u struct {
		At       int64             `json:"at"`
		Layout   string            `json:"layout"`
		Sections map[string]string `json:"sections"`
		Limits   map[string][2]*float64

		AppLimits map[string]map[string][2]*float64 `json:"app_limits"`
		History   struct {
			Full bool
			T    []int64
			Apps map[string]map[string][]*float64
		}
	}
	if err := json.Unmarshal(get(t, h, "/api/v1/page").Body.Bytes(), &u); err != nil {
		t.Fatal(err)
	}
	page := get(t, h, "/").Body.String()
	for _, id := range []string{"header", "verdict", "app:shop", "host", "unseen", "footer"} {
		if html := u.Sections[id]; html == "" || !strings.Contains(page, html) {
			t.Errorf("section %q of the update is not in the page: %q", id, html)
		}
		if !strings.Contains(page, `data-section="`+id+`"`) {
			t.Errorf("the page has no place for section %q", id)
		}
	}
	if u.At != moment.Unix() || u.Layout != "shop" || !u.History.Full || len(u.History.T) != 3 || len(u.History.Apps["shop"]["memory/0"]) != 3 {
		t.Errorf("update: %+v", u)
	}
	if l := u.Limits["request_queue"]; l[0] == nil || *l[0] != 50 || *l[1] != 100 {
		t.Errorf("limits: %v", u.Limits)
	}
	if l := u.AppLimits["shop"]["memory"]; l[0] == nil || *l[0] != 0.8 || *l[1] != 0.9 {
		t.Errorf("limits of shop: %v", u.AppLimits)
	}
}

// What is not known of one app is not seen, though its collector is available; extras of
// servers are not listed.
func TestNotSeenOfApps(t *testing.T) {
	var s sample
	s.add("resp_up", 1, "app:shop")
	s.add("resp_collector_available", 1, "waits", "ok")
	s.add("page.note", 0, "waits", "app:shop", "unsupported", "no-stacks")
	s.add("page.note", 0, "waits", "app:blog", "permission", "no-right")
	s.add("page.note", 0, "requests", "app:shop", "malformed", "bad-lines")
	s.add("page.note", 0, "mysql", "mysql:main", "permission", "no-extra")
	h := serve(options(modeltest.State(s)))
	_, list, _ := strings.Cut(get(t, h, "/").Body.String(), `data-section="unseen"`)
	list, _, _ = strings.Cut(list, "</section>")
	for detail, want := range map[string]bool{"no-stacks": true, "no-right": true, "bad-lines": false, "no-extra": false} {
		if strings.Contains(list, detail) != want {
			t.Errorf("%s: want %t in %s", detail, want, list)
		}
	}
	var status struct {
		Unavailable []any `json:"unavailable"`
		Notes       []any `json:"notes"`
	}
	if err := json.Unmarshal(get(t, h, "/api/v1/status").Body.Bytes(), &status); err != nil || len(status.Unavailable) != 0 || len(status.Notes) != 4 {
		t.Errorf("%v, %+v", err, status)
	}
}
