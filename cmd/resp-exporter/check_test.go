package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// statusOf returns a body of /api/v1/status with the health of these apps and of the
// host, evaluated so long ago.
func statusOf(ago time.Duration, host string, apps ...string) string {
	var list []string
	for i, h := range apps {
		list = append(list, fmt.Sprintf(`{"name":"app%d","workers":[],"health":%s}`, i, h))
	}
	at := checkedAt.Add(-ago).Format(time.RFC3339)
	return fmt.Sprintf(`{"version":"1","last_check":%q,"health":%s,"apps":[%s]}`, at, host, strings.Join(list, ","))
}

func healthOf(level string, alerts, recommendations string) string {
	return fmt.Sprintf(`{"overall_status":%q,"components":{"workers":%q},"alerts":[%s],"recommendations":[%s],"last_check":"2026-01-02T12:00:00Z"}`, level, level, alerts, recommendations)
}

// checkedAt is the time of the clock of the exporter.
var checkedAt = time.Date(2026, 1, 2, 12, 0, 10, 0, time.UTC)

const (
	none  = `{"overall_status":"healthy","components":{},"alerts":[],"recommendations":[],"last_check":"2026-01-02T12:00:00Z"}`
	disk  = `{"name":"disk /","severity":"warning","component":"disk","summary":"disk / is at 90 %","since":"2026-01-02T12:00:00Z"}`
	stuck = `{"name":"workers","severity":"critical","component":"workers","summary":"app1 does not answer: 2 of 2 workers stuck","since":"2026-01-02T11:59:00Z"}`
)

// chained returns a status with a chain of an app.
func chained(app, status string) string {
	return strings.Replace(status, `{"version"`, `{"chains":[{"app":"`+app+`","sentence":"2 of 2 workers of `+app+` wait for MySQL main: connection 812 holds a row.","advice":"End 812."}],"version"`, 1)
}

// caused returns a status with a cause of its first app.
func caused(status string) string {
	return strings.Replace(status, `"name":"app0"`, `"name":"app0","bottleneck":{"cause":"db_lock","sentence":"app0 is held up by a lock in MySQL main."}`, 1)
}

func TestCheck(t *testing.T) {
	text := newPrinted(t, "check.golden")
	well := healthOf("healthy", "", "")
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"healthy":                  {statusOf(0, none, well, well), 0},
		"warning":                  {statusOf(0, healthOf("warning", disk, `"Free space."`), healthOf("warning", disk, `"Free space."`)), 1},
		"critical":                 {statusOf(0, none, healthOf("warning", disk, ""), healthOf("critical", stuck+","+disk, `"End it.","Free space."`)), 2},
		"a store without an app":   {statusOf(0, healthOf("critical", stuck, "")), 3},
		"partly well":              {statusOf(0, strings.Replace(none, "{}", `{"cpu":"healthy","disk":"healthy"}`, 1), well, strings.Replace(healthOf("critical", stuck, `"End it."`), `{"workers"`, `{"cpu":"healthy","requests":"healthy","workers"`, 1)), 2},
		"muted":                    {statusOf(0, none, strings.Replace(well, `"alerts"`, `"muted":["tasks","pool"],"alerts"`, 1)), 0},
		"in the order of the page": {strings.Replace(statusOf(0, healthOf("critical", "", `"Root."`), healthOf("critical", stuck, `"Symptom."`)), `{"version"`, `{"recommendations":["Root.","Symptom."],"version"`, 1), 2},
		"a chain":                  {chained("app0", statusOf(0, none, healthOf("critical", stuck, `"End 812."`))), 2},
		"a chain of another app":   {chained("app1", statusOf(0, none, healthOf("critical", stuck, ""), well)), 2},
		"a chain and a worse host": {chained("app0", statusOf(0, healthOf("critical", strings.Replace(disk, "warning", "critical", 1), ""), healthOf("critical", strings.Replace(stuck, "critical", "warning", 1)+","+strings.Replace(disk, "warning", "critical", 1), ""))), 2},
		"a cause":                  {caused(chained("app0", statusOf(0, none, healthOf("critical", stuck, `"End 812."`)))), 2},
		"a cause, and all is well": {caused(statusOf(0, none, well)), 0},
		"a chain, and all is well": {chained("app0", statusOf(0, none, well)), 0},
		"what has ended":           {statusOf(0, none, strings.Replace(well, `"recommendations"`, `"recovering":[`+strings.Replace(stuck, "}", `,"ended":"2026-01-02T12:00:00Z"}`, 1)+`],"recommendations"`, 1)), 0},
		"no app":                   {statusOf(0, none), 3},
		"an app not known":         {statusOf(0, none, well, "null"), 3},
		"not yet looked":           {`{"last_check":null,"health":null,"apps":[]}`, 3},
		"looked long ago":          {statusOf(10*time.Hour, none, well), 3},
		"no JSON":                  {"<html>", 3},
		"an unheard-of level":      {statusOf(0, none, healthOf("fine", "", "")), 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/admin/api/v1/status" {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Date", checkedAt.Format(http.TimeFormat))
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			var out, errOut bytes.Buffer
			if code := run([]string{"check", "--url=" + s.URL + "/admin/"}, &out, &errOut); code != c.code || errOut.Len() > 0 {
				t.Errorf("exit code %d, want %d; standard error: %s", code, c.code, errOut.String())
			}
			text.add(name, out.String(), s.URL)
			if n := strings.Count(out.String(), ": disk / is at"); n > 1 {
				t.Errorf("a disk is told %d times:\n%s", n, out.String())
			}
			checkJSON(t, s.URL+"/admin", c.code)
		})
	}
}

