package display_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

var hostile = "<b>\"'&</b>\u05d7\u05e0\u05d5\u05ea" + strings.Repeat("x", 200)

func TestNumbers(t *testing.T) {
	type form = func(*float64) display.Shown
	for name, c := range map[string]struct {
		form form
		v    float64
		want display.Shown
	}{
		"bytes":            {display.Bytes, 1_234_567, display.Shown{Text: "1.2 MB", Exact: "1,234,567 bytes"}},
		"no bytes":         {display.Bytes, 0, display.Shown{Text: "0 B", Exact: "0 bytes"}},
		"seconds":          {display.Seconds, 11400, display.Shown{Text: "3 h 10 min", Exact: "11,400 s"}},
		"milliseconds":     {display.Seconds, 0.082, display.Shown{Text: "82 ms", Exact: "0.082 s"}},
		"percent":          {display.Percent, 0.125, display.Shown{Text: "13 %", Exact: "0.125 (ratio)"}},
		"next to nothing":  {display.Percent, 0.0001, display.Shown{Text: "<0.1 %", Exact: "0.0001 (ratio)"}},
		"count":            {display.Count, 23104, display.Shown{Text: "23,104", Exact: "23,104"}},
		"rate":             {display.Rate, 41, display.Shown{Text: "41/s", Exact: "41 per second"}},
		"cores":            {display.Cores, 1.5, display.Shown{Text: "150 %", Exact: "1.5 cores"}},
		"a negative count": {display.Count, -2, display.Shown{Text: "-2", Exact: "-2"}},
	} {
		if got := c.form(&c.v); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if got := c.form(nil); got.Text != "–" || got.Exact != "not known" {
			t.Errorf("%s: %+v of what is not known", name, got)
		}
	}
}

