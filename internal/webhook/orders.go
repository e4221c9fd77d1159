package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/actions"
)

func (w *Webhook) serveRuns(rw http.ResponseWriter, _ *http.Request) {
	answer(rw, http.StatusOK, w.o.Runner.Snapshot())
}

func (w *Webhook) serveRun(rw http.ResponseWriter, req *http.Request) {
	run, err := w.o.Runner.RunByID(req.PathValue("id"))
	if err != nil {
		fail(rw, http.StatusNotFound, actions.ErrUnknownRun.Error())
		return
	}
	answer(rw, http.StatusOK, run)
}

// ordered lets only those in who have the token; without one nobody may order.
func (w *Webhook) ordered(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		if w.o.TokenFile() == "" {
			fail(rw, http.StatusForbidden, "healing has no token_file: nobody can be let in")
			return
		}
		if code, text := w.admit(req); code != 0 {
			fail(rw, code, text)
			return
		}
		h(rw, req)
	}
}

// order is the body of POST /api/v1/pause.
type order struct {
	Reason string `json:"reason"`
	For    string `json:"for"` // a duration such as "2h"
	By     string `json:"by"`
}

func (w *Webhook) servePause(rw http.ResponseWriter, req *http.Request) {
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		fail(rw, http.StatusServiceUnavailable, "the connection cannot be bounded")
		return
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxOrder))
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var o order
	if err != nil || dec.Decode(&o) != nil {
		fail(rw, http.StatusBadRequest, `expected {"reason": "…", "for": "2h"}`)
		return
	}
	d, err := time.ParseDuration(o.For)
	switch {
	case o.Reason == "":
		fail(rw, http.StatusBadRequest, "a pause needs a reason")
		return
	case err != nil || d <= 0 || d > maxPause:
		fail(rw, http.StatusBadRequest, `a pause needs an end: "for" is a duration such as 30m or 2h, at most 720h`)
		return
	}
	if o.By == "" {
		o.By = "the API"
	}
	now := time.Now().UTC().Truncate(time.Second)
	p := actions.Pause{Reason: o.Reason, By: o.By, Since: now, Until: now.Add(d)}
	if err := w.o.Runner.Pause(p); err != nil {
		w.o.Logger.Error("The pause holds, but is not written down", "err", err)
		fail(rw, http.StatusInternalServerError, "paused, but it cannot be written down: a restart would end it")
		return
	}
	w.o.Logger.Info("Healing is paused", "reason", p.Reason, "until", p.Until, "by", p.By)
	answer(rw, http.StatusOK, p)
}

func (w *Webhook) serveResume(rw http.ResponseWriter, _ *http.Request) {
	if err := w.o.Runner.Resume(); err != nil {
		w.o.Logger.Error("The pause cannot be ended", "err", err)
		fail(rw, http.StatusInternalServerError, "still paused: the state directory cannot be written")
		return
	}
	w.o.Logger.Info("Healing is no longer paused")
	answer(rw, http.StatusOK, map[string]string{"status": "resumed"})
}

func (w *Webhook) serveApprove(rw http.ResponseWriter, req *http.Request) {
	run, err := w.o.Runner.Approve(req.Context(), req.PathValue("id"))
	switch {
	case errors.Is(err, actions.ErrUnknownRun):
		fail(rw, http.StatusNotFound, err.Error())
	case errors.Is(err, actions.ErrNotWaiting):
		fail(rw, http.StatusConflict, err.Error())
	case err != nil:
		fail(rw, http.StatusServiceUnavailable, "the journal cannot be written")
	default:
		answer(rw, http.StatusAccepted, run)
	}
}