// The exporter's own readiness does not depend on the health of the apps.
func TestCheckSelf(t *testing.T) {
	text := newPrinted(t, "check_self.golden")
	for name, c := range map[string]struct {
		status, code int
	}{
		"ready":     {http.StatusOK, 0},
		"not ready": {http.StatusServiceUnavailable, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/admin/-/ready" {
					http.NotFound(w, r)
					return
				}
				w.WriteHeader(c.status)
			}))
			defer s.Close()
			var out bytes.Buffer
			if code := run([]string{"check", "--self", "--url=" + s.URL + "/admin/"}, &out, &out); code != c.code {
				t.Errorf("exit code %d with %q, want %d", code, out.String(), c.code)
			}
			text.add(name, out.String(), s.URL)
		})
	}
}

// checkJSON runs check with JSON output, which must be valid, with the same exit code.
func checkJSON(t *testing.T, url string, code int) {
	t.Helper()
	var out bytes.Buffer
	if got := run([]string{"check", "--output=json", "--url", url}, &out, &out); got != code {
		t.Errorf("JSON: exit code %d, want %d", got, code)
	}
	var r struct {
		Status  string
		Summary string
		Alerts  []any
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Summary == "" || r.Alerts == nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if want := [...]string{"healthy", "warning", "critical", "unknown"}[code]; r.Status != want {
		t.Errorf("status %q, want %q", r.Status, want)
	}
}

func clientFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "http.yml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An address needs no scheme; TLS and the login come from a file, as for promtool.
func TestCheckAddress(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "zoe" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Date", checkedAt.Format(http.TimeFormat))
		fmt.Fprint(w, statusOf(0, none, healthOf("healthy", "", "")))
	})
	plain := httptest.NewServer(answer)
	defer plain.Close()
	secure := httptest.NewTLSServer(answer)
	defer secure.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for name, content := range map[string]string{
		"ca.pem": string(ca), "password": "s3cret\n", "login.yml": "basic_auth: {username: zoe, password_file: password}\n",
		"tls.yml":   "basic_auth: {username: zoe, password_file: password}\ntls_config: {ca_file: ca.pem}\n",
		"wrong.yml": "basic_auth: {username: zoe, password: guess}\ntls_config: {ca_file: ca.pem}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bare := func(u string) string { return u[strings.Index(u, "://")+3:] }
	for name, c := range map[string]struct {
		url, file string
		code      int
	}{
		"bare":                     {bare(plain.URL), "login.yml", 0},
		"bare, with a path":        {bare(plain.URL) + "/", "login.yml", 0},
		"bare, with a login":       {"zoe:s3cret@" + bare(plain.URL), "", 0},
		"bare, over TLS":           {bare(secure.URL), "tls.yml", 0},
		"URL, over TLS":            {secure.URL, "tls.yml", 0},
		"without a login":          {bare(plain.URL), "", 3},
		"wrong login":              {bare(secure.URL), "wrong.yml", 3},
		"without its authority":    {secure.URL, "login.yml", 3},
		"URL, plain, file for TLS": {plain.URL, "tls.yml", 0},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"check", "--url=" + c.url}
			if c.file != "" {
				args = append(args, "--http.config.file="+filepath.Join(dir, c.file))
			}
			var out bytes.Buffer
			if code := run(args, &out, &out); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, out.String())
			}
		})
	}
}

