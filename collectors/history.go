package collectors

import (
	"context"
	"errors"
	"io/fs"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/incidents"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

var (
	incidentsTotal = counter("incidents_total", "Incidents of an app since the start of the exporter, by cause; unknown if none held for 15 s. An incident lasts from the first sign of harm until 20 s without.", "app", "cause")
	incidentStart  = gauge("incident_start_timestamp_seconds", "When the incident of an app began that is open now. The cause is the first one that held for 15 s; until then, and after the end, there is no series.", "app", "cause")
	historyBytes   = gauge("history_bytes", "Size of the samples of requests, which are kept for an hour: the last minutes in memory, the others in the state directory, or in memory where that cannot be written.")
	historyFaults  = counter("history_faults_total", "Faults of the files of the history in the state directory: damaged files were set aside at startup, unread files were gone or damaged later, unsaved samples are in memory only.", "kind")
)

// HistoryStats returns what is kept of the apps.
type HistoryStats struct {
	History   func() history.Kept
	Incidents func() incidents.Totals
	StateDir  string // "": there is none
}

// History is the collector "history": what is kept of the apps, and their incidents.
type History struct{ stats HistoryStats }

// NewHistory returns the collector "history".
func NewHistory(s HistoryStats) *History { return &History{s} }

// Name implements [Collector].
func (*History) Name() string { return "history" }

// Descs implements [Collector].
func (*History) Descs() []*prometheus.Desc {
	return descs(incidentsTotal, incidentStart, historyBytes, historyFaults, seriesDropped)
}

// Collect implements [Collector]. The error is an optional lack if the history is only in
// memory, else nil.
func (c *History) Collect(context.Context) (Sample, error) {
	var s Sample
	kept, all := c.stats.History(), c.stats.Incidents()
	s.grow(len(all.Totals) + 17)
	for _, t := range all.Totals {
		s.add(incidentsTotal, float64(t.Count), t.App, string(t.Cause))
	}
	for _, o := range all.Open {
		s.add(incidentStart, float64(o.Start.UnixMilli())/1000, o.App, string(o.Cause))
	}
	s.add(historyBytes, float64(kept.Bytes))
	s.add(historyFaults, float64(kept.Counts.Damaged+all.Counts.Damaged), "damaged")
	s.add(historyFaults, float64(kept.Counts.Unread), "unread")
	s.add(historyFaults, float64(kept.Counts.Unsaved), "unsaved")
	s.add(seriesDropped, float64(kept.Counts.Requests), "history_request")
	s.add(seriesDropped, float64(kept.Counts.Details), "history_detail")
	s.add(seriesDropped, float64(kept.Counts.Evicted), "history_second")
	s.add(seriesDropped, float64(kept.Counts.Workers), "history_worker")
	s.add(seriesDropped, float64(all.Counts.Incidents), "incident")
	s.add(seriesDropped, float64(all.Counts.Lines), "incident_line")
	return s, c.lack(files.Join(kept.Why, all.Why))
}

// lack returns an optional [Unavailable] that says why the history is only in memory:
// [NotFound] without a state directory, else by why, the error of the stores, [Failed] if
// it has no other reason; nil with a directory and without an error.
func (c *History) lack(why error) error {
	if why == nil && c.stats.StateDir != "" {
		return nil
	}
	u := &Unavailable{Reason: Failed, Optional: true, Detail: "history and incidents are kept in memory only, and are lost when the exporter stops"}
	dir := c.stats.StateDir
	switch {
	case dir == "":
		u.Reason, u.Remedy = NotFound, "--state.dir=/var/lib/resp-exporter"
		return u
	case errors.Is(why, files.ErrLocked):
		u.Reason = InUse
	case errors.Is(why, fs.ErrNotExist):
		u.Reason = NotFound
	case errors.Is(why, fs.ErrPermission), errors.Is(why, safefile.ErrOwner), errors.Is(why, safefile.ErrMode), errors.Is(why, safefile.ErrMoved):
		u.Reason = Permission
	}
	u.Remedy = files.Remedy(dir, why)
	u.Detail += ": " + why.Error()
	return u
}
