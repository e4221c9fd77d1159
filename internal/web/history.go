package web

import (
	"net/http"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/web/historystatus"
)

// serveHistory sends as JSON what requests did at a time or in a period; 400 for wrong
// parameters.
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

// serveIncidents sends as JSON the last incidents and last words; 400 for wrong
// parameters.
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
