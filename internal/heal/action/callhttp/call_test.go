package callhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/callhttp"
)

// call is one request as the server received it.
type call struct {
	method, uri, host, body string
	header                  http.Header
}

// hook starts a server that records its requests.
func hook(t *testing.T, answer http.HandlerFunc) (url string, calls func() []call) {
	t.Helper()
	var mu sync.Mutex
	var list []call
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		list = append(list, call{r.Method, r.RequestURI, r.Host, string(b), r.Header.Clone()})
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []call { mu.Lock(); defer mu.Unlock(); return list }
}

func callHTTP(url, tokenFile string) *callhttp.Action {
	return callhttp.New(callhttp.Deps{}, config.CallHTTP{URL: url, TokenFile: tokenFile})
}

// Values of the alert are in strings of the body only.
func TestCallHTTPHandsOverJSONOnly(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	url, calls := hook(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := callHTTP(url+"/hook?key=1", token)
	p, n, err := actiontest.Command(t, t.Context(), a, actiontest.Payloads())
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	got := calls()
	if len(got) != 1 {
		t.Fatalf("%d calls", len(got))
	}
	c := got[0]
	if c.method != http.MethodPost || c.uri != "/hook?key=1" || c.host != strings.TrimPrefix(url, "http://") {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]string{"Idempotency-Key": "r-1", "Authorization": "Bearer hunter2", "Content-Type": "application/json", "User-Agent": "resp-exporter"} {
		if c.header.Get(name) != want {
			t.Errorf("%s: %q", name, c.header.Get(name))
		}
	}
	if c.header.Get("Accept-Encoding") != "" || c.header.Get("Connection") != "close" {
		t.Errorf("a compressed response, or a second call on the connection, is possible: %v", c.header)
	}
	for name, v := range c.header {
		if strings.Contains(name+strings.Join(v, ""), "vil") {
			t.Errorf("%s: %q", name, v)
		}
	}
	var body struct {
		RunID, Action, Target string
		Alert                 struct {
			Name   string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal([]byte(c.body), &body); err != nil || body.Alert.Labels["e"] != actiontest.Payloads()["e"] || body.Target != "url" {
		t.Errorf("%v, %s", err, c.body)
	}
	if strings.Contains(p.Summary, "/hook") {
		t.Errorf("the path, which may be a secret, is shown: %q", p.Summary)
	}
	if o, err := a.Verify(t.Context(), p); o != action.Verified || err != nil {
		t.Errorf("%s, %v", o, err)
	}
}

// timed is a context whose time is over when done is closed.
type timed struct {
	context.Context

	done <-chan struct{}
}

func (c timed) Done() <-chan struct{} { return c.done }

func (c timed) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestCallHTTPFails(t *testing.T) {
	t.Parallel()
	called := make(chan struct{})
	elsewhere, others := hook(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, callhttp.StatusError(http.StatusForbidden)},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
		}, callhttp.StatusError(http.StatusTemporaryRedirect)},
		"headers":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, callhttp.ErrCall},
		"no answer":     {func(_ http.ResponseWriter, r *http.Request) { close(called); <-r.Context().Done() }, context.DeadlineExceeded},
		"no HTTP":       {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "hello\r\n\r\n") }, callhttp.ErrCall},
		"hangs up once": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") }, callhttp.ErrCall},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, calls := hook(t, c.answer)
			a := callHTTP(url+"/secret-path", "")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if name == "no answer" {
				ctx = timed{ctx, called}
			}
			p, _, err := actiontest.Command(t, ctx, a, nil)
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "secret-path") {
				t.Errorf("%v", err)
			}
			if len(calls()) != 1 || len(others()) != 0 {
				t.Errorf("%d calls, and %d elsewhere", len(calls()), len(others()))
			}
			if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
				t.Errorf("%s, %v", o, err)
			}
		})
	}
	if n, err := gone(t); n != 0 || err == nil {
		t.Errorf("nobody listens: %d, %v", n, err)
	}
}

// gone calls a server that has stopped.
func gone(t *testing.T) (int, error) {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, n, err := actiontest.Command(t, t.Context(), callHTTP(s.URL, ""), nil)
	return n, err
}

func hijack(w http.ResponseWriter, say string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, say)
	_ = c.Close()
}

// An endless response is read up to the limit.
func TestCallHTTPEndlessAnswer(t *testing.T) {
	t.Parallel()
	url, _ := hook(t, func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	if _, n, err := actiontest.Command(t, t.Context(), callHTTP(url, ""), nil); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestCallHTTPRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, c := range map[string]struct {
		c    config.CallHTTP
		want action.Code
	}{
		"file":       {config.CallHTTP{URL: "file:///etc/passwd"}, action.CodeURL},
		"login":      {config.CallHTTP{URL: "http://user:hunter2@localhost/"}, action.CodeURLLogin},
		"no host":    {config.CallHTTP{URL: "http:///x"}, action.CodeURL},
		"opaque":     {config.CallHTTP{URL: "http:localhost"}, action.CodeURL},
		"none":       {config.CallHTTP{}, action.CodeURL},
		"no token":   {config.CallHTTP{URL: "http://localhost", TokenFile: filepath.Join(dir, "none")}, action.CodeToken},
		"empty":      {config.CallHTTP{URL: "http://localhost", TokenFile: token("empty", "\n")}, action.CodeToken},
		"two lines":  {config.CallHTTP{URL: "http://localhost", TokenFile: token("two", "a\nX-Evil: 1\n")}, action.CodeToken},
		"long token": {config.CallHTTP{URL: "http://localhost", TokenFile: token("long", strings.Repeat("x", 5000))}, action.CodeToken},
	} {
		p, err := callhttp.New(callhttp.Deps{}, c.c).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.want || strings.Contains(p.Refused.Reason+p.Summary, "hunter2") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
