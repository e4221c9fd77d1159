package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

// states is a source that always returns the same state.
type states struct {
	state *model.State
	at    time.Time
}

func (s states) Latest() (*model.State, health.Evaluation) {
	if s.state == nil {
		return &model.State{}, health.Evaluation{At: s.at}
	}
	j, _ := health.Evaluate(health.Input{State: s.state, At: s.at, Limits: config.Default().Thresholds, Interval: time.Second}, health.State{})
	return s.state, j
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
	need(t, "chromium", "node")
	if _, err := os.Stat("browser/node_modules/axe-core"); err != nil {
		t.Fatal("axe-core is missing: run npm ci in e2e/browser")
	}
	now := time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)
	show := func(p page, path string, s *model.State, with func(*web.Options)) page {
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
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		p.URL = server.URL + path
		return p
	}
	past := func(o *web.Options) {
		o.Past, o.Spent = webtest.Past{Now: now, App: "shop"}, charts.NewSpent()
		for i := range 61 {
			o.Spent.Record(now.Add(time.Duration(i-60)*5*time.Second), webtest.Totals("shop", float64(i)*5))
		}
		o.Healing = func() heal.Snapshot { return heal.Snapshot{Mode: "enforce", Used: true, Human: []string{"locks"}} }
	}
	four := func() *model.State { return webtest.Workers(4, now) }
	pages := []page{
		show(page{Name: "past", Words: []string{"waits for worker 2", "holds up 3 workers", "Where the time goes", "a person is needed", "Incidents", "Last words"}}, "/", four(), past),
		show(page{Name: "moment", Words: []string{"What took the time in the minute around it", "pay (billing.py:88)"}}, "/?app=shop&at=2026-01-02T09:15:30Z", four(), past),
		show(page{Name: "apps", Tall: 2400, Words: []string{"app29", "Charts of the last 30 minutes"}}, "/", webtest.Many(30, 2, now), nil),
		show(page{Name: "sick", Tall: 2400, Words: []string{"app29"}}, "/", webtest.Many(30, 30, now), past),
		show(page{Name: "workers", Words: []string{"200 workers"}}, "/", webtest.Workers(200, now), nil),
		show(page{Name: "nothing", Tall: 800, Words: []string{"No app found"}}, "/", nil, nil),
		show(page{Name: "runbooks", Words: []string{"RespQueueFull"}}, "/runbooks", nil, nil),
	}
	given, err := json.Marshal(map[string]any{"pages": pages, "shots": os.Getenv("SHOTS"), "load": scaled(time.Second).Milliseconds()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scaled(5*time.Minute))
	defer cancel()
	look := exec.CommandContext(ctx, "node", "states.mjs", string(given))
	look.Dir = "browser"
	out, err := look.CombinedOutput()
	if err != nil {
		t.Fatalf("node states.mjs: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
