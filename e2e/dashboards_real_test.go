package e2e_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

// Grafana's defaults: a range of an hour on about a thousand pixels. The scrape interval is a
// setting of the data source.
const (
	shownRange = time.Hour
	shownStep  = 15 * time.Second
)

// enough is how many scrapes there must be: rates of five minutes, once a minute.
const enough = 7

// emptyPanels lists queries that give nothing here, and why. One that does give
// something, or is in no dashboard, is a fault, unless it is up to the host.
var emptyPanels = []emptyPanel{
	{"resp-exporter", "panel 31 Abandoned reads", "A", "no file hangs here", false},
	{"resp-overview", "panel 9 Requests", "B", "there is no day of samples", false},
	{"resp-app", "panel 8 Responses by status code", "B", "there is no day of samples", false},
	{"resp-tasks", "panel 25 Requests", "B", "there is no day of samples", false},
	{"", "annotation Reloads of an app", "", "no app may have been reloaded", true},
	{"resp-overview", "panel 13 Cause", "A", "nothing may be held up", true},
	{"resp-fleet", "panel 1 Apps critical", "A", "no app may be critical", true},
	{"resp-fleet", "panel 2 Apps with a warning", "A", "no app may have a warning", true},
	{"resp-fleet", "panel 3 Apps healthy", "A", "no app may be healthy", true},
	{"resp-fleet", "panel 4 Apps not seen", "A", "each app may be seen", true},
	{"resp-fleet", "panel 5 Exporters down", "A", "each exporter answers", false},
	{"resp-fleet", "panel 6 Need a person", "A", "no rule may need one", true},
	{"resp-fleet", "panel 8 Apps that are not healthy", "", "each app may be healthy", true},
	{"resp-fleet", "panel 9 Verdicts over time", "A", "each app may be healthy", true},
	{"resp-fleet", "panel 11 Apps held up, by cause", "A", "nothing may be held up", true},
	{"resp-fleet", "panel 14 Exporters that do not answer", "A", "each exporter answers", false},
	{"resp-exporter", "panel 4 Rules that need a person", "A", "no rule may need one", true},
	{"resp-app", "panel 51 Incidents", "A", "an incident begins now and then", true},
	{"resp-workers", "panel 28 Memory leak by worker", "A", "a leak is suspected after an hour", true},
	{"resp-workers", "panel 29 Time until", "A", "a leak is suspected after an hour", true},
	{"resp-workers", "panel 30 Memory leak by view", "A", "a leak is suspected after an hour", true},
	{"resp-workers", "panel 38 Suspected leaks", "", "a leak is suspected after an hour", true},
	{"resp-app", "panel 36 Requests cut off", "A", "no worker keeps a memory file", true},
	{"resp-tasks", "panel 32 Restarts of tasks", "A", "no worker keeps a memory file", true},
	{"resp-host", "panel 20 Predicted in 24 hours", "", "there is no hour of samples", false},
	{"resp-host", "panel 22 File systems", "B", "there is no hour of samples", false},
	{"resp-host", "panel 22 File systems", "C", "there is no hour of samples", false},
	{"resp-host", "panel 3 Full within a day", "A", "no disk has to fill up here", true},
}

type emptyPanel struct {
	dashboard, where, refID string // dashboard "": each; where: its beginning; refID "": each
	why                     string
	host                    bool // it may give something on another host
}

// hostMetrics are those of the documentation that some hosts or apps do not have.
// Without the metric, queries that name it may be empty; with it they may not.
var hostMetrics = []string{
	"resp_app_cpu_throttled_seconds_total", "resp_app_oom_kills_total", // control groups
	"resp_pressure_waiting_seconds_total", // a kernel with psi=1
	// workers with a memory file of integrations/flask/resp_flask.py
	"resp_http_requests_killed_total", "resp_http_requests_shed_total", "resp_task_restarts_total", "resp_task_executing", "resp_task_heartbeat_age_seconds",
	"resp_app_gc_collections_total", "resp_app_reports_lost_total", "resp_pool_oldest_checkout_seconds", "resp_pool_waiting_threads",
	// an app that sheds requests, a worker more for a time, a relay
	"resp_heal_throttle_ratio", "resp_heal_holds", "resp_heal_storm_seconds", "resp_heal_storms_total", // the last two: a fleet
	"resp_heal_relay_alerts_total", "resp_heal_relay_bounded_total", "resp_heal_relay_entries_total", "resp_heal_relay_oldest_seconds",
	"resp_heal_relay_sends_total", "resp_heal_relay_up", "resp_heal_relay_waiting", "resp_heal_control_keys", "resp_heal_control_key_writes_total",
}

