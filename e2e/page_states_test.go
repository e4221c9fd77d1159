package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

// states is a source that always returns the same state. The state of half a minute before
// had no process of the app for a moment.
type states struct {
	state *model.State
	at    time.Time
}

func (s states) Latest() (*model.State, health.Evaluation) {
	if s.state == nil {
		return &model.State{}, health.Evaluation{At: s.at}
	}
	in := health.Input{State: s.state, At: s.at, Limits: config.Default().Thresholds, Interval: time.Minute}
	for i := range s.state.MySQL {
		in.MySQL = append(in.MySQL, s.state.MySQL[i].Name)
	}
	for i := range s.state.Redis {
		in.Redis = append(in.Redis, s.state.Redis[i].Name)
	}
	before := in
	before.At, before.State = s.at.Add(-10*time.Second), &model.State{Apps: []model.App{{Name: "shop"}}, Disks: s.state.Disks}
	_, then := health.Evaluate(before, health.State{})
	j, _ := health.Evaluate(in, then)
	return s.state, j
}

// servePage serves the page of a state and returns its address. The answers have the
// time of the state.
func servePage(t *testing.T, now time.Time, s *model.State, with func(*web.Options)) string {
	t.Helper()
	o := web.Options{
		Source: states{s, now}, Host: "web-1", Version: "0.1.0", Started: now.Add(-75 * time.Hour), Now: func() time.Time { return now },
		StatsD: func() []string { return []string{"udp://127.0.0.1:9125"} }, History: charts.New(),
	}
	if s != nil {
		for i := range 360 {
			o.History.Record(now.Add(time.Duration(i-359)*5*time.Second), s)
		}
	}
	if with != nil {
		with(&o)
	}
	mux := http.NewServeMux()
	web.New(o).Register(mux)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// remember sets the past of a page: h, and samples of five minutes.
func remember(o *web.Options, h past.History, now time.Time) {
	o.Past, o.Spent = h, charts.NewSpent()
	for i := range 61 {
		o.Spent.Record(now.Add(time.Duration(i-60)*5*time.Second), webtest.Totals("shop", float64(i)*5))
	}
}

// page is one page that the browser looks at.
type page struct {
	Name  string   `json:"name"`
	URL   string   `json:"url"`
	Tall  int      `json:"tall"` // pixels at most; 0: any
	Words []string `json:"words"`
}

// The status page of states that no real server is in so soon, in a real browser: many
// apps, many workers, a moment of the past, no app. SHOTS=DIR keeps the pictures.
func TestPageStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)
	show := func(p page, path string, s *model.State, with func(*web.Options)) page {
		p.URL = servePage(t, now, s, with) + path
		return p
	}
	held := func(o *web.Options) {
		remember(o, webtest.Past{Now: now, App: "shop"}, now)
		o.Healing = func() heal.Snapshot { return heal.Snapshot{Mode: "enforce", Used: true, Human: []string{"locks"}} }
	}
	ended := func(text string) func(*web.Options) {
		return func(o *web.Options) {
			app := "shop"
			if text != "" {
				app = text
			}
			remember(o, webtest.Ended{Past: webtest.Past{Now: now, App: app}, Text: text}, now)
		}
	}
	four := func() *model.State { return webtest.Workers(4, now) }
	hostile := "<b>\"'&</b>\u05d7\u05e0\u05d5\u05ea\u0627\u0644" + strings.Repeat("x", 200)
	pages := []page{
		show(page{Name: "healthy", Words: []string{"shop answers", "was held up by the upstream server", "Last seen", "Recovering"}}, "/", webtest.Healthy(now), ended("")),
		show(page{Name: "past", Words: []string{"waits for worker 2", "holds up 3 workers", "Where the time goes", "a person is needed", "Incidents", "Last words"}}, "/", four(), held),
		show(page{Name: "moment", Words: []string{"from 30 s before to 30 s after", "pay (billing.py:88)"}}, "/?app=shop&at=2026-01-02T09:15:30Z", four(), held),
		show(page{Name: "down", Words: []string{"held up by Redis cache", "does not answer", "9 leaked"}}, "/", webtest.Down(now), ended("")),
		show(page{Name: "hostile", Words: []string{"does not answer", "from 30 s before to 30 s after"}}, "/?at=2026-01-02T09:15:30Z&app="+url.QueryEscape(hostile), webtest.Hostile(hostile, now), ended(hostile)),
		show(page{Name: "apps", Tall: 2400, Words: []string{"app29", "Charts of the last 30 minutes"}}, "/", webtest.Many(30, 2, now), nil),
		show(page{Name: "sick", Tall: 2400, Words: []string{"app29", "held up by a lock in MySQL main"}}, "/", webtest.Many(30, 30, now), held),
		show(page{Name: "workers", Words: []string{"200 workers"}}, "/", webtest.Workers(200, now), nil),
		show(page{Name: "nothing", Tall: 800, Words: []string{"No app found"}}, "/", nil, nil),
		show(page{Name: "runbooks", Words: []string{"RespQueueFull"}}, "/runbooks", nil, nil),
	}
	browse(t, "states.mjs", map[string]any{"pages": pages, "now": now, "shots": os.Getenv("SHOTS")})
}

// The page of 200 workers, or of 30 apps, is loaded within a second.
func TestPageLoad(t *testing.T) {
	now := time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)
	pages := []page{
		{Name: "200 workers", URL: servePage(t, now, webtest.Workers(200, now), nil) + "/"},
		{Name: "30 apps, 2 of them sick", URL: servePage(t, now, webtest.Many(30, 2, now), nil) + "/"},
	}
	browse(t, "load.mjs", map[string]any{"pages": pages, "load": scaled(time.Second).Milliseconds()})
}

// browse runs a script of the directory browser with an argument, and fails the test if the
// script fails.
func browse(t *testing.T, script string, argument any) {
	t.Helper()
	need(t, "chromium", "node")
	for _, name := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat("browser/node_modules/" + name); err != nil {
			t.Fatalf("%s is missing: run npm ci in e2e/browser", name)
		}
	}
	given, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scaled(4*time.Minute))
	defer cancel()
	look := exec.CommandContext(ctx, "node", script, string(given))
	look.Dir = "browser"
	out, err := look.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}
