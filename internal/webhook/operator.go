package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

func (w *Webhook) serveRuns(rw http.ResponseWriter, _ *http.Request) {
	answer(rw, http.StatusOK, w.o.Runner.Snapshot())
}

// serveRun answers with one run, or 404.
func (w *Webhook) serveRun(rw http.ResponseWriter, req *http.Request) {
	run, err := w.o.Runner.RunByID(req.PathValue("id"))
	if err != nil {
		fail(rw, http.StatusNotFound, heal.ErrUnknownRun.Error())
		return
	}
	answer(rw, http.StatusOK, run)
}

// withToken returns a handler that requires the token; without a token_file it
// refuses everything.
func (w *Webhook) withToken(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		if w.o.TokenFile() == "" {
			fail(rw, http.StatusForbidden, "healing has no token_file: all requests are refused")
			return
		}
		if code, text := w.authorize(req); code != 0 {
			fail(rw, code, text)
			return
		}
		h(rw, req)
	}
}

var errTrailing = errors.New("something follows the JSON value")

// pauseRequest is the body of POST /api/v1/pause.
type pauseRequest struct {
	Reason string `json:"reason"`
	For    string `json:"for"` // a duration such as "2h"
	By     string `json:"by"`
}

// decodeBody decodes the body of an operator's request, of at most 4 KiB and within the
// deadline, into to. It has sent the error if it returns false, also for an unknown key,
// and for what follows the JSON value. An empty body leaves to unchanged.
func (w *Webhook) decodeBody(rw http.ResponseWriter, req *http.Request, to any, expected string) bool {
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		fail(rw, http.StatusServiceUnavailable, "no deadline can be set for the connection")
		return false
	}
	body, err := safefile.ReadAll(req.Body, maxOrder)
	if err == nil && len(bytes.TrimSpace(body)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err = dec.Decode(to); err == nil {
			if _, more := dec.Token(); !errors.Is(more, io.EOF) {
				err = errTrailing
			}
		}
	}
	if err != nil {
		fail(rw, http.StatusBadRequest, expected)
		return false
	}
	return true
}

// servePause pauses healing: 400 for a wrong request, 500 if the pause cannot be saved.
func (w *Webhook) servePause(rw http.ResponseWriter, req *http.Request) {
	var o pauseRequest
	if !w.decodeBody(rw, req, &o, `expected {"reason": "…", "for": "2h"}`) {
		return
	}
	d, err := time.ParseDuration(o.For)
	switch {
	case o.Reason == "":
		fail(rw, http.StatusBadRequest, "a pause needs a reason")
		return
	case err != nil || d <= 0 || d > maxPause:
		fail(rw, http.StatusBadRequest, `a pause needs a duration: "for" must be a duration such as 30m or 2h, at most 720h`)
		return
	}
	if o.By == "" {
		o.By = "the API"
	}
	now := time.Now().UTC().Truncate(time.Second)
	p := journal.Pause{Reason: o.Reason, By: o.By, Since: now, Until: now.Add(d)}
	if err := w.o.Runner.Pause(p); err != nil {
		w.o.Logger.Error("Pause active, but not saved", "err", err)
		fail(rw, http.StatusInternalServerError, "paused, but the pause could not be saved: a restart ends it")
		return
	}
	w.o.Logger.Info("Healing is paused", "reason", p.Reason, "until", p.Until, "by", p.By)
	answer(rw, http.StatusOK, p)
}

// serveResume ends the pause: 500 if that cannot be saved.
func (w *Webhook) serveResume(rw http.ResponseWriter, _ *http.Request) {
	if err := w.o.Runner.Resume(); err != nil {
		w.o.Logger.Error("Pause not ended", "err", err)
		fail(rw, http.StatusInternalServerError, "still paused: the state directory cannot be written")
		return
	}
	w.o.Logger.Info("Healing is no longer paused")
	answer(rw, http.StatusOK, map[string]string{"status": "resumed"})
}

// approveRequest is the body of POST /api/v1/runs/{id}/approve; it may be left out.
type approveRequest struct {
	Plan planID `json:"plan"` // of what the person saw; left out: whatever waits
}

// planID is the id of a plan. If it is given, it must not be empty and be given
// once: a script whose variable is empty approves nothing.
type planID string

// UnmarshalJSON implements [json.Unmarshaler]. errPlan: the id is empty, or it is not the
// first one.
func (p *planID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == "" || *p != "" {
		return errPlan
	}
	*p = planID(s)
	return nil
}

var errPlan = errors.New("expected one plan id")

// serveApprove approves a run: 202, or 404 if it is not known, 409 if it does not wait or
// has another plan, 503 if the journal cannot be written.
func (w *Webhook) serveApprove(rw http.ResponseWriter, req *http.Request) {
	var a approveRequest
	if !w.decodeBody(rw, req, &a, `expected {"plan": "the id of the plan"}, or nothing`) {
		return
	}
	run, err := w.o.Runner.Approve(req.Context(), req.PathValue("id"), string(a.Plan))
	switch {
	case errors.Is(err, heal.ErrUnknownRun):
		fail(rw, http.StatusNotFound, err.Error())
	case errors.Is(err, heal.ErrNotWaiting), errors.Is(err, heal.ErrOtherPlan):
		fail(rw, http.StatusConflict, err.Error())
	case err != nil:
		fail(rw, http.StatusServiceUnavailable, "the journal cannot be written")
	default:
		answer(rw, http.StatusAccepted, run)
	}
}