// TestDashboardsOnRealScrapes checks that each query of each dashboard (panels, variables,
// annotations) returns data from a real Prometheus that has scraped real exporters for
// some minutes, every 15 s or every 60 s, for one instance and for all. The stack takes
// minutes until it has data and is idle meanwhile. So it starts while other tests wait and
// runs beside them, and the queries are a test of their own behind all others in the
// queue.
func TestDashboardsOnRealScrapes(t *testing.T) {
	boards, err := dashboards.Load(dashboardsDir)
	if err != nil {
		t.Fatal(err)
	}
	o := startObserved(t)
	t.Parallel()
	passes(t, 2*time.Second, "the other tests, which wait no longer from now on, are queued before the queries")
	t.Run("after some minutes", func(t *testing.T) {
		t.Parallel()
		o.lasts(t)
		o.faults.check(t)
		e := &evaluation{o: o, missing: o.documented(t), used: map[int]bool{}, more: map[string]int{}, until: time.Now()}
		for _, server := range o.servers {
			for _, instance := range []string{o.instance(), ""} {
				e.all(t, boards, server, instance)
			}
		}
		e.report(t, boards)
		o.drawn(t, boards)
	})
}

// lasts waits until both servers have scraped both exporters often enough.
func (o *observed) lasts(t *testing.T) {
	t.Helper()
	for _, s := range o.servers {
		poll(t, 10*time.Minute, time.Second, func() error {
			n, _, err := prom.One(t.Context(), s.base, `min(count_over_time(up{job="resp"}[1h]))`)
			return all(err, wants(fmt.Sprintf("%d scrapes each %s are enough", int(n), s.interval), n >= enough, true))
		})
	}
}

// documented fails the test for each documented metric that the first exporter does not
// have. It returns those that need not exist on a host and do not.
func (o *observed) documented(t *testing.T) (missing []string) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range o.servers {
		ctx, cancel := context.WithTimeout(t.Context(), scaled(20*time.Second))
		names, err := prom.LabelValues(ctx, s.base, fmt.Sprintf("{instance=%q}", o.instance()), "__name__", time.Now().Add(-shownRange), time.Now())
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `(resp_\\w+)` \\| (\\w+) ").FindAllStringSubmatch(string(page), -1) {
			name := m[1]
			if m[2] == "histogram" {
				name += "_count"
			}
			switch {
			case slices.Contains(names, name):
			case slices.Contains(lateMetrics, name):
			case slices.Contains(hostMetrics, m[1]):
				missing = append(missing, m[1])
			default:
				t.Errorf("each %s: no %s", s.interval, m[1])
			}
		}
	}
	return missing
}

// lateMetrics are those of the documentation that need more time than this test takes.
var lateMetrics = []string{
	"resp_leak_view_growth_bytes_per_second", // a view is named when it is beyond doubt
}

// evaluation is what came of the queries.
type evaluation struct {
	o       *observed
	until   time.Time
	faults  []string
	missing []string           // metrics that this host does not have
	used    map[int]bool       // of emptyPanels
	one     map[string]summary // by query, of the instance asked for last
	more    map[string]int     // by dashboard: queries that give more for all instances than for one
	asked   int
}

// summary is how much a query gave: all, and what of it is a number.
type summary struct {
	series, numbers, infinite int
	sum                       float64
}

// all runs every query of every dashboard; an empty instance is All.
func (e *evaluation) all(t *testing.T, boards []dashboards.Dashboard, server scraped, instance string) {
	t.Helper()
	v := dashboards.Values{Instance: instance, Scrape: server.interval, Range: shownRange, Step: shownStep}
	now := map[string]summary{}
	for _, d := range boards {
		given, empty := map[string]bool{}, map[string][]string{} // by panel
		for i, q := range d.Queries() {
			e.asked++
			expr := q.Fill(v)
			got, err := e.patient(t, server, q, v, alternatives(d, q.Where))
			told := fmt.Sprintf("%s, %s %s, each %s, instance %q: %s: ", d.UID, q.Where, q.RefID, server.interval, instance, strings.Join(strings.Fields(expr), " "))
			known := e.known(q)
			switch {
			case err != nil:
				e.faults = append(e.faults, told+err.Error())
			case got.infinite > 0:
				e.faults = append(e.faults, told+"Inf")
			case got.numbers > 0 && known >= 0 && !emptyPanels[known].host:
				e.faults = append(e.faults, told+"gives something, though "+emptyPanels[known].why)
			case got.numbers > 0, known >= 0, slices.ContainsFunc(e.missing, func(m string) bool { return strings.Contains(expr, m) }):
			case got.series > 0:
				e.faults = append(e.faults, told+"nothing but NaN")
			default:
				empty[q.Where] = append(empty[q.Where], told+"nothing")
			}
			given[q.Where] = given[q.Where] || got.numbers > 0
			key := fmt.Sprint(d.UID, " ", i)
			now[key] = got
			if one := e.one[key]; instance == "" && (got.series > one.series || got.sum > one.sum) {
				e.more[d.UID]++
			}
		}
		for where, faults := range empty {
			if !given[where] || !alternatives(d, where) {
				e.faults = append(e.faults, faults...)
			}
		}
	}
	e.one = now
}

