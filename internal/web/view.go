package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
)

const (
	cellsUpTo   = 24  // workers shown as cells; more become squares
	squaresUpTo = 512 // squares shown, the worst first
	adviceUpTo  = 8   // recommendations shown, the most useful first
	docsURL     = "https://github.com/resp-exporter/resp-exporter#readme"
)

// section is a part of the page that the script replaces as a whole.
type section struct {
	ID   string
	HTML template.HTML
}

// The data of the templates.
type (
	headerView struct {
		Host, Version string
		Up            shown
		Last          clock
	}
	appView struct {
		app

		RestartCount      *float64
		Level             level
		Total             string
		Since             clock
		Cells             []cell
		Squares           bool
		Hidden            int
		QueueAt, MemoryAt level
		ErrorsAt, CPUAt   level
		Pool              *pool // the fullest
		PoolAt            level
	}
	cell struct {
		worker
		Key, Word, Shape string
		Memory           *float64
		Arrow            string
		Trend            shown
		Age              *float64
		Since            clock
		Rows             []threadRow // what its threads do
		Place            string      // view and line of the request that has waited longest
		HeldUpBy         string      // the root of its wait: "worker 2"; "": nobody known
	}
	meter struct {
		Name, Hint string
		Value      *float64
		Width      string
		At         level
	}
	footerView struct {
		Metrics, Docs string
		Series        string
	}
	// clock is a time, for machines and in UTC for people. The script converts it
	// to local time.
	clock struct{ Machine, UTC string }
)

// renderPage writes the page to out.
func (w *Web) renderPage(out io.Writer) error {
	s, v := w.look()
	sections, err := w.renderSections(s, v)
	if err != nil {
		return err
	}
	view := struct {
		Title, Layout, StatsD          string
		Head, Verdict, Advice          section
		Apps                           []section
		Names                          []string
		Healing                        section
		Stores, Host, Unseen, Footnote section
	}{Layout: layoutOf(s), Title: w.opts.Host, StatsD: w.opts.StatsD()}
	view.Head, view.Verdict, view.Advice, view.Healing = sections[0], sections[1], sections[2], sections[3]
	rest := sections[4:]
	view.Apps, rest = rest[:len(rest)-4], rest[len(rest)-4:]
	view.Stores, view.Host, view.Unseen, view.Footnote = rest[0], rest[1], rest[2], rest[3]
	return w.page.ExecuteTemplate(out, "page", view)
}

// layoutOf returns the names of the apps. When it changes, the script reloads the
// page.
func layoutOf(s pageState) string {
	names := make([]string, len(s.Apps))
	for i := range s.Apps {
		names[i] = s.Apps[i].Name
	}
	return strings.Join(names, "\n")
}

// renderSections returns header, verdict, advice, healing, one section per app,
// stores, host, unseen and footer, in this order.
func (w *Web) renderSections(s pageState, v verdict) ([]section, error) {
	now := w.opts.Now()
	var out []section
	var failed error
	add := func(id, name string, view any) {
		var b bytes.Buffer
		if err := w.page.ExecuteTemplate(&b, name, view); err != nil && failed == nil {
			failed = fmt.Errorf("section %s: %w", id, err)
		}
		out = append(out, section{id, template.HTML(b.String())}) //nolint:gosec // html/template has escaped it
	}
	up := now.Sub(w.opts.Started).Seconds()
	add("header", "header", headerView{w.opts.Host, w.opts.Version, showSeconds(&up), clockOf(s.At)})
	add("verdict", "verdict", v)
	add("advice", "advice", adviceOf(&s.health))
	add("healing", "healing", w.healing())
	for i := range s.Apps {
		add("app:"+s.Apps[i].Name, "app", w.appView(&s, &s.Apps[i]))
	}
	add("stores", "stores", s.Stores)
	add("host", "host", hostMeters(&s))
	add("unseen", "unseen", notSeen(&s))
	held, refused := w.opts.History.Size()
	series := fmt.Sprintf("Charts: the last 30 min in memory, %s bytes a series, %d of %d series", health.Exact(charts.BytesPerSeries), held, charts.MaxSeries)
	if refused > 0 {
		series += fmt.Sprintf(", %d not stored", refused)
	}
	add("footer", "footer", footerView{strings.TrimPrefix(w.opts.MetricsPath, "/"), docsURL, series})
	return out, failed
}

// adviceView is the recommendations; Hidden is the number of those not shown.
type adviceView struct {
	Lines  []string
	Hidden int
}

