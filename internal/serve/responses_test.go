package serve

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// started starts a server with limits and returns it with them.
func started(t *testing.T, h http.Handler, change func(*Responses)) (*httptest.Server, *Responses) {
	t.Helper()
	c := NewConnections(100)
	r := NewResponses(c)
	if change != nil {
		change(r)
	}
	s := httptest.NewUnstartedServer(r.Buffered(h))
	c.Attach(s.Config)
	s.Config.WriteTimeout = 30 * time.Second
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, r
}

func TestResponses(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/same":
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		case "/error":
			http.Error(w, "no", http.StatusTeapot)
		case "/large":
			w.Header().Set("Content-Encoding", "gzip")
			for range 40 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		case "/flush":
			fmt.Fprint(w, http.NewResponseController(w).Flush())
		default:
			fmt.Fprint(w, "hello")
		}
	})
	s, r := started(t, h, nil)
	for _, path := range []string{"/", "/empty", "/same", "/error", "/large", "/flush"} {
		want := map[string]string{"/": "200 5 hello", "/empty": "204 0 ", "/same": "304 -1 ", "/error": "418 3 no\n", "/large": "500 34 the response is larger than 32 MiB\n", "/flush": "200 21 feature not supported"}[path]
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		got := fmt.Sprintf("%d %d %s", resp.StatusCode, resp.ContentLength, b)
		if err != nil || resp.ProtoMajor != 2 || got != want && path != "/same" && path != "/large" {
			t.Errorf("%s: %q over %s, %v; want %q", path, got, resp.Proto, err, want)
		}
		if path == "/large" && (resp.StatusCode != 500 || resp.Header.Get("Content-Encoding") != "" || r.Aborted()[CutTooLarge] != 1) {
			t.Errorf("a response beyond the bound: %s, %v, %v", got, resp.Header, r.Aborted())
		}
	}
}

// The response to a client that does not read ends at the limit, in HTTP/1 and HTTP/2,
// after its handler has returned.
func TestSlowReader(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 16<<20)
	ended := make(chan struct{}, 2)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body); ended <- struct{}{} })
	for name, change := range map[string]func(*Responses){
		"time":   func(r *Responses) { r.limit = 100 * time.Millisecond },
		"memory": func(r *Responses) { r.room = 20 << 20 },
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(name+" "+proto, func(t *testing.T) {
				s, r := started(t, h, change)
				client := s.Client()
				if proto == "HTTP/1.1" {
					client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tlsConn) http.RoundTripper{}
					client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
				}
				slow, err := client.Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = slow.Body.Close() }()
				<-ended
				if name == "memory" {
					second, err := client.Get(s.URL)
					if err != nil {
						t.Fatal(err)
					}
					<-ended
					n, err := io.Copy(io.Discard, second.Body)
					_ = second.Body.Close()
					if err != nil || n != int64(len(body)) {
						t.Errorf("the one who reads got %d bytes, %v", n, err)
					}
				}
				for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
					cut := r.Aborted()
					if cut[CutSlow]+cut[CutMemory] == 1 {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("it was not cut: %v", cut)
					}
				}
				if n, err := io.Copy(io.Discard, slow.Body); err == nil || n >= int64(len(body)) {
					t.Errorf("the slow reader got %d bytes, %v", n, err)
				}
			})
		}
	}
}

func TestHosts(t *testing.T) {
	h, err := NewHosts(HostOptions{Own: []string{"web-1", "web-1.prod.example", "not a name"}, ExternalURL: "https://Resp.Example.com:8443/admin/", Allowed: []string{"Status.Example.", "xn--mnchen-3ya.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST.:9868": true, "127.0.0.1": true, "10.1.2.3:9868": true, "[::1]": true, "[::1]:9868": true, "[fe80::1%25eth0]:1": true,
		"web-1": true, "Web-1.Prod.Example:80": true, "resp.example.com": true, "status.example:1": true, "xn--mnchen-3ya.example": true,
		"evil.example": false, "web-1.evil.example": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "not a name": false, "[evil]": false, "[::1": true,
		"localhost:evil.example": false, ".": false, "localhost..": false, "m\u00fcnchen.example": false, strings.Repeat("a", 300): false, "\x00": false, "localhost\x00": false,
	} {
		if got := h.Allows(host); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
	for _, bad := range []string{"", "a b", "http://x", "x:1", "m\u00fcnchen.example", "[::1]"} {
		if _, err := NewHosts(HostOptions{Allowed: []string{bad}}); err == nil {
			t.Errorf("--web.allowed-host=%q was accepted", bad)
		}
	}
}

func TestGuards(t *testing.T) {
	login := false
	h, err := NewHosts(HostOptions{Login: func() bool { return login }})
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	code := func(g http.Handler, host string, headers ...string) int {
		r := httptest.NewRequest(http.MethodPost, "http://"+host+"/", nil)
		for _, name := range headers {
			r.Header.Set(name, "http://"+host)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	all, browsers := h.Guard(ok), h.GuardBrowsers(ok)
	for _, c := range []struct{ got, want int }{
		{code(all, "localhost"), 200}, {code(all, "evil.example"), 403}, {code(browsers, "evil.example"), 200},
		{code(browsers, "evil.example", "Origin"), 403}, {code(browsers, "evil.example", "Sec-Fetch-Site"), 403}, {code(browsers, "localhost", "Origin"), 200},
	} {
		if c.got != c.want {
			t.Errorf("status %d, want %d", c.got, c.want)
		}
	}
	login = true
	if got := code(all, "evil.example"); got != 200 || h.Refused() != 3 {
		t.Errorf("after a login: status %d; %d refused", got, h.Refused())
	}
	local := httptest.NewRequest(http.MethodGet, "http://any/", nil)
	local = local.WithContext(contextWith(local, &net.UnixAddr{Name: "/run/x", Net: "unix"}))
	login = false
	w := httptest.NewRecorder()
	if all.ServeHTTP(w, local); w.Code != http.StatusOK {
		t.Errorf("over a UNIX socket: status %d", w.Code)
	}
}
