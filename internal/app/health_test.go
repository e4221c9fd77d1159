package app_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// A configured store that is down is critical in the metric and in the JSON, until a
// reload removes it from the configuration.
func TestHealthFollowsTheConfiguration(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil { // the port is free
		t.Fatal(err)
	}
	e := run(t, "statsd: {listen: []}\nredis: [{name: cache, url: \"redis://someone:s3cret@"+address+"/0\"}]\n", nil)
	const line = `resp_health_status{app="",component="redis"} `
	awaitLine(t, e.url, line+"2")
	awaitLine(t, e.url, `resp_health_status{app="",component="overall"} 2`)
	var status struct {
		Health health.Status `json:"health"`
	}
	_, body := get(t, e.url+"/api/v1/status")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	s := status.Health
	alerts := slices.DeleteFunc(slices.Clone(s.Alerts), func(a health.Alert) bool { return a.Component != "redis" }) // the machine may be busy, too
	if s.Components["redis"] != health.Critical || len(s.Recommendations) == 0 || len(alerts) != 1 || alerts[0].Name != "redis cache" {
		t.Fatalf("%+v", s)
	}
	_, page := get(t, e.url+"/")
	if !strings.Contains(page, alerts[0].Summary) {
		t.Error("the page does not tell of it")
	}
	for what, text := range map[string]string{"status": body, "page": page} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "someone") {
			t.Errorf("the %s tells the login", what)
		}
	}
	write(t, e.file, "statsd: {listen: []}\n")
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if _, body := get(t, e.url+"/metrics"); !strings.Contains(body, line) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the judge still looks for a store that was dropped")
		}
	}
}

// If the server at the address of a Redis speaks another protocol, the JSON, which
// check prints, and the page have the whole hint.
func TestAdviceHasTheWholeHint(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	e := run(t, "statsd: {listen: []}\nredis:\n- {name: other, url: \"redis://"+other.Listener.Addr().String()+"/0\"}\n- {name: secure, url: \"rediss://"+secure.Listener.Addr().String()+"/0\"}\n", nil)
	awaitLine(t, e.url, `resp_health_status{app="",component="redis"} 2`)
	fault := hintsFault(t, e)
	for end := time.Now().Add(time.Minute); fault != "" && time.Now().Before(end); time.Sleep(time.Second) {
		fault = hintsFault(t, e) // on a busy machine they may not have answered in time at one of the looks
	}
	if fault != "" {
		t.Error(fault)
	}
}

// hintsFault returns why the JSON and the page of an exporter have not the whole hint about
// two servers that are no Redis; "" if they have.
func hintsFault(t *testing.T, e exporter) string {
	t.Helper()
	_, body := get(t, e.url+"/api/v1/status")
	var status struct {
		Recommendations []string `json:"recommendations"`
		Unavailable     []struct {
			Collector, Reason, Detail string
		} `json:"unavailable"`
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	advice := strings.Join(status.Recommendations, "\n")
	_, page := get(t, e.url+"/")
	page = html.UnescapeString(page)
	lacks := 0
	for _, u := range status.Unavailable {
		if u.Collector != "redis" {
			continue
		}
		lacks++
		for detail := range strings.SplitSeq(u.Detail, "; redis ") {
			hint := detail[strings.LastIndexAny(detail, ":;")+1:] // behind the name and the fault
			if hint = strings.TrimSpace(hint); !strings.Contains(advice, hint) || strings.Count(page, hint) < 2 {
				return fmt.Sprintf("%q: on the page %d times, in the advice %q", hint, strings.Count(page, hint), advice)
			}
		}
	}
	if lacks == 0 || len(status.Recommendations) < 2 {
		return fmt.Sprintf("%+v", status)
	}
	return ""
}