// alternatives reports whether one query of a panel is enough: those of a value in the color
// of its limits exclude each other.
func alternatives(d dashboards.Dashboard, where string) bool {
	return slices.ContainsFunc(d.Panels, func(p dashboards.Panel) bool {
		painted := 0
		for _, o := range p.FieldConfig.Overrides {
			if o.Matcher.ID == "byFrameRefID" {
				painted++
			}
		}
		return p.Where() == where && p.Type == "stat" && painted > 1 && painted == len(p.Targets)
	})
}

// known returns the entry of emptyPanels about a query, or -1.
func (e *evaluation) known(q dashboards.Query) int {
	i := slices.IndexFunc(emptyPanels, func(p emptyPanel) bool {
		return (p.dashboard == "" || p.dashboard == q.Dashboard) && strings.HasPrefix(q.Where, p.where) && (p.refID == "" || p.refID == q.RefID)
	})
	if i >= 0 {
		e.used[i] = true
	}
	return i
}

// patient repeats the queries about the current moment that returned nothing: a worker may
// have just been replaced.
func (e *evaluation) patient(t *testing.T, server scraped, q dashboards.Query, v dashboards.Values, alternative bool) (got summary, err error) {
	t.Helper()
	for range 4 {
		if got, err = e.ask(t, server, q, v); !q.Instant || alternative || err != nil || got.numbers > 0 || e.known(q) >= 0 {
			break
		}
		passes(t, 5*time.Second, "a worker that was just replaced is scraped again")
	}
	return got, err
}

// ask sends a query as Grafana does.
func (e *evaluation) ask(t *testing.T, server scraped, q dashboards.Query, v dashboards.Values) (out summary, err error) {
	t.Helper()
	expr, from := q.Fill(v), e.until.Add(-v.Range)
	if strings.HasPrefix(q.Where, "variable ") {
		return e.values(t, server, q, expr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scaled(20*time.Second))
	defer cancel()
	if q.Instant {
		list, err := prom.Query(ctx, server.base, expr)
		for _, one := range list {
			out.add(one.Value)
		}
		return out, err
	}
	list, err := prom.Range(ctx, server.base, expr, from, e.until, q.Step(v))
	for _, one := range list {
		out.add(one.Values...)
	}
	return out, err
}

// values returns the values of a variable; of instance both exporters must be there.
func (e *evaluation) values(t *testing.T, server scraped, q dashboards.Query, expr string) (out summary, err error) {
	t.Helper()
	selector, label, ok := dashboards.LabelValues(expr)
	if !ok {
		return out, fmt.Errorf("is no label_values(…)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), scaled(20*time.Second))
	defer cancel()
	list, err := prom.LabelValues(ctx, server.base, selector, label, e.until.Add(-shownRange), e.until)
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	out.series, out.numbers = len(list), len(list)
	if err == nil && q.Where == "variable instance" && out.series != 2 {
		err = fmt.Errorf("gives %q, and not both instances", list)
	}
	return out, err
}

// add counts the values of one series.
func (s *summary) add(values ...float64) {
	s.series++
	for _, v := range values {
		switch {
		case math.IsNaN(v):
		case math.IsInf(v, 0):
			s.infinite++
		default:
			s.numbers++
			s.sum += v
		}
	}
}

// report fails the test for all of it at once, a line each.
func (e *evaluation) report(t *testing.T, boards []dashboards.Dashboard) {
	t.Helper()
	for i, p := range emptyPanels {
		if !e.used[i] {
			e.faults = append(e.faults, fmt.Sprintf("%s, %s %s is in emptyPanels, and in no dashboard", p.dashboard, p.where, p.refID))
		}
	}
	for _, d := range boards {
		if e.more[d.UID] == 0 {
			e.faults = append(e.faults, d.UID+": no query gives more for all instances than for one")
		}
	}
	if len(e.faults) > 0 {
		t.Errorf("%d faults:\n%s", len(e.faults), strings.Join(e.faults, "\n"))
	}
	t.Logf("asked %d times; %d queries are known to be empty", e.asked, len(emptyPanels))
}