func TestTrend(t *testing.T) {
	for name, c := range map[string]struct {
		perSecond   float64
		known       bool
		arrow, text string
	}{
		"not known": {1e6, false, "", ""},
		"level":     {0, true, "→", "level"},
		"slowly":    {1600, true, "→", "level"},
		"up":        {20e3, true, "↗", "1.2 MB/min"},
		"at limit":  {1e5 / 60.0, true, "↗", "100 kB/min"},
		"down":      {-20e3, true, "↘", "-1.2 MB/min"},
	} {
		arrow, words := display.Trend(c.perSecond, c.known)
		if arrow != c.arrow || words.Text != c.text {
			t.Errorf("%s: %q %+v", name, arrow, words)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, v := range []*float64{nil, model.Known(0), model.Known(-5), model.Known(1e12)} {
		if got := display.UnixTime(v); !got.IsZero() {
			t.Errorf("%v is %s", v, got)
		}
	}
	at := display.UnixTime(model.Known(1767346205.9))
	if got := display.ClockOf(at); got.Machine != "2026-01-02T09:30:05Z" || got.UTC != "2026-01-02 09:30:05 UTC" {
		t.Errorf("%+v", got)
	}
	if got := display.ClockOf(at.In(time.FixedZone("", 3600))); got.UTC != "2026-01-02 09:30:05 UTC" {
		t.Errorf("%+v", got)
	}
	if got := display.ClockOf(time.Time{}); got != (display.Clock{}) {
		t.Errorf("%+v", got)
	}
}

func TestLevels(t *testing.T) {
	for l, want := range map[health.Level]display.Level{health.Healthy: display.LevelHealthy, health.Warning: display.LevelWarning, health.Critical: display.LevelCritical} {
		if got := display.LevelOf(l); got != want || got.String() != l.String() {
			t.Errorf("%s is %s", l, got)
		}
	}
	if display.LevelUnknown.String() != "unknown" || display.LevelUnknown > display.LevelHealthy {
		t.Error("what is not known is not below what is healthy")
	}
}

func TestFacts(t *testing.T) {
	var w display.Facts
	w.Add(nil, display.Counted("idle"))
	w.AddNonZero(nil, "leaked")
	w.AddNonZero(model.Known(0), "leaked")
	if len(w) != 0 {
		t.Errorf("%q of nothing", w)
	}
	w.Add(model.Known(0), display.Counted("idle"))
	w.Add(model.Known(58), display.Lasting("oldest"))
	w.AddNonZero(model.Known(9), "leaked")
	if got := strings.Join(w, ", "); got != "0 idle, oldest 58 s, 9 leaked" {
		t.Error(got)
	}
}

func TestThreads(t *testing.T) {
	seen := map[string]string{}
	for _, on := range []string{"cpu", "cpu_queue", "throttled", "gc", "gil", "mysql", "redis", "upstream", "client", "lock", "disk", "sleep", "child", "loop", "other"} {
		words := display.ThreadText(&model.Thread{On: on})
		if words == "" || seen[words] != "" {
			t.Errorf("%s is %q, as %q", on, words, seen[words])
		}
		seen[words] = on
	}
	for _, on := range []string{"", "unknown"} {
		if got := display.ThreadText(&model.Thread{On: on}); got != "waits" {
			t.Errorf("%q is %q", on, got)
		}
	}
	if got := display.ThreadText(&model.Thread{On: "mysql", Peer: hostile}); !strings.Contains(got, hostile) {
		t.Errorf("%q", got)
	}
	frame := model.Frame{Function: "pay", File: "/srv/shop/billing.py", Line: 131}
	rows := display.ThreadRows([]model.Thread{
		{TID: 1, On: "idle"}, {TID: 2, On: "cpu", Seconds: 2},
		{TID: 3, On: "mysql", Seconds: 42, Stack: &model.Stack{View: "checkout", Own: frame}}, {TID: 4, On: "redis", Seconds: 1, Stack: &model.Stack{View: "pay", Inner: frame}},
	})
	var lines []string
	for i := range rows {
		lines = append(lines, rows[i].Line())
	}
	if got := strings.Join(lines, ", "); got != "checkout: pay (billing.py:131), , pay (billing.py:131)" {
		t.Errorf("%q", got)
	}
	if rows := display.ThreadRows(nil); rows != nil {
		t.Errorf("%+v of no thread", rows)
	}
	if got := display.PlaceOf(&model.Stack{}); got != "" {
		t.Errorf("%q of an empty stack", got)
	}
}

// Who waits for whom, as the cells say it.
func TestChains(t *testing.T) {
	victim := func(app, slot string) model.Link { return model.Link{App: app, Slot: slot} }
	victims := []model.Link{victim("shop", "0"), victim("shop", "1"), victim("blog", "0"), victim("shop", "0")}
	for name, c := range map[string]struct {
		chain     model.Chain
		heldUp    string // worker 0 of shop
		byWorker2 string // of shop
	}{
		"nobody known":    {model.Chain{Victims: victims}, "", ""},
		"a worker":        {model.Chain{Victims: victims, Links: []model.Link{victim("shop", "2")}}, "worker 2", "3 workers"},
		"of another app":  {model.Chain{Victims: victims, Links: []model.Link{victim("blog", "2")}}, "worker 2 of blog", ""},
		"a connection":    {model.Chain{Victims: victims, Links: []model.Link{{Connection: 812}}}, "connection 812", ""},
		"the last one":    {model.Chain{Victims: victims, Links: []model.Link{{Connection: 812}, victim("shop", "2")}}, "worker 2", "3 workers"},
		"itself":          {model.Chain{Victims: victims, Links: []model.Link{victim("shop", "0")}}, "", ""},
		"a deadlock":      {model.Chain{Victims: victims, Links: []model.Link{victim("shop", "2")}, Deadlock: true}, "", ""},
		"one of several":  {model.Chain{Victims: victims, Links: []model.Link{{App: "shop", Slot: "2", Candidates: 2}}}, "worker 2", ""},
		"not this worker": {model.Chain{Victims: victims[1:2], Links: []model.Link{victim("shop", "2")}}, "", "1 worker"},
		"a server":        {model.Chain{Victims: victims, Links: []model.Link{{Server: "mysql:main"}}}, "", ""},
	} {
		chains := []model.Chain{c.chain}
		if got := display.HeldUpBy(chains, "shop", "0"); got != c.heldUp {
			t.Errorf("%s: worker 0 waits for %q, want %q", name, got, c.heldUp)
		}
		if got := display.HoldsUp(chains, "shop", "2"); got != c.byWorker2 {
			t.Errorf("%s: worker 2 holds up %q, want %q", name, got, c.byWorker2)
		}
	}
	if display.HeldUpBy(nil, "shop", "0") != "" || display.HoldsUp(nil, "shop", "2") != "" {
		t.Error("somebody waits without a chain")
	}
}
