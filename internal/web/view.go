package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
)

const (
	cellsUpTo   = 24  // workers shown as cells; more become squares
	squaresUpTo = 512 // squares shown, the worst first
	adviceUpTo  = 8   // recommendations shown, the most useful first
	docsURL     = "https://github.com/resp-exporter/resp-exporter#readme"
	docsFiles   = "https://github.com/resp-exporter/resp-exporter/blob/main/docs/"
)

// The data of the templates.
type (
	headerView struct {
		Host, Version string
		Up            display.Shown
		Last          display.Clock
	}
	appView struct {
		app

		More              []moreView // other numbers of it, in one line
		Level             display.Level
		Total             string
		Since             display.Clock
		Cells             []cell
		Squares           bool
		Hidden            int
		QueueAt, MemoryAt display.Level
		ErrorsAt, CPUAt   display.Level
		Pool              *parts.Pool // the fullest
		PoolAt            display.Level
		Strip             *past.Strip
		Moment            *past.Moment
		Spent             *past.Spent
		NoRequests        *noRequestsView
		HeldUp            string // what holds it up: "a lock in MySQL main"; "": nothing
		HeldUpSince       display.Clock
		InUse, Saturation *float64
	}
	moreView struct {
		Shown display.Shown
		Words string
	}
	cell struct {
		worker
		Key, Word, Shape string
		Memory           *float64
		Arrow            string
		Trend            display.Shown
		Age              *float64
		Since            display.Clock
		Rows             []display.ThreadRow // what its threads do
		Place            string              // view and line of the request that has waited longest
		WaitsFor         string              // the root of its wait: "worker 2"; "": nobody known
		HoldsUp          string              // "3 workers" that wait for it; "": none
	}
	meter struct {
		Name, Hint string
		Value      *float64
		Width      string
		At         display.Level
	}
	footerView struct {
		Metrics, Docs string
		Series        string
	}
)

// pageView is the data of the page.
type pageView struct {
	Title, Layout string
	StatsD        string                   // where apps send their lines; "": the exporter listens for none
	HTML          map[string]template.HTML // of the sections by their id
	Whole         []string                 // the apps that are shown whole
	Fold          bool                     // their charts are folded
}

// renderPage writes the whole page to out; with an error out may have a part of it.
func (w *Web) renderPage(out io.Writer, q past.Asked) error {
	s, v := w.look()
	whole, lines := s.divide(q)
	sections, err := w.renderSections(&s, &v, q, whole, lines)
	if err != nil {
		return err
	}
	view := pageView{Title: w.opts.Host, StatsD: w.opts.SendTo(), Layout: layout(&s, whole), HTML: sections, Fold: len(lines) > 0}
	for i := range whole {
		view.Whole = append(view.Whole, whole[i].Name)
	}
	return w.page.ExecuteTemplate(out, "page", view)
}

// renderSections returns the sections of the page as HTML, by id; the script replaces each
// as a whole. Its error is that of the first template that failed.
func (w *Web) renderSections(s *pageState, v *verdict, q past.Asked, whole, lines []app) (map[string]template.HTML, error) {
	out := make(map[string]template.HTML, 12+len(whole))
	var failed error
	add := func(id, name string, view any) {
		var b bytes.Buffer
		if err := w.page.ExecuteTemplate(&b, name, view); err != nil && failed == nil {
			failed = fmt.Errorf("section %s: %w", id, err)
		}
		out[id] = template.HTML(b.String()) //nolint:gosec // html/template has escaped it
	}
	up := w.opts.Now().Sub(w.opts.Started).Seconds()
	add("header", "header", headerView{w.opts.Host, w.opts.Version, display.Seconds(&up), display.ClockOf(s.At)})
	healing := w.healing()
	v.Person = healing.person()
	v.note(s, q)
	add("verdict", "verdict", v)
	add("advice", "advice", w.adviceOf(s, v))
	add("healing", "healing", healing)
	for i := range whole {
		add("app:"+whole[i].Name, "app", w.appView(s, &whole[i], q))
	}
	add("lines", "lines", s.linesOf(lines, len(whole) > 0))
	add("past", "past", w.past.List())
	add("stores", "stores", s.Stores)
	add("host", "host", hostMeters(s))
	add("unseen", "unseen", notSeen(s))
	add("footer", "footer", w.footer())
	return out, failed
}

// footer returns the footer: the links, and what of the memory and the disk the charts and
// the history use.
func (w *Web) footer() footerView {
	held, refused := w.opts.History.Size()
	series := fmt.Sprintf("Charts: the last 30 min in memory, %s bytes a series, %d of %d series", health.Exact(charts.BytesPerSeries), held, charts.MaxSeries)
	if refused > 0 {
		series += fmt.Sprintf(", %d not stored", refused)
	}
	if w.past.Remembers() {
		k := w.opts.Past.Kept()
		series += fmt.Sprintf(". History: %s of %s", health.FormatBytes(float64(k.Bytes)), health.FormatBytes(float64(k.MaxBytes)))
	}
	return footerView{strings.TrimPrefix(w.opts.MetricsPath, "/"), docsURL, series}
}