// An address without a port has that of the exporter.
func TestExporterURL(t *testing.T) {
	for address, want := range map[string]string{
		"web-1": "http://web-1:9868", "web-1:80": "http://web-1:80", ":9868": "http://localhost:9868", "[::1]": "http://[::1]:9868",
		"[::1]:80/admin": "http://[::1]:80/admin", "10.0.0.9/x": "http://10.0.0.9:9868/x", "zoe:s@web-1": "http://zoe:s@web-1:9868",
		"http://web-1": "http://web-1", "https://web-1:1/x": "https://web-1:1/x", "": "", "ftp://web-1": "", "http://": "", "web 1": "",
	} {
		u, err := exporterURL(address, false)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%q: %v %v, want %s", address, u, err, want)
		}
	}
	if u, err := exporterURL("web-1", true); err != nil || u.String() != "https://web-1:9868" {
		t.Errorf("with TLS: %v %v", u, err)
	}
}

// Any other failure is unknown, and the output has no login.
func TestCheckUnknown(t *testing.T) {
	text := newPrinted(t, "check_unknown.golden")
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "zoe" || password != "s3cret" {
			t.Errorf("login %q %q", user, password)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer refuses.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	tls := httptest.NewUnstartedServer(nil) // its certificate is signed by an unknown CA
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	for name, c := range map[string]struct {
		args []string
	}{
		"refused":         {[]string{"check", "--url=" + strings.Replace(refuses.URL, "://", "://zoe:s3cret@", 1)}},
		"nobody there":    {[]string{"check", "--url=" + strings.Replace(closed.URL, "://", "://zoe:s3cret@", 1)}},
		"strange signer":  {[]string{"check", "--url=" + strings.Replace(tls.URL, "://", "://zoe:s3cret@", 1)}},
		"nobody, itself":  {[]string{"check", "--self", "--url=" + strings.Replace(closed.URL, "://", "://zoe:s3cret@", 1)}},
		"no URL":          {[]string{"check", "--url=zoe:s3cret@"}},
		"strange scheme":  {[]string{"check", "--url=ftp://zoe:s3cret@web-1/"}},
		"no client file":  {[]string{"check", "--http.config.file=testdata/absent.yml"}},
		"bad client file": {[]string{"check", "--http.config.file=" + clientFile(t, "basic_auth: {username: zoe, password: s3cret}\nfollow_redirects: s3cret\n")}},
		"unknown flag":    {[]string{"check", "--uri=x"}},
		"unknown printer": {[]string{"check", "--output=xml"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(c.args, &out, &out); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "zoe") {
				t.Errorf("it tells a login: %q", out.String())
			}
			text.add(name, regexp.MustCompile(`/\S*/http\.yml`).ReplaceAllString(out.String(), "http.yml"), refuses.URL, closed.URL, tls.URL)
		})
	}
}
