package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
	"github.com/resp-exporter/resp-exporter/internal/web/runbooks"
)

// servePage answers with the page; 400 if its parameters are wrong.
func (w *Web) servePage(rw http.ResponseWriter, req *http.Request) {
	q, err := past.AskedOf(req.URL.Query(), w.opts.Now())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	var b bytes.Buffer
	if err := w.renderPage(&b, q); err != nil {
		w.fail(rw, "render the status page", err)
		return
	}
	w.write(rw, "text/html; charset=utf-8", b.Bytes())
}

// update is what the page's own script asks for every 5 seconds. Sections are
// the HTML of each part by its id; Layout says which apps are shown whole.
type update struct {
	At       int64                  `json:"at"` // unix seconds of the last check; 0: there was none
	Layout   string                 `json:"layout"`
	Sections map[string]string      `json:"sections"`
	Limits   map[string][2]*float64 `json:"limits"` // resource: warning, critical
	History  charts.Tail            `json:"history"`

	AppLimits map[string]map[string][2]*float64 `json:"app_limits"` // the same in force for each app that has any; null: off
}

// serveUpdate answers with what has changed on the page since a time, as JSON; 400 if its
// parameters are wrong.
func (w *Web) serveUpdate(rw http.ResponseWriter, req *http.Request) {
	since := int64(0)
	if q := req.URL.Query().Get("since"); q != "" {
		var err error
		if since, err = strconv.ParseInt(q, 10, 64); err != nil {
			http.Error(rw, "since must be a whole number of seconds since 1970", http.StatusBadRequest)
			return
		}
	}
	q, err := past.AskedOf(req.URL.Query(), w.opts.Now())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	s, v := w.look()
	whole, lines := s.divide(q)
	sections, err := w.renderSections(&s, &v, q, whole, lines)
	if err != nil {
		w.fail(rw, "render the status page", err)
		return
	}
	u := update{Layout: layout(&s, whole), Sections: make(map[string]string, len(sections)), Limits: make(map[string][2]*float64), History: w.opts.History.Since(since)}
	if !s.At.IsZero() {
		u.At = s.At.Unix()
	}
	for id, html := range sections {
		u.Sections[id] = string(html)
	}
	for _, t := range s.state.Thresholds {
		u.Limits[t.Resource] = [2]*float64{&t.Warning, &t.Critical}
	}
	u.AppLimits = make(map[string]map[string][2]*float64)
	for _, t := range s.state.AppThresholds {
		if u.AppLimits[t.App] == nil {
			u.AppLimits[t.App] = make(map[string][2]*float64)
		}
		u.AppLimits[t.App][t.Resource] = [2]*float64{t.Warning, t.Critical}
	}
	w.writeJSON(rw, u)
}

// serveStatus answers with the status as JSON.
func (w *Web) serveStatus(rw http.ResponseWriter, _ *http.Request) {
	s, _ := w.look()
	w.writeJSON(rw, w.status(s))
}

// serveRunbooks sends the page of runbooks. With the name of an alert, as in
// ?alert=RespAppDown, it redirects to the alert's section: Grafana cannot write that link
// itself.
func (w *Web) serveRunbooks(rw http.ResponseWriter, req *http.Request) {
	if anchor := w.books.Anchor(req.URL.Query().Get("alert")); anchor != "" {
		rw.Header().Set("Location", "runbooks#"+anchor) // relative: a proxy may have cut off a prefix
		rw.WriteHeader(http.StatusFound)
		return
	}
	var b bytes.Buffer
	view := struct {
		*runbooks.Page

		Host, Version string
	}{w.books, w.opts.Host, w.opts.Version}
	if err := w.page.ExecuteTemplate(&b, "runbooks", view); err != nil {
		w.fail(rw, "render the runbooks", err)
		return
	}
	w.write(rw, "text/html; charset=utf-8", b.Bytes())
}

// serveAsset answers with a file of the page, 304 if the browser has it, or 404.
func (w *Web) serveAsset(rw http.ResponseWriter, req *http.Request) {
	a, ok := w.assets[req.PathValue("name")]
	if !ok {
		http.NotFound(rw, req)
		return
	}
	rw.Header().Set("Cache-Control", "no-cache") // keep, but ask each time: the answer is a 304
	rw.Header().Set("ETag", a.etag)
	if req.Header.Get("If-None-Match") == a.etag {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	w.write(rw, a.kind, a.content)
}

// serveHealthy answers 200.
func (w *Web) serveHealthy(rw http.ResponseWriter, _ *http.Request) {
	w.write(rw, "text/plain; charset=utf-8", []byte("resp-exporter is Healthy.\n"))
}

// serveReady answers 200 once the exporter is ready, else 503.
func (w *Web) serveReady(rw http.ResponseWriter, _ *http.Request) {
	if !w.opts.Ready() {
		http.Error(rw, "resp-exporter is not Ready.", http.StatusServiceUnavailable)
		return
	}
	w.write(rw, "text/plain; charset=utf-8", []byte("resp-exporter is Ready.\n"))
}

// serveReload reloads the configuration; 403 if that is not enabled, 500 if it fails.
func (w *Web) serveReload(rw http.ResponseWriter, _ *http.Request) {
	if !w.opts.LifecycleEnabled || w.opts.Reload == nil {
		http.Error(rw, "Lifecycle API is not enabled.", http.StatusForbidden)
		return
	}
	if err := w.opts.Reload(); err != nil {
		http.Error(rw, fmt.Sprintf("failed to reload config: %s", err), http.StatusInternalServerError)
		return
	}
	rw.WriteHeader(http.StatusOK)
}

// writeJSON answers with a value as JSON.
func (w *Web) writeJSON(rw http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.fail(rw, "encode the response", err)
		return
	}
	w.write(rw, "application/json", append(b, '\n'))
}

// write sends a body as a whole, with its media type. That the client went away is only
// logged.
func (w *Web) write(rw http.ResponseWriter, kind string, body []byte) {
	rw.Header().Set("Content-Type", kind)
	rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := rw.Write(body); err != nil {
		w.opts.Logger.Debug("Response not read by the client", "err", err)
	}
}

// fail logs an error and answers 500 without its text.
func (w *Web) fail(rw http.ResponseWriter, doing string, err error) {
	w.opts.Logger.Error("Cannot "+doing, "err", err)
	http.Error(rw, "cannot "+doing, http.StatusInternalServerError)
}
