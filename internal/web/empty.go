package web

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/web/display"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
)

// noRequestsView says why no request of an app is known.
type noRequestsView struct {
	Before string        // up to the time
	Since  display.Clock // empty: no time is named
	After  string        // from the time on
}

// noRequests returns what the page says instead of an app's request numbers: why there are
// none. nil: the app has some in the last minute, there was no gather yet, or it is not
// known whether StatsD is on.
func (w *Web) noRequests(s *pageState, a *app) *noRequestsView {
	if a.Requests.Rate != nil && *a.Requests.Rate > 0 || s.At.IsZero() {
		return nil
	}
	i := slices.IndexFunc(s.Unseen, func(u unseen) bool { return u.Collector == "statsd" })
	var on []string
	if w.opts.StatsD != nil {
		on = w.opts.StatsD()
	}
	switch {
	case len(on) == 0 && i >= 0:
		return &noRequestsView{Before: "StatsD is not received, so no request is known: " + s.Unseen[i].Because() + "."}
	case w.opts.StatsD == nil:
		return nil
	case len(on) == 0:
		return &noRequestsView{Before: "StatsD is off, so no request is known: name an address in statsd.listen."}
	}
	out := &noRequestsView{Before: "StatsD is on (" + strings.Join(on[:min(len(on), 2)], ", ") + ")"}
	last, reported := w.opts.History.LastRequest(a.Name)
	switch {
	case reported:
		out.Before, out.Since, out.After = out.Before+", no request finished since", display.ClockOf(last), "."
	case a.Requests.Rate != nil:
		out.Before += ", no request finished in the last 30 min."
	default:
		out.Before += ", but " + a.Name + " has reported no request: start gunicorn with --statsd-host, or let the app send resp.request."
	}
	return out
}

// note sets v.Note if the reader asked for an app that is not found on this host.
func (v *verdict) note(s *pageState, q past.Asked) {
	if q.App != "" && !slices.ContainsFunc(s.Apps, func(a app) bool { return a.Name == q.App }) {
		v.Note = "No app " + q.App + " is found on this host now."
	}
}