// appView returns an app as the page shows it in full: with all workers by slot up to
// cellsUpTo; of more, the worst ones, at most squaresUpTo, and the number of those hidden.
func (w *Web) appView(s *pageState, a *app, q past.Asked) appView {
	v := appView{
		Strip: w.past.Strip(a.Name, a.total(), q), Moment: w.past.Moment(a.Name, q), Spent: w.past.Spent(a.Name), NoRequests: w.noRequests(s, a),
		app: *a, More: a.more(), Since: display.ClockOf(display.UnixTime(a.Started)), Total: text.Plural(a.total(), "worker", "workers"),
		QueueAt: s.levelAt(a.Name, "request_queue", a.Queue), MemoryAt: s.levelAt(a.Name, "memory", a.MemoryRatio),
		ErrorsAt: s.levelAt(a.Name, "error_rate", a.Requests.ErrorRatio), CPUAt: s.levelAt(a.Name, "cpu", a.CPU),
	}
	if v.Pool = a.fullestPool(); v.Pool != nil {
		v.PoolAt = s.levelAt(a.Name, "connection_pool", v.Pool.Utilization)
	}
	v.Level = s.appLevel(a.Name)
	for i := range s.state.Bottlenecks {
		if b := &s.state.Bottlenecks[i]; b.App == a.Name && b.Cause != "" {
			v.HeldUp, v.HeldUpSince = cause.Words(b), display.ClockOf(b.Since)
		}
	}
	for i := range s.state.Waits {
		if x := &s.state.Waits[i]; x.App == a.Name {
			v.InUse, v.Saturation = x.Utilization, x.Saturation
		}
	}
	workers := slices.Clone(a.Workers)
	if v.Squares = len(workers) > cellsUpTo; v.Squares {
		slices.SortFunc(workers, compareByState)
	}
	v.Hidden = max(0, len(workers)-squaresUpTo)
	for _, x := range workers[:len(workers)-v.Hidden] {
		v.Cells = append(v.Cells, w.cell(s, a, x))
	}
	if v.Squares { // what the others wait for comes first
		slices.SortStableFunc(v.Cells, func(a, b cell) int {
			switch {
			case (a.HoldsUp != "") == (b.HoldsUp != ""):
				return 0
			case a.HoldsUp != "":
				return -1
			}
			return 1
		})
	}
	return v
}

// more returns the known numbers of an app that are shown in one line below its workers;
// overflows and slow requests only if there are some.
func (a *app) more() []moreView {
	var out []moreView
	add := func(v *float64, words string) {
		if v != nil {
			out = append(out, moreView{display.Count(v), words})
		}
	}
	add(a.Threads, "threads")
	files := "open files in the fullest process"
	if a.MaxFDs != nil {
		files = "open files of " + health.FormatCount(*a.MaxFDs) + " in the fullest process"
	}
	add(a.OpenFDs, files)
	if a.Known {
		add(&a.Restarts, "worker restarts since the exporter started")
	}
	if v := a.Overflows; v != nil && *v > 0 {
		add(v, "queue overflows in 5 min")
	}
	if v := a.Requests.Slow5m; v != nil && *v > 0 {
		add(v, "slow requests in 5 min")
	}
	return out
}

// cell returns a worker as the page shows it; its word is "unknown" for a state that is
// not known.
func (w *Web) cell(s *pageState, a *app, x worker) cell {
	c := cell{worker: x, Key: a.Name + "/" + x.Slot, Memory: x.memory(), Age: ageAt(s.At, x.Started), Since: display.ClockOf(display.UnixTime(x.Started))}
	c.Arrow, c.Trend = display.Trend(w.opts.History.Trend(a.Name, x.Slot))
	c.Rows, c.WaitsFor, c.HoldsUp = display.ThreadRows(x.Threads), display.HeldUpBy(s.state.Chains, a.Name, x.Slot), display.HoldsUp(s.state.Chains, a.Name, x.Slot)
	if len(c.Rows) > 0 {
		c.Place = c.Rows[0].Line()
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

// hostMeters returns the meters of the host for which there is a value.
func hostMeters(s *pageState) []meter {
	var out []meter
	add := func(name, hint string, v *float64, at display.Level) {
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
		add(name, hint, &p.Ratio, display.LevelUnknown)
	}
	return out
}

// look returns the state of the latest gather, with the threads as last sampled, and the
// verdict.
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
