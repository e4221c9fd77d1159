package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/webhook"
)

const (
	token = "s3cret-of-the-webhook"
	one   = `{"version":"4","groupKey":"{}:{alertname=\"X\"}","receiver":"web\\.hook","status":"firing","truncatedAlerts":0,"alerts":[
		{"status":"firing","labels":{"alertname":"X"},"annotations":{"summary":"s"},"startsAt":"2026-01-02T03:04:05.6Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"c1f02a"}]}`
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// runner implements [webhook.Runner] and records the calls.
type runner struct {
	mu     sync.Mutex
	err    error
	alerts []action.Alert
	says   []journal.Decision // of Take
	hang   chan struct{}
	paused *journal.Pause
}

func (r *runner) Take(_ context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	if r.hang != nil {
		<-r.hang
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = append(r.alerts, alerts...)
	return r.says, r.err
}

func (r *runner) Snapshot() heal.Snapshot {
	return heal.Snapshot{Mode: "dry_run", Runs: []journal.Run{{ID: "r-1"}}}
}

func (r *runner) RunByID(id string) (journal.Run, error) {
	if id != "r-1" {
		return journal.Run{}, heal.ErrUnknownRun
	}
	return journal.Run{ID: id, Facts: json.RawMessage(`{"a":1}`)}, nil
}

func (r *runner) Approve(_ context.Context, id, plan string) (journal.Run, error) {
	if plan != "" && plan != "p-1" {
		return journal.Run{}, heal.ErrOtherPlan
	}
	switch id {
	case "r-1":
		return journal.Run{ID: id}, nil
	case "r-2":
		return journal.Run{}, heal.ErrNotWaiting
	}
	return journal.Run{}, heal.ErrUnknownRun
}

func (r *runner) Pause(p journal.Pause) error { r.paused = &p; return r.err }
func (r *runner) Resume() error               { r.paused = nil; return r.err }

type server struct {
	*httptest.Server

	hook *webhook.Webhook
	log  *bytes.Buffer
}

func serve(t *testing.T, r *runner, file string) server {
	t.Helper()
	var log bytes.Buffer
	hook := webhook.New(webhook.Options{
		Runner: r, TokenFile: func() string { return file }, RoutePrefix: "/admin", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	mux := http.NewServeMux()
	hook.Register(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return server{s, hook, &log}
}

func tokenFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// send sends a request and returns the status and the body; headers are in pairs.
func (s server) send(t *testing.T, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/admin/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("not JSON: %q as %s", b, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, string(b)
}

func TestStatusCodes(t *testing.T) {
	asJSON := []string{"Content-Type", "application/json", "Authorization", "Bearer " + token}
	for name, c := range map[string]struct {
		method, body string
		err          error
		headers      []string
		code         int
	}{
		"accepted":           {"POST", one, nil, asJSON, 202},
		"with a charset":     {"POST", one, nil, []string{"Content-Type", "application/json; charset=utf-8", "Authorization", "bearer " + token}, 202},
		"token in X":         {"POST", one, nil, []string{"Content-Type", "application/json", "X-Resp-Token", token, "Authorization", "Basic eDp5"}, 202},
		"queue full":         {"POST", one, heal.ErrFull, asJSON, 503},
		"no journal":         {"POST", one, fmt.Errorf("%w: disk", heal.ErrUnwritten), asJSON, 503},
		"anything else":      {"POST", one, errors.New("odd"), asJSON, 503},
		"no token":           {"POST", one, nil, asJSON[:2], 401},
		"wrong token":        {"POST", one, nil, []string{"Content-Type", "application/json", "Authorization", "Bearer " + token + "x"}, 401},
		"empty token":        {"POST", one, nil, []string{"Content-Type", "application/json", "Authorization", "Bearer "}, 401},
		"another scheme":     {"POST", one, nil, []string{"Content-Type", "application/json", "Authorization", "Basic " + token}, 401},
		"get":                {"GET", "", nil, asJSON, 405},
		"no type":            {"POST", one, nil, asJSON[2:], 415},
		"a form":             {"POST", one, nil, []string{"Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer " + token}, 415},
		"no JSON":            {"POST", "{", nil, asJSON, 400},
		"empty":              {"POST", "", nil, asJSON, 400},
		"two":                {"POST", one + one, nil, asJSON, 400},
		"another version":    {"POST", strings.Replace(one, `"4"`, `"5"`, 1), nil, asJSON, 400},
		"a payload of their": {"POST", `{"text":"fire"}`, nil, asJSON, 400},
		"no alerts":          {"POST", `{"version":"4","alerts":[]}`, nil, asJSON, 400},
		"no labels":          {"POST", `{"version":"4","alerts":[{"status":"firing"}]}`, nil, asJSON, 400},
		"odd status":         {"POST", strings.ReplaceAll(one, "firing", "burning"), nil, asJSON, 400},
		"1 MiB and more":     {"POST", `{"version":"4","x":"` + strings.Repeat("x", 1<<20) + `"}`, nil, asJSON, 413},
		"10 MB":              {"POST", strings.Repeat(" ", 10_000_000), nil, asJSON, 413},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &runner{err: c.err}, tokenFile(t))
			code, body := s.send(t, c.method, "/alerts", c.body, c.headers...)
			if code != c.code {
				t.Errorf("%d, want %d: %s", code, c.code, body)
			}
			if got := s.hook.Stats().Requests[c.code]; got != 1 {
				t.Errorf("counted %d times", got)
			}
			if strings.Contains(body+s.log.String(), token) {
				t.Error("the token is in the answer or the log")
			}
		})
	}
}

// The response says how many alerts were decided on in which way. Those that the runner did
// not decide on are about other hosts.
func TestDecisionsInTheResponse(t *testing.T) {
	headers := []string{"Content-Type", "application/json", "Authorization", "Bearer " + token}
	alert := one[strings.Index(one, `{"status"`):strings.LastIndex(one, "]")]
	three := strings.Replace(one, alert, alert+","+alert+","+alert, 1)
	for want, c := range map[string]struct {
		body string
		says []journal.Decision
	}{
		`{"status":"accepted","decisions":{"warmup":1}}`:               {one, []journal.Decision{journal.DecisionWarmup}},
		`{"status":"accepted","decisions":{"queued":1,"unmatched":2}}`: {three, []journal.Decision{journal.DecisionUnmatched, journal.DecisionQueued, journal.DecisionUnmatched}},
		`{"status":"accepted","decisions":{"not_mine":1,"relayed":2}}`: {three, []journal.Decision{journal.DecisionNotMine}},
	} {
		s := serve(t, &runner{says: c.says}, tokenFile(t))
		if code, body := s.send(t, "POST", "/alerts", c.body, headers...); code != 202 || strings.TrimSpace(body) != want {
			t.Errorf("%d %s, want %s", code, body, want)
		}
	}
}

// The token is read at each request; if its file cannot be read, all requests are refused.
func TestTokenFile(t *testing.T) {
	file := tokenFile(t)
	s := serve(t, &runner{}, file)
	headers := []string{"Content-Type", "application/json", "Authorization", "Bearer " + token}
	if code, _ := s.send(t, "POST", "/alerts", one, headers...); code != 202 {
		t.Error(code)
	}
	for content, want := range map[string]int{"another": 401, "": 503, " \n": 503} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _ := s.send(t, "POST", "/alerts", one, headers...); code != want {
			t.Errorf("with %q in the file: %d", content, code)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if code, _ := s.send(t, "POST", "/alerts", one, headers...); code != 503 {
		t.Errorf("without the file: %d", code)
	}
	open := serve(t, &runner{}, "")
	if code, _ := open.send(t, "POST", "/alerts", one, "Content-Type", "application/json"); code != 202 {
		t.Errorf("without a token_file: %d", code)
	}
	if code, _ := open.send(t, "POST", "/pause", `{"reason":"x","for":"1h"}`); code != 403 {
		t.Errorf("an order without a token_file: %d", code)
	}
}

// One body has a thousand alerts, and ten notifications are sent at the same time.
func TestMany(t *testing.T) {
	r := &runner{}
	s := serve(t, r, "")
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `,{"status":"firing","labels":{"alertname":"X","n":"%d"},"startsAt":"2026-01-02T03:04:05Z"}`, i)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if code, _ := s.send(t, "POST", "/alerts", `{"version":"4","truncatedAlerts":3,"alerts":[`+b.String()[1:]+`]}`, "Content-Type", "application/json"); code != 202 {
				t.Error(code)
			}
		})
	}
	wg.Wait()
	prints := make(map[string]bool)
	for _, a := range r.alerts {
		prints[a.Fingerprint] = true
	}
	if len(r.alerts) != 10_000 || len(prints) != 1000 || s.hook.Stats().Truncated != 30 {
		t.Errorf("%d alerts, %d fingerprints, %d truncated", len(r.alerts), len(prints), s.hook.Stats().Truncated)
	}
}

