package health_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// strained returns the facts of an app that is beyond the common limits in all that has
// one, and of a full disk.
func strained(app string) []modeltest.Fact {
	return slices.Concat(appOf(app, 60, "idle", "idle"), []modeltest.Fact{
		fact("resp_app_memory_usage_ratio", 0.85, app), fact("resp_app_cpu_usage_ratio", 0.85, app), fact("resp_disk_usage_ratio", 0.9, "/"),
		fact("resp_pool_utilization_ratio", 0.85, app, "main"), fact("page.http_error_ratio", 0.07, app), fact("page.http_mean_seconds", 7, app),
		fact("resp_task_queue_length", 3, app, "default"), fact("resp_task_oldest_age_seconds", 400, app, "default"),
	})
}

// only returns the limits in force where one app has its own.
func only(app string, own config.Thresholds) func(string) config.Thresholds {
	return func(of string) config.Thresholds {
		if of == app {
			return own
		}
		return config.Default().Thresholds
	}
}

// An app is judged by its own limits, and every other app by the common ones.
func TestOwnLimits(t *testing.T) {
	const all = "cpu=warning disk=warning memory=warning pool=warning request_queue=warning requests=warning tasks=warning workers=healthy"
	of := func(own config.Thresholds) string {
		x := newTrial()
		x.in.Apps = []string{"blog", "shop"}
		x.in.Own = only("shop", own)
		j := x.look(0, slices.Concat(strained("shop"), strained("blog")[1:])...)
		for name, want := range map[string]string{"blog": all} {
			if got := components(j, name); got != want {
				t.Errorf("%s has %s, want %s", name, got, want)
			}
		}
		if j.Host.Components["disk"] != health.Warning {
			t.Errorf("the host's disk is %s", j.Host.Components["disk"])
		}
		return components(j, "shop")
	}
	off := config.Limit{Warning: config.Off(), Critical: config.Off()}
	if got, want := of(config.Thresholds{Memory: off, CPU: off, Disk: off, ConnectionPool: off, RequestQueue: off, ResponseTime: off, ErrorRate: off, TaskAge: off}),
		"cpu=healthy disk=healthy memory=healthy pool=healthy request_queue=healthy requests=healthy tasks=healthy workers=healthy"; got != want {
		t.Errorf("off: %s, want %s", got, want)
	}
	low := config.Default().Thresholds
	low.Memory.Critical, low.CPU.Critical, low.Disk.Critical, low.ConnectionPool.Critical = 0.85, 0.85, 0.9, 0.85
	low.RequestQueue.Critical, low.ResponseTime.Critical, low.TaskAge.Critical = 60, 7, 400
	if got, want := of(low), strings.ReplaceAll(all, "warning", "critical"); got != want {
		t.Errorf("lowered: %s, want %s", got, want)
	}
}

// A disk that is beyond the limits of the host and of an app is one finding; beyond that of
// the app alone it is the app's.
func TestOwnDiskIsToldOnce(t *testing.T) {
	for usage, want := range map[float64][]string{0.9: {"disk / is at 90 %"}, 0.6: {"disk / is at 60 %, beyond the limit of shop"}, 0.4: nil} {
		x := newTrial()
		own := config.Default().Thresholds
		own.Disk.Warning = 0.5
		x.in.Own = only("shop", own)
		j := x.look(0, append(appOf("shop", 0, "idle"), fact("resp_disk_usage_ratio", usage, "/"))...)
		var got []string
		for _, f := range j.Findings() {
			got = append(got, f.Summary)
		}
		if !slices.Equal(got, want) || len(j.Advice()) != len(want) || (j.Of("shop").Components["disk"] > health.Healthy) != (len(want) > 0) {
			t.Errorf("%v: %q, %q", usage, got, j.Recommendations())
		}
	}
}

// components returns the components of an app in one line.
func components(j health.Evaluation, app string) string {
	var out []string
	for part := range strings.FieldsSeq(brief(j)) {
		if rest, ok := strings.CutPrefix(part, app+"/"); ok {
			out = append(out, rest)
		}
	}
	return strings.Join(out, " ")
}

// What is muted is not judged, and named.
func TestMuted(t *testing.T) {
	x := newTrial()
	x.in.Apps = []string{"shop"}
	x.in.Muted = func(string) []string {
		return []string{"tasks", "requests", "disk", "pool", "memory", "cpu", "request_queue"}
	}
	j := x.look(0, strained("shop")...)
	s := j.Of("shop")
	if got := components(j, "shop"); got != "workers=healthy" || s.Overall != health.Healthy || len(s.Alerts) > 0 || len(s.Recommendations) > 0 {
		t.Errorf("%s, %s, %+v, %q", got, s.Overall, s.Alerts, s.Recommendations)
	}
	if len(s.Muted) != 7 || s.Muted[0] != "tasks" {
		t.Errorf("muted is %q", s.Muted)
	}
	if j.Host.Components["disk"] != health.Warning || len(j.Findings()) != 1 {
		t.Errorf("the host is %+v", j.Host)
	}
	x.in.Muted = nil // what was muted and is ill is new, not recovering
	if j := x.look(1, strained("shop")...); len(j.Of("shop").Alerts) == 0 || len(j.Recovering()) > 0 {
		t.Errorf("%+v, recovering %+v", j.Of("shop").Alerts, j.Recovering())
	}
}
