package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/historystatus"
)

// History is what the exporter remembers of the apps. Its methods read memory
// alone, and may be called by several goroutines. An app "" is all of them; a zero time
// is the first or the last sample.
type History interface {
	// Strip returns what the requests of an app did over a time, in at most so many
	// buckets.
	Strip(app string, from, to time.Time, buckets int) history.Strip
	// Top returns the views, lines and waits of the requests of an app over a time, at
	// most so many.
	Top(app string, from, to time.Time, limit int) history.Top
	// At returns what the requests of an app did at the sample nearest to a time, at
	// most 10 s away, at most so many requests.
	At(app string, at time.Time, limit int) history.Moment
	// Kept returns what the history holds.
	Kept() history.Kept
	// Incidents returns the last incidents, the newest first; 0: all that are kept.
	Incidents(limit int) []model.Incident
	// LastWords returns the last words of workers, the newest first; 0: all that are kept.
	LastWords(limit int) []model.LastWords
}

// noHistory is the History of an exporter without one.
type noHistory struct{}

func (noHistory) Strip(app string, from, to time.Time, _ int) history.Strip {
	return history.Strip{App: app, From: from, To: to, Step: time.Second}
}

func (noHistory) Top(app string, from, to time.Time, _ int) history.Top {
	return history.Top{App: app, From: from, To: to}
}
func (noHistory) At(string, time.Time, int) history.Moment { return history.Moment{} }
func (noHistory) Kept() history.Kept                       { return history.Kept{} }
func (noHistory) Incidents(int) []model.Incident           { return nil }
func (noHistory) LastWords(int) []model.LastWords          { return nil }

// serveHistory answers with what requests did at a time, or from one to another.
func (w *Web) serveHistory(rw http.ResponseWriter, req *http.Request) {
	q, err := historystatus.ParseQuery(req.URL.Query(), w.opts.Now())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	h := w.opts.Past
	kept := h.Kept()
	if !q.At.IsZero() {
		m := h.At(q.App, q.At, historystatus.MaxRequests)
		w.writeJSON(rw, historystatus.OfMoment(&m, &kept))
		return
	}
	strip, top := h.Strip(q.App, q.From, q.To, history.MaxBuckets), h.Top(q.App, q.From, q.To, historystatus.MaxRows)
	w.writeJSON(rw, historystatus.Of(&strip, &top, &kept))
}

// serveIncidents answers with the last incidents and last words.
func (w *Web) serveIncidents(rw http.ResponseWriter, req *http.Request) {
	v := req.URL.Query()
	limit := historystatus.MaxIncidents
	for name := range v {
		if name != "app" && name != "limit" {
			http.Error(rw, "unknown parameter: expected app or limit", http.StatusBadRequest)
			return
		}
	}
	if s := v.Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > historystatus.MaxIncidents {
			http.Error(rw, "limit: expected a whole number from 1 to "+strconv.Itoa(historystatus.MaxIncidents), http.StatusBadRequest)
			return
		}
	}
	out := historystatus.OfIncidents(v.Get("app"), w.opts.Past.Incidents(0), w.opts.Past.LastWords(0))
	out.Incidents = out.Incidents[:min(len(out.Incidents), limit)]
	out.LastWords = out.LastWords[:min(len(out.LastWords), limit)]
	w.writeJSON(rw, out)
}