// A client that sends a byte per second is ended at the deadline, and so is a request
// that waits for a disk.
func TestSlow(t *testing.T) {
	r := &runner{hang: make(chan struct{})}
	s := serve(t, r, "")
	defer close(r.hang)
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, _ := s.send(t, "POST", "/alerts", one, "Content-Type", "application/json"); code != 503 {
			t.Errorf("while the journal hangs: %d", code)
		}
	})
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "POST /admin/api/v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c) // until the exporter hangs up
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", answer, err)
	}
	wg.Wait()
}

func TestOrders(t *testing.T) {
	r := &runner{}
	s := serve(t, r, tokenFile(t))
	bearer := []string{"Authorization", "Bearer " + token}
	var errorTexts bytes.Buffer
	for _, c := range []struct {
		method, path, body string
		headers            []string
		code               int
		has                string // of a success; what an error says is in the golden file
	}{
		{"GET", "/runs", "", nil, 200, `"id":"r-1"`},
		{"GET", "/runs/r-1", "", nil, 200, `"evidence":{"a":1}`},
		{"GET", "/runs/r-9", "", nil, 404, ""},
		{"POST", "/runs", "", bearer, 405, ""},
		{"POST", "/runs/r-1/approve", "", nil, 401, ""},
		{"POST", "/runs/r-1/approve", "", bearer, 202, "r-1"},
		{"POST", "/runs/r-1/approve", `{"plan": "p-1"}`, bearer, 202, "r-1"},
		{"POST", "/runs/r-1/approve", `{"plan": "p-0"}`, bearer, 409, ""},
		{"POST", "/runs/r-1/approve", `{"plan": 1}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": "p-1"} {}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": "p-1"} x`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": ""}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": null}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": "p-1", "PLAN": ""}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"plan": "p-0", "plan": "p-1"}`, bearer, 400, ""},
		{"POST", "/runs/r-1/approve", `{"total": 1}`, bearer, 400, ""},
		{"POST", "/runs/r-2/approve", "", bearer, 409, ""},
		{"POST", "/runs/r-9/approve", "", bearer, 404, ""},
		{"GET", "/pause", "", bearer, 405, ""},
		{"POST", "/pause", `{"reason":"deploy","for":"1h"}`, nil, 401, ""},
		{"POST", "/pause", `{"reason":"deploy","for":"1h"}`, append([]string{"Sec-Fetch-Site", "cross-site"}, bearer...), 403, ""},
		{"POST", "/pause", `{"reason":"deploy","for":"1h","by":"ann"}`, bearer, 200, `"by":"ann"`},
		{"POST", "/pause", `{"reason":"","for":"1h"}`, bearer, 400, ""},
		{"POST", "/pause", `{"reason":"x"}`, bearer, 400, ""},
		{"POST", "/pause", `{"reason":"x","for":"-1h"}`, bearer, 400, ""},
		{"POST", "/pause", `{"reason":"x","for":"1h","until":"x"}`, bearer, 400, ""},
		{"POST", "/resume", "", nil, 401, ""},
		{"POST", "/resume", "", bearer, 200, "resumed"},
	} {
		code, body := s.send(t, c.method, c.path, c.body, c.headers...)
		if code != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, code, body, c.code, c.has)
		}
		if c.has == "" {
			fmt.Fprintf(&errorTexts, "%s %s %s\n\t%d %s", c.method, c.path, c.body, code, body)
		}
	}
	r.err = errors.New("disk")
	code, body := s.send(t, "POST", "/pause", `{"reason":"x","for":"1h"}`, bearer...)
	if code != 500 || r.paused == nil {
		t.Errorf("%d %s", code, body)
	}
	fmt.Fprintf(&errorTexts, "POST /pause, and the disk fails\n\t%d %s", code, body)
	golden.Check(t, "errors.golden", errorTexts.Bytes(), *updateGolden)
}

// FuzzParse: for any body, each alert has labels, a fingerprint of limited length, and is
// firing or resolved.
func FuzzParse(f *testing.F) {
	f.Add([]byte(one))
	f.Add([]byte(`{"version":"4","alerts":[{"status":"resolved","labels":{"a":"b"},"endsAt":"2026-01-02T03:04:05Z"}],"truncatedAlerts":18446744073709551615}`))
	f.Add([]byte(`{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"$(reboot)"},"startsAt":"x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := webhook.Parse(body)
		if err != nil {
			if len(m.Alerts) > 0 {
				t.Error("alerts with an error")
			}
			return
		}
		if len(m.Alerts) == 0 {
			t.Error("no alerts and no error")
		}
		for _, a := range m.Alerts {
			if len(a.Labels) == 0 || a.Fingerprint == "" || len(a.Fingerprint) > 32 || !a.Resolved && !a.EndsAt.IsZero() {
				t.Errorf("%+v", a)
			}
		}
	})
}
