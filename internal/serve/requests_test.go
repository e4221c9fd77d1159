package serve

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for an event that an idle machine has at once.
const patience = 30 * time.Second

// slowServer returns a server of few connections with timeouts of an hour. It reads
// bodies only of requests for /read.
func slowServer(t *testing.T, encrypted, h2 bool) (*httptest.Server, *Connections) {
	t.Helper()
	c := NewConnections(8)
	r := NewResponses(c)
	s := httptest.NewUnstartedServer(c.Requests(r.Buffered(c.Bodies(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/read" {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		fmt.Fprint(w, "hello")
	})))))
	c.Attach(s.Config)
	s.Config.ReadTimeout, s.Config.ReadHeaderTimeout, s.Config.IdleTimeout = time.Hour, time.Hour, time.Hour
	s.EnableHTTP2 = h2
	if encrypted {
		s.StartTLS()
	} else {
		s.Start()
	}
	// Else the end of the server would wait for connections that are open.
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s, c
}

// raw opens a connection and sends bytes over it.
func raw(t *testing.T, s *httptest.Server, what string) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	address := s.Listener.Addr().String()
	if strings.HasPrefix(s.URL, "https") {
		conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a server of the test
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		return nil // it was refused while others were worked for
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, what)
	return conn
}

// answers returns an error if a new client gets no response.
func answers(s *httptest.Server) error {
	base, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the transport is a %T", s.Client().Transport)
	}
	transport := base.Clone()
	defer transport.CloseIdleConnections()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var resp *http.Response
		if resp, err = (&http.Client{Transport: transport, Timeout: patience}).Get(s.URL); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("a new client does not get in: %w", err)
}

const withBody = " HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"

// slowSenders returns incomplete requests, after which a client sends nothing more.
func slowSenders() map[string]string {
	return map[string]string{
		"nothing": "", "half a line": "GE", "half the headers": "GET / HTTP/1.1\r\nHost: a\r\nX-Y: ",
		"a body that is read": "POST /read" + withBody + "\r\n", "half of it": "POST /read" + withBody + "\r\nabc",
		"a body that is not read": "POST /" + withBody + "\r\n", "of GET": "GET /" + withBody + "\r\n", "of another method": "DELETE /" + withBody + "\r\n",
		"chunks": "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "chunks of GET": "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a large body":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n",
		"after 100":         "POST /read" + withBody + "Expect: 100-continue\r\n\r\n",
		"after 100, unread": "POST /" + withBody + "Expect: 100-continue\r\n\r\n",
		"after 100 of GET":  "GET /" + withBody + "Expect: 100-continue\r\n\r\n",
		"after another 100": "POST /read" + withBody + "Expect: more\r\n\r\n",
		"a second request":  "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /read" + withBody + "\r\n", "a third": "POST /read" + withBody + "\r\n123456789GET /" + withBody + "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	}
}

// A client that sends only a part of a request does not block the others.
func TestSlowSendersAreClosed(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s, c := slowServer(t, encrypted, false)
			for what, text := range slowSenders() {
				for range 12 {
					raw(t, s, text)
				}
				if err := answers(s); err != nil {
					t.Fatalf("%s: %v, %+v", what, err, c.Stats())
				}
			}
			for range 12 { // no handshake, where there is one
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
			}
			if err := answers(s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A request other than POST has its response at once, without waiting for its body; for
// the body of a POST the server waits for BodyLimit.
func TestBodyThatDoesNotCome(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		for name, want := range map[string]string{
			"of GET": "400", "of another method": "400", "chunks of GET": "400", "after 100 of GET": "400",
			"a body that is read": "400", "half of it": "400", "a body that is not read": "200", "chunks": "400", "a large body": "200", "after 100": "100",
		} {
			t.Run(fmt.Sprintf("%s, encrypted %t", name, encrypted), func(t *testing.T) {
				t.Parallel()
				s, _ := slowServer(t, encrypted, false)
				conn := raw(t, s, slowSenders()[name])
				if conn == nil {
					t.Fatal("no connection")
				}
				if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+want) || !strings.Contains(string(got), "Connection: close\r\n") {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
	}
}

// Bodies that arrive are read, and their connections stay open.
func TestConnectionIsKept(t *testing.T) {
	s, _ := slowServer(t, false, false)
	conn := raw(t, s, strings.Repeat("POST /read"+withBody+"\r\n123456789GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3)+"GET / HTTP/1.0\r\n\r\n")
	if conn == nil {
		t.Fatal("no connection")
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if n := strings.Count(string(got), " 200 OK\r\n"); err != nil || n != 7 {
		t.Errorf("%d of 7 answers, %v", n, err)
	}
}

// HTTP/2 streams whose bodies do not arrive, or whose responses are not read, do not
// block other clients either.
func TestSlowStreamsAreClosed(t *testing.T) {
	s, c := slowServer(t, true, true)
	base, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the transport is a %T", s.Client().Transport)
	}
	for _, what := range []string{"POST /read", "POST /", "GET /"} {
		method, path, _ := strings.Cut(what, " ")
		for range 12 {
			transport := base.Clone()
			t.Cleanup(transport.CloseIdleConnections)
			for range 4 {
				body, end := io.Pipe()
				t.Cleanup(func() { _ = end.Close() })
				req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if resp, err := transport.RoundTrip(req); err == nil {
						_ = resp.Body.Close()
					}
				}()
			}
		}
		if err := answers(s); err != nil {
			t.Fatalf("%s: %v, %+v", what, err, c.Stats())
		}
	}
}
