package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

var _ past.History = webtest.Past{}

// remembers returns options with a made-up past of shop.
func remembers(s *model.State) web.Options {
	o := options(s)
	o.Past = webtest.Past{Now: moment, App: "shop"}
	o.Spent = charts.NewSpent()
	for i := range 61 {
		o.Spent.Record(moment.Add(time.Duration(i-60)*5*time.Second), webtest.Totals("shop", float64(i)*5))
	}
	return o
}

// The page at a moment of the past, and the strip's links to it, for any way to write the
// time.
func TestMoment(t *testing.T) {
	h := serve(remembers(webtest.Workers(4, moment)))
	for at, want := range map[string]string{
		"2026-01-02T09:15:30Z":        `datetime="2026-01-02T09:15:30Z"`,
		"2026-01-02T10:15:30%2B01:00": `datetime="2026-01-02T09:15:30Z"`,
		"09:15":                       `datetime="2026-01-02T09:15:00Z"`,
		"23:15:10":                    `datetime="2026-01-01T23:15:10Z"`,
	} {
		page := get(t, h, "/?app=shop&at="+at).Body.String()
		if !strings.Contains(page, `id="moment"`) || !strings.Contains(page, want) {
			t.Errorf("%s: the page has no moment with %s", at, want)
		}
	}
	page := get(t, h, "/").Body.String()
	links := regexp.MustCompile(`href="(\?app=shop&amp;at=[^"]*)#moment"`).FindAllStringSubmatch(page, -1)
	if strings.Contains(page, `id="moment"`) || len(links) < 60 {
		t.Fatalf("%d links to moments", len(links))
	}
	if there := get(t, h, "/"+strings.ReplaceAll(links[45][1], "&amp;", "&")).Body.String(); !strings.Contains(there, `class="chosen"`) {
		t.Error("the column that was clicked is not marked")
	}
	for _, path := range []string{"/", "/api/v1/page"} {
		if rec := get(t, h, path+"?app=shop&at=yesterday"); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d for a time that is none", path, rec.Code)
		}
		if rec := get(t, h, path+"?app="+strings.Repeat("x", 301)); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d for a name that is too long", path, rec.Code)
		}
	}
}

// hostilePast is a past in which all texts are markup.
type hostilePast struct {
	webtest.Past

	evil string
}

func (p hostilePast) Top(app string, from, to time.Time, limit int) history.Top {
	t := p.Past.Top(app, from, to, limit)
	for i := range t.Rows {
		r := &t.Rows[i]
		r.View, r.On, r.Peer, r.Digest, r.Line = p.evil, p.evil, p.evil, p.evil, model.Frame{Function: p.evil, File: p.evil, Line: 1}
		r.Blocker = &history.Blocker{App: p.evil, Slot: p.evil, Peer: p.evil, Line: r.Line}
	}
	return t
}

func (p hostilePast) Incidents(int) []model.Incident {
	return []model.Incident{{ID: p.evil, App: p.evil, Start: moment, Cause: model.Cause(p.evil), Peer: p.evil, Ends: map[string]int{p.evil: 1}, Actions: []string{p.evil}}}
}

func (p hostilePast) LastWords(int) []model.LastWords {
	stack := &model.Stack{View: p.evil, Route: p.evil, Own: model.Frame{Function: p.evil, File: p.evil, Line: 1}}
	return []model.LastWords{{App: p.evil, Slot: p.evil, Ended: moment, Reason: p.evil, Digest: p.evil, Thread: model.Thread{On: p.evil, Peer: p.evil, Stack: stack}, Blocker: &model.Link{App: p.evil, Peer: p.evil}}}
}

