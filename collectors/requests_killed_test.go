package collectors_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// telling is the apps whose workers have memory files.
type telling map[string]bool

func (a telling) Has(app string) bool { return a[app] }
func (a telling) TaskRestarts() []appside.Restarts {
	var out []appside.Restarts
	for app := range a {
		out = append(out, appside.Restarts{App: app, Task: "mail", N: 3}, appside.Restarts{App: app, Task: "idle"})
	}
	return out
}

// resting is telling without a restart.
type resting struct{ telling }

func (resting) TaskRestarts() []appside.Restarts {
	return []appside.Restarts{{App: "api", Task: "mail"}}
}

func (a telling) Totals() (out []appside.Totals) {
	for app := range a {
		out = append(out, appside.Totals{App: app, Lost: 5, Collections: [3]uint64{30, 20, 10}, Shed: [3]uint64{7, 1, 0}})
	}
	return out
}

func (a telling) Workers() (out []appside.Worker) {
	for app := range a {
		tasks := []appside.Task{{Name: "mail", State: appside.TaskRunning, Beat: 7 * time.Second}, {Name: "idle", State: appside.TaskWaiting}, {Name: "over the limit", State: appside.TaskRunning}}
		out = append(out, appside.Worker{App: app, PID: 9, States: []appside.State{{Tasks: tasks}}})
	}
	return out
}

func (telling) Counts() appside.Counts { return appside.Counts{Workers: 2, Invalid: 4} }

// Counters of killed requests begin at 0, and do not end with the workers.
func TestKilled(t *testing.T) {
	inside := telling{"a": true}
	r := collectors.NewRequests(collectors.RequestsOptions{
		Inside: inside,
		Users: func(context.Context) map[string][]uint32 {
			return map[string][]uint32{"a": {7}, "b": {7}, "c": {7}}
		},
	})
	from := ingest.Source{PID: 9, UID: 7, Proven: true}
	feed(r, "resp.request:1|ms|#app:a,method:GET,route:/items,code:200\nresp.request:1|ms|#app:b,method:GET,route:/items,code:200", from)
	collect(t, r)
	expect(t, collect(t, r), "resp_http_requests_killed_total a GET /items 0", "resp_http_requests_killed_total b GET /items absent")
	r.CountKilled("a", []appside.Request{{Method: "GET", Route: "/items"}, {Method: "POST", Route: "/checkout"}, {Method: "BREW"}, {}})
	r.CountKilled("b", nil)
	r.CountKilled("c", []appside.Request{{Method: "GET"}})
	r.CountKilled("new", []appside.Request{{Method: "GET"}})
	delete(inside, "a")
	got := collect(t, r)
	expect(t, got, "resp_http_requests_killed_total a GET /items 1", "resp_http_requests_killed_total a POST /checkout 1", "resp_http_requests_killed_total a other  1",
		"resp_http_requests_killed_total a   1", "resp_http_requests_killed_total b GET /items absent", "resp_http_requests_killed_total c GET  1", "resp_http_requests_killed_total new GET  1",
		"resp_http_requests_total a 200 GET /items 1", "resp_http_requests_total a 200 POST /checkout absent", "resp_http_slow_requests_total c absent",
		"resp_series_dropped_total memory_file 2", "resp_series_dropped_total memory_file_slot 4")
	if n := sum(got, "resp_http_requests_killed_total"); n != 6 {
		t.Errorf("%v killed", n)
	}
}

// Restarts of tasks are added up, because each is reported once.
func TestTaskRestarts(t *testing.T) {
	inside := telling{"a": true, "unwatched": true}
	r := collectors.NewRequests(collectors.RequestsOptions{
		Inside: inside,
		Users:  func(context.Context) map[string][]uint32 { return map[string][]uint32{"a": {7}} },
	})
	collect(t, r)
	feed(r, "resp.task:1|ms|#app:a,task:mail,outcome:failed\nresp.task:1|ms|#app:a,task:plain,outcome:ok", ingest.Source{PID: 9, UID: 7, Proven: true})
	delete(inside, "unwatched")
	got := collect(t, r)
	expect(t, got, "resp_task_executing a mail 1", "resp_task_executing a idle 0", "resp_task_heartbeat_age_seconds a mail 7", "resp_task_heartbeat_age_seconds a idle absent",
		"resp_task_executing a plain absent", "resp_task_executing a over absent", "resp_app_reports_lost_total a 5", "resp_app_gc_collections_total a 2 10",
		"resp_http_requests_shed_total a low 7", "resp_http_requests_shed_total a high 0", "resp_http_requests_shed_total unwatched low absent")
	expect(t, got, "resp_task_restarts_total a mail 6", "resp_task_restarts_total a idle 0", "resp_task_runs_total a idle ok 0", "resp_task_runs_total a mail failed 1",
		"resp_task_restarts_total a plain absent", "resp_task_restarts_total unwatched mail absent")
}

// tracing is telling with sessions and a trace.
type tracing struct{ telling }

func (a tracing) Workers() (out []appside.Worker) {
	for app := range a.telling {
		s := appside.State{Sessions: appside.Sessions{Prefix: "shop:", Lifetime: time.Hour}, Growth: []appside.Growth{{Run: "t-1", File: "cart.py", Line: 42, Bytes: 100}}}
		out = append(out, appside.Worker{App: app, PID: 9, States: []appside.State{s}}, appside.Worker{App: app, PID: 10, States: []appside.State{{}}})
	}
	return out
}

// The sessions and traces of an app are those that its own workers report.
func TestReported(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{
		Inside: tracing{telling{"a": true, "unwatched": true}},
		Users:  func(context.Context) map[string][]uint32 { return map[string][]uint32{"a": {7}} },
	})
	feed(r, "resp.request:1|ms|#app:a,code:200", ingest.Source{PID: 9, UID: 7, Proven: true})
	collect(t, r)
	sample, err := r.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := sample.State.Reported
	if len(got) != 1 || got[0].App != "a" || got[0].SessionPrefix != "shop:" || *got[0].SessionLifetime != 3600 || len(got[0].Traces) != 1 || got[0].Traces[0].PID != 9 || got[0].Traces[0].Lines[0].Line != 42 {
		t.Errorf("%+v", got)
	}
}

// Their routes are limited as those of all requests.
func TestKilledBounds(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{MaxRoutes: 5})
	for i := range 50 {
		r.CountKilled("a", []appside.Request{{Method: "GET", Route: fmt.Sprintf("/%d", i)}})
	}
	expect(t, collect(t, r), "resp_http_requests_killed_total a GET /4 1", "resp_http_requests_killed_total a GET other 45", "resp_series_dropped_total resp_http_requests_killed_total 45")
}

// What another user has reported under the name of a watched app is not kept with its own.
func TestKilledAfterAClaim(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{Trusts: func(ingest.Source) bool { return false }})
	feed(r, "resp.request:1|ms|#app:a,method:GET,route:/forged,code:200", ingest.Source{PID: 9, UID: 7, Proven: true})
	expect(t, collect(t, r), "resp_http_requests_total a 200 GET /forged 1")
	r.CountKilled("a", []appside.Request{{Method: "GET", Route: "/true"}})
	expect(t, collect(t, r), "resp_http_requests_killed_total a GET /true 1", "resp_http_requests_total a 200 GET /forged absent")
}