func adviceOf(j *health.Evaluation) adviceView {
	lines := j.Recommendations()
	n := min(len(lines), adviceUpTo)
	return adviceView{lines[:n], len(lines) - n}
}

func (w *Web) appView(s *pageState, a *app) appView {
	v := appView{
		app: *a, RestartCount: &a.Restarts, Since: clockOf(unixTime(a.Started)), Total: text.Plural(a.total(), "worker", "workers"),
		QueueAt: s.levelAt(a.Name, "request_queue", a.Queue), MemoryAt: s.levelAt(a.Name, "memory", a.MemoryRatio),
		ErrorsAt: s.levelAt(a.Name, "error_rate", a.Requests.ErrorRatio), CPUAt: s.levelAt(a.Name, "cpu", a.CPU),
	}
	if v.Pool = a.fullestPool(); v.Pool != nil {
		v.PoolAt = s.levelAt(a.Name, "connection_pool", v.Pool.Utilization)
	}
	if st := s.health.Of(a.Name); st != nil {
		v.Level = levelOf(st.Overall)
	}
	workers := slices.Clone(a.Workers)
	if v.Squares = len(workers) > cellsUpTo; v.Squares {
		slices.SortFunc(workers, compareByState)
	}
	v.Hidden = max(0, len(workers)-squaresUpTo)
	for _, x := range workers[:len(workers)-v.Hidden] {
		v.Cells = append(v.Cells, w.cell(s, a, x))
	}
	return v
}

func (w *Web) cell(s *pageState, a *app, x worker) cell {
	c := cell{worker: x, Key: a.Name + "/" + x.Slot, Memory: x.memory(), Age: ageAt(s.At, x.Started), Since: clockOf(unixTime(x.Started))}
	c.Arrow, c.Trend = trendText(w.opts.History.Trend(a.Name, x.Slot))
	c.Rows, c.HeldUpBy = threadRows(x.Threads), heldUpBy(s.state.Chains, a.Name, x.Slot)
	if len(c.Rows) > 0 {
		c.Place = c.Rows[0].line()
	}
	c.Word = x.State
	switch x.State {
	case "idle":
		c.Shape = "○"
	case "busy":
		c.Shape = "●"
	case "stuck":
		c.Shape = "■"
	case "booting":
		c.Shape = "◇"
	default:
		c.Word, c.Shape = "unknown", "?"
	}
	return c
}

func hostMeters(s *pageState) []meter {
	var out []meter
	add := func(name, hint string, v *float64, at level) {
		m := meter{Name: name, Hint: hint, Value: v, At: at, Width: "0"}
		if v != nil {
			m.Width = fmt.Sprintf("%.1f", 100*min(1, max(0, *v)))
			out = append(out, m)
		}
	}
	host := &s.state.Host
	add("memory", "used memory of the host", host.Memory, s.levelAt("", "memory", host.Memory))
	add("CPU", "busy CPU time of the host", host.CPU, s.levelAt("", "cpu", host.CPU))
	for _, d := range disksOf(s.state) {
		add("disk "+d.Mountpoint, "used space of the file system at "+d.Mountpoint, &d.Usage, s.levelAt("", "disk", &d.Usage))
	}
	for _, p := range pressuresOf(s.state) {
		name, hint := p.Resource+" pressure", "share of time during which at least one task waited for "+p.Resource
		if p.Kind == "full" {
			name, hint = p.Resource+" pressure (full)", "share of time during which all tasks waited for "+p.Resource
		}
		add(name, hint, &p.Ratio, levelUnknown)
	}
	return out
}

// Because returns why a collector is not available, in words.
func (u unseen) Because() string {
	if u.Detail != "" {
		return u.Detail
	}
	switch u.Reason {
	case "permission":
		return "permission denied by the kernel or a server"
	case "unsupported":
		return "not supported by this kernel or server"
	case "not_found":
		return "its source does not exist"
	case "in_use":
		return "the address is in use by another program"
	case "timeout":
		return "it did not answer in time"
	default:
		return "it failed: see the exporter's log"
	}
}

// look is the latest gather, put together and judged.
func (w *Web) look() (pageState, verdict) {
	s := assemble(w.opts.Source.Latest())
	s.ThreadsAt = s.At
	if w.opts.Threads != nil {
		s.ThreadsAt = w.opts.Now()
		s.refreshThreads(w.opts.Threads)
		s.refreshChains(w.opts.Threads)
	}
	return s, s.verdict(w.opts.Now())
}