func TestHostilePastIsEscaped(t *testing.T) {
	const evil = `</a><script>alert("1")</script>'"&`
	o := remembers(webtest.Workers(4, moment))
	o.Past = hostilePast{webtest.Past{Now: moment, App: "shop"}, evil}
	o.Spent = charts.NewSpent()
	for i := range 2 {
		totals := webtest.Totals("shop", float64(i))
		totals[0].Views[0].Name = evil
		o.Spent.Record(moment.Add(time.Duration(i)*time.Second), totals)
	}
	page := get(t, serve(o), "/?app=shop&at=09:15").Body.String()
	if strings.Contains(page, "<script>") || strings.Contains(page, `alert("`) {
		t.Errorf("a text reached the page unescaped:\n%s", page)
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 15 {
		t.Errorf("the texts are on the page only %d times", n)
	}
}

// shape returns which apps a page shows whole and which in a line, in their order.
func shape(page string) (whole, lines []string) {
	for _, m := range regexp.MustCompile(`<article class="app" id="app:([^"]*)"`).FindAllStringSubmatch(page, -1) {
		whole = append(whole, m[1])
	}
	for _, m := range regexp.MustCompile(`<li id="app:([^"]*)"`).FindAllStringSubmatch(page, -1) {
		lines = append(lines, m[1])
	}
	return whole, lines
}

// Of many apps the worst come first and are shown completely, and so is the requested
// one.
func TestManyApps(t *testing.T) {
	for name, c := range map[string]struct {
		apps, sick int
		query      string
		whole      string
		lines      int
		banner     int
	}{
		"two healthy":      {2, 0, "", "app00 app01", 0, 0},
		"one sick of two":  {2, 1, "", "app00 app01", 0, 1},
		"all healthy":      {30, 0, "", "", 30, 0},
		"two sick":         {30, 2, "", "app00 app01", 28, 2},
		"all sick":         {30, 30, "", "app00 app01", 28, 5},
		"asked for":        {30, 1, "?app=app17", "app00 app17", 28, 1},
		"asked for a line": {30, 0, "?app=app17", "app17", 29, 0},
		"of no such app":   {30, 0, "?app=nobody", "", 30, 0},
	} {
		t.Run(name, func(t *testing.T) {
			page := get(t, serve(options(webtest.Many(c.apps, c.sick, moment))), "/"+c.query).Body.String()
			whole, lines := shape(page)
			if strings.Join(whole, " ") != c.whole || len(lines) != c.lines {
				t.Errorf("whole: %v, %d in lines", whole, len(lines))
			}
			banner, _, _ := strings.Cut(page, `id="announce"`)
			if n := strings.Count(banner, `href="#app:`); n != c.banner {
				t.Errorf("%d links in the banner", n)
			}
			if c.query == "?app=nobody" && !strings.Contains(banner, "No app nobody is found") {
				t.Error("the page does not say that there is no such app")
			}
		})
	}
}

// A victim names its root, and the root says how many wait for it.
func TestRootOfCells(t *testing.T) {
	page := get(t, serve(options(webtest.Workers(4, moment))), "/").Body.String()
	if n := strings.Count(page, "→ waits for worker 2"); n != 3 {
		t.Errorf("%d cells wait for worker 2", n)
	}
	if n := strings.Count(page, "holds up 3 workers</b>"); n != 1 {
		t.Errorf("%d cells hold others up", n)
	}
}

// The banner says that a person is needed, also to screen readers.
func TestPersonInBanner(t *testing.T) {
	for name, c := range map[string]struct {
		human    []string
		awaiting int
		want     bool
	}{"nobody": {nil, 0, false}, "a rule": {[]string{"leaks"}, 0, true}, "five rules": {[]string{"a", "b", "c", "d", "e"}, 0, true}, "a plan": {nil, 1, true}} {
		o := options(fullSample())
		o.Healing = func() heal.Snapshot { return heal.Snapshot{Used: true, Human: c.human, Awaiting: c.awaiting} }
		page := get(t, serve(o), "/").Body.String()
		banner, _, _ := strings.Cut(page, `id="announce"`)
		key := regexp.MustCompile(`data-key="([^"]*)"`).FindStringSubmatch(banner)
		if got := strings.Contains(banner, `href="#healing"`); got != c.want || strings.Contains(key[1], "a person is needed") != c.want {
			t.Errorf("%s: %v, key %s", name, got, key[1])
		}
	}
}

// What is configured decides what the page says where no request is known.
func TestNoRequests(t *testing.T) {
	quiet := func() *model.State {
		s := webtest.Workers(4, moment)
		s.Requests = nil
		return s
	}
	at := func(open ...string) func() []string { return func() []string { return open } }
	on := func() []string { return []string{"udp://127.0.0.1:9125"} }
	none := regexp.MustCompile(`<p class="quiet none-known">([^\n]*)</p>`)
	for name, c := range map[string]struct {
		s      *model.State
		statsd func() []string
		last   time.Duration // how long ago there were requests; 0: never
		want   string
	}{
		"requests come":  {webtest.Workers(4, moment), on, 0, ""},
		"not known":      {quiet(), nil, 0, ""},
		"off":            {quiet(), at(), 0, "statsd.listen"},
		"on, never any":  {quiet(), on, 0, "--statsd-host"},
		"on, none since": {quiet(), on, 20 * time.Minute, "2026-01-02T09:09:05Z"},
		"cannot be opened": {func() *model.State {
			s := quiet()
			s.Collectors = []model.Collector{{Name: "statsd", Reason: "in_use"}}
			return s
		}(), at(), 0, "in use"},
	} {
		o := options(c.s)
		o.StatsD = c.statsd
		if c.last != 0 {
			o.History = charts.New()
			o.History.Record(moment.Add(-c.last), webtest.Workers(4, moment))
			o.History.Record(moment.Add(-c.last/2), quiet())
		}
		m := none.FindStringSubmatch(get(t, serve(o), "/").Body.String())
		if (m != nil) != (c.want != "") || m != nil && !strings.Contains(m[1], c.want) {
			t.Errorf("%s: %q, want %q", name, m, c.want)
		}
	}
}

// Each rule of the exporter's health that has a runbook links to it, and each firing
// alert that has one.
func TestLinksToRunbooks(t *testing.T) {
	o := options(troubleSample())
	o.Healing = healingSample
	page := get(t, serve(o), "/").Body.String()
	books := get(t, serve(o), "/runbooks").Body.String()
	links := regexp.MustCompile(`href="runbooks#([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 5 {
		t.Fatalf("%d links", len(links))
	}
	for _, l := range links {
		if !strings.Contains(books, `id="`+l[1]+`"`) {
			t.Errorf("the runbooks have no section %s", l[1])
		}
	}
	if !strings.Contains(page, `href="runbooks#resppoolleak"><b>RespPoolLeak</b>`) || strings.Contains(page, "#diskfull") {
		t.Error("a firing alert of ours is no link, or another one is")
	}
}

// Each rule of the exporter's health has an alert whose runbook exists.
func TestAlertsOfRules(t *testing.T) {
	books := get(t, serve(options(fullSample())), "/runbooks").Body.String()
	for _, rule := range []string{
		"app_down", "workers", "request_queue", "error_rate", "response_time", "memory", "cpu", "disk", "pool", "pool_leak", "mysql", "connections",
		"query_time", "redis", "cache_hit_rate", "sessions", "task_age", "task_workers", "task_orphaned",
	} {
		for _, app := range []string{"", "shop"} {
			alert := web.AlertOf(health.Subject{App: app, Rule: rule})
			if alert == "" || !strings.Contains(books, `id="`+strings.ToLower(alert)+`"`) {
				t.Errorf("%s of %q: the alert %q has no runbook", rule, app, alert)
			}
		}
	}
	if alert := web.AlertOf(health.Subject{Rule: "nothing"}); alert != "" {
		t.Errorf("an unknown rule has the alert %s", alert)
	}
}

// Each cause has words.
func TestCauseWords(t *testing.T) {
	seen := map[string]model.Cause{}
	for _, c := range []model.Cause{
		model.CauseCPU, model.CauseCPUThrottled, model.CauseMemory, model.CauseWorkers, model.CausePool, model.CauseDBLock, model.CauseDBSlow, model.CauseDBDown, model.CauseRedis,
		model.CauseUpstream, model.CauseGIL, model.CauseGC, model.CauseLock, model.CauseDisk, model.CauseTasks, model.CauseSlowClients, model.CauseLoopBlocked,
	} {
		words := past.CauseText(c, "mysql:main")
		if other := seen[words]; words == "" || other != "" {
			t.Errorf("%s is %q, as %q", c, words, other)
		}
		seen[words] = c
	}
	if got := past.CauseText("", ""); got != "" {
		t.Errorf("no cause is %q", got)
	}
}
