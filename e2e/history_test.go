package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pastOf is what /api/v1/incidents and the command history have.
type pastOf struct {
	Source    string
	Incidents []struct {
		ID, App     string
		Start       time.Time
		End         *time.Time
		Interrupted bool
		Worst       struct {
			Stuck *float64 `json:"stuck_workers"`
		}
	}
	LastWords []struct {
		App, Reason string
		PID         int
		Stack       *struct {
			View *string
			Own  *struct {
				Function, File string
				Line           int
			}
		}
	} `json:"last_words"`
	History *struct {
		Seconds float64 `json:"request_seconds"`
		Top     []struct {
			App, View, File, On string
			Line                int
		}
	}
}

// remembers reads what the exporter remembers.
func (x *exporter) remembers(app string) (p pastOf, err error) {
	code, body, err := x.get("/api/v1/incidents?app=" + app)
	if err == nil && code != 200 {
		err = errors.New(body)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &p)
	}
	return p, err
}

// TestHistory checks that a request that makes its worker stuck is an incident, which
// continues after a SIGKILL of the exporter; that the last words of a killed worker are
// known; and that the command reads the state directory without an exporter.
func TestHistory(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	state := filepath.Join(openDir(t), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	how := export{args: []string{"--log.level=debug", "--state.dir=" + state}, config: "thresholds: {response_time: {warning: 1, critical: 2}}\n"}
	first := watch(t, how)
	e := ending{serve(t, launch{server: "gunicorn", source: "shop/ends.py", args: []string{"-w", "1", "--timeout", "600"}, env: withoutTitles(t)}), first}
	e.watchedPIDs(t, 1)
	began := time.Now()
	e.begin(t, "/sleep?s=600")
	id := ""
	eventually(t, 30*time.Second, func() error {
		p, err := first.remembers(e.name)
		if err != nil {
			return err
		}
		for _, x := range p.Incidents {
			if x.App == e.name && x.End == nil && x.Worst.Stuck != nil && *x.Worst.Stuck == 1 {
				if id = x.ID; x.Start.Before(began.Add(-5 * time.Second)) {
					t.Errorf("it began at %s, and the request at %s", x.Start, began)
				}
				return nil
			}
		}
		return fmt.Errorf("no incident in %+v", p.Incidents)
	})
	known := time.Now()
	eventually(t, 5*time.Second, func() error { // each second is written
		last, err := lastWrite(filepath.Join(state, "history-*"))
		return all(err, wants("the history was written after the incident was known", last.After(known), true))
	})
	if err := first.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()

	second := watch(t, how)
	e.x = second
	pid := e.watchedPIDs(t, 1)[0]
	p, err := second.remembers(e.name)
	if err != nil || len(p.Incidents) != 1 || p.Incidents[0].ID != id || !p.Incidents[0].Interrupted || p.Incidents[0].End != nil {
		t.Fatalf("after a SIGKILL: %v, %+v", err, p.Incidents)
	}
	code, body, err := second.get("/api/v1/history?app=" + e.name + "&from=" + strconv.FormatInt(began.Unix(), 10))
	if err != nil || code != 200 || !strings.Contains(body, `"view":"app"`) {
		t.Errorf("%d %v: %.2000s", code, err, body)
	}
	since := strconv.FormatInt(time.Now().Unix()+1, 10)
	eventually(t, 10*time.Second, func() error { // its stack is known
		_, body, err := second.get("/api/v1/history?app=" + e.name + "&from=" + since)
		return all(err, wants("the view of the request is in "+body, strings.Contains(body, `"view":"app"`), true))
	})
	signals(t, pid, syscall.SIGKILL)
	eventually(t, 30*time.Second, func() error {
		p, err := second.remembers(e.name)
		if err != nil || len(p.LastWords) != 1 {
			return fmt.Errorf("%w: last words %+v", err, p.LastWords)
		}
		return nil
	})
	second.Stop()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), binary, "history", "--json", "--from=-5m", "--app="+e.name, "--url="+second.url, "--state.dir="+state)
	c.Stdout = &out
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	p = pastOf{}
	if err := json.Unmarshal(out.Bytes(), &p); err != nil || p.Source != state || p.History == nil || p.History.Seconds < 5 || len(p.History.Top) == 0 || p.History.Top[0].View != "app" || p.History.Top[0].On != "sleep" {
		t.Errorf("%v: %.3000s", err, out.String())
	}
	if len(p.LastWords) != 1 || len(p.Incidents) != 1 {
		t.Fatalf("%.3000s", out.String())
	}
	w := p.LastWords[0]
	if w.App != e.name || w.PID != pid || w.Reason != "signal" || w.Stack == nil || w.Stack.View == nil || *w.Stack.View != "app" || w.Stack.Own == nil || w.Stack.Own.Line == 0 {
		t.Errorf("last words: %+v", w)
	}
}

// lastWrite returns when one of the files that match was last written.
func lastWrite(pattern string) (last time.Time, err error) {
	files, err := filepath.Glob(pattern)
	for _, file := range files {
		st, e := os.Stat(file)
		if err = errors.Join(err, e); e == nil && st.ModTime().After(last) {
			last = st.ModTime()
		}
	}
	return last, err
}

// TestHistoryParameters checks that wrong parameters are refused with a reason.
func TestHistoryParameters(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for path, want := range map[string]int{
		"/api/v1/history": 200, "/api/v1/history?from=1700000000&to=1700000060.5&app=none": 200, "/api/v1/history?at=2026-03-01T03:12:00Z": 200,
		"/api/v1/history?at=03:12": 400, "/api/v1/history?from=yesterday": 400, "/api/v1/history?to=-1": 400, "/api/v1/history?from=1700000060&to=1700000000": 400,
		"/api/v1/history?from=1&to=1700000000": 400, "/api/v1/history?at=1700000000&from=1700000000": 400, "/api/v1/history?since=1": 400, "/api/v1/history?at=NaN": 400, "/api/v1/history?at=1e300": 400,
		"/api/v1/incidents": 200, "/api/v1/incidents?limit=1&app=x": 200, "/api/v1/incidents?limit=0": 400, "/api/v1/incidents?limit=101": 400, "/api/v1/incidents?n=1": 400,
	} {
		if code, body, err := x.get(path); err != nil || code != want || code == 400 && len(body) < 10 {
			t.Errorf("%s: %d %v %.200s, want %d", path, code, err, body, want)
		}
	}
}
