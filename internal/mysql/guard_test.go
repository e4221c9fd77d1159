package mysql_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

const (
	goodGreeting = "\x0a5.5.5-fake\x00\x07\x00\x00\x0012345678\x00\x01\xa2\x21\x02\x00\x08\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00123456789012\x00mysql_native_password\x00"
	goodOK       = "\x00\x00\x00\x02\x00\x00\x00"
	goodColumn   = "\x03def\x00\x00\x00\x01c\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00"
	goodEOF      = "\xfe\x00\x00\x02\x00"
)

// script is the behaviour of a hostile server on one connection.
type script func(w *wire)

// hostile starts a server that runs the script on each connection, until the test ends.
func hostile(t testing.TB, s script) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				s(&wire{c: c})
				_, _ = io.Copy(io.Discard, c) // until the client hangs up
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); cancel(); wg.Wait() })
	return ln.Addr().String()
}

// flood sends the same bytes until the client hangs up, 200 MB at most.
func flood(w *wire, b string) {
	many := []byte(strings.Repeat(b, max(1, (1<<20)/len(b))))
	for sent := 0; sent < 200<<20; sent += len(many) {
		if _, err := w.c.Write(many); err != nil {
			return
		}
	}
}

// sequence returns the same packet 256 times, numbered from first on.
func sequence(first byte, payload string) string {
	var b strings.Builder
	for i := range 256 {
		b.Write([]byte{byte(len(payload)), 0, 0, first + byte(i)})
		b.WriteString(payload)
	}
	return b.String()
}

// loggedIn responds to everything up to the first statement that starts with query, and
// then runs the script.
func loggedIn(query string, then script) script {
	return func(w *wire) {
		w.send(goodGreeting)
		if _, ok := w.receive(); !ok {
			return
		}
		w.send(goodOK)
		for {
			w.seq = 0
			p, ok := w.receive()
			switch {
			case !ok || len(p) == 0 || p[0] == 1:
				return
			case p[0] == 3 && strings.HasPrefix(string(p[1:]), query):
				then(w)
				return
			case p[0] == 3 && strings.HasPrefix(string(p[1:]), "SELECT VERSION()"):
				w.table([]string{"10.11.6-MariaDB|7"})
			case p[0] == 3 && strings.HasPrefix(string(p[1:]), "SELECT 1"):
				w.table(nil)
			default:
				w.send(goodOK)
			}
		}
	}
}

// ecKey returns a public key that is not RSA.
func ecKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// heading sends the head of a result of n columns named c.
func heading(w *wire, n int) {
	w.send(string(rune(n)))
	for range n {
		w.send(goodColumn)
	}
	w.send(goodEOF)
}

// A read from a hostile server ends with an error of this package, in limited memory.
func TestHostileServer(t *testing.T) {
	sha2 := strings.Replace(goodGreeting, "mysql_native_password", "caching_sha2_password", 1)
	key := ecKey(t)
	first := func(p string) script { return func(w *wire) { w.send(p) } }
	afterLogin := func(p ...string) script {
		return func(w *wire) {
			w.send(sha2)
			if _, ok := w.receive(); !ok {
				return
			}
			for _, x := range p {
				w.send(x)
				if strings.HasPrefix(x, "\x01\x04") || strings.HasPrefix(x, "\xfe") {
					if _, ok := w.receive(); !ok {
						return
					}
				}
			}
		}
	}
	ofRows := func(then script) script { return loggedIn("SHOW PROCESSLIST", then) }
	for name, s := range map[string]script{
		"a greeting of 16 MB":             func(w *wire) { flood(w, "\xff\xff\xff\x00"+strings.Repeat("x", 1000)) },
		"packets of 16 MB in one":         func(w *wire) { flood(w, "\xff\xff\xff\x00") },
		"an empty packet":                 first(""),
		"a greeting cut short":            first(goodGreeting[:15]),
		"a greeting without a salt":       first("\x0a5.5\x00\x07\x00\x00\x0012345678\x00\x01\xa2"),
		"an old protocol":                 first("\x09x"),
		"an error cut short":              first("\xff\x15"),
		"bytes of another protocol":       func(w *wire) { flood(w, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"another login, no salt":          afterLogin("\xfemysql_native_password\x00x"),
		"another login without end":       afterLogin("\xfe" + strings.Repeat("x", 100)),
		"a key that is none of RSA":       afterLogin("\x01\x04", "\x01"+key),
		"endless login":                   func(w *wire) { w.send(sha2); w.receive(); flood(w, "\x02\x00\x00\x02\x01\x05") },
		"an OK cut short":                 afterLogin("\x00"),
		"a login by packets of 1 MB":      afterLogin("\x01" + strings.Repeat("x", 1<<20)),
		"an OK of a statement, cut short": loggedIn("SET", first("\x00\xfc")),
		"2^63 columns":                    ofRows(first("\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")),
		"2^40 columns":                    ofRows(func(w *wire) { w.send("\xfd\xff\xff\xff") }),
		"a file of ours":                  ofRows(first("\xfb/etc/passwd")),
		"endless columns":                 ofRows(func(w *wire) { w.send("\xfc\xff\xff"); flood(w, "\x17\x00\x00\x01"+goodColumn) }),
		"a column cut short":              ofRows(func(w *wire) { w.send("\x01"); w.send("\x03def\x00\x00") }),
		"a column longer than itself":     ofRows(func(w *wire) { w.send("\x01"); w.send("\xfe\xff\xff\xff\xff\xff\xff\xff\xff") }),
		"endless rows":                    ofRows(func(w *wire) { heading(w, 8); flood(w, sequence(w.seq, strings.Repeat("\x011", 8))) }),
		"rows of 16 MB":                   ofRows(func(w *wire) { heading(w, 8); flood(w, "\xff\xff\xff\x0b"+strings.Repeat("x", 1000)) }),
		"rows of 1 MB":                    ofRows(func(w *wire) { heading(w, 8); w.send("\xfd\xf0\xff\x0f" + strings.Repeat("x", 0x0ffff0) + "\xfc") }),
		"a row cut short":                 ofRows(func(w *wire) { heading(w, 8); w.send("\xfc") }),
		"a row with few cells":            ofRows(func(w *wire) { heading(w, 8); w.send("\x011") }),
		"the end of rows, cut short":      ofRows(func(w *wire) { heading(w, 8); w.send("\xfe\x00") }),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, hostile(t, s))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := s.Threads(t.Context())
			runtime.ReadMemStats(&after)
			k := kind(t, err)
			e, _ := errors.AsType[*mysql.Error](err)
			broken := e.Broken                                                                      // kind has seen to it that it is one
			late := k == reason.Timeout && name == "endless rows"                                   // on a slow machine
			refused := k == reason.Failed && (name == "an old protocol" || name == "endless login") // by the driver
			if !broken && !late && !refused {
				t.Errorf("%s: %v", k, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 150<<20 {
				t.Errorf("it made room for %d MB", used>>20)
			}
			if _, err := s.Ping(t.Context()); err == nil && broken {
				t.Error("right after it the server is asked again")
			}
		})
	}
}

// The connection to a server that sends single bytes is closed when the reader's context
// ends.
func TestSlowServer(t *testing.T) {
	s := open(t, hostile(t, loggedIn("SHOW PROCESSLIST", func(w *wire) {
		_, _ = w.c.Write([]byte("\x00\x10\x00\x01")) // 4 KiB are to come
		for {
			if _, err := w.c.Write([]byte("\x01")); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})))
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Threads(ctx); kind(t, err) != reason.Timeout {
		t.Error(err)
	}
}

// Names and states from a server become valid text of limited length.
func TestTextOfServers(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	long := strings.Repeat("\xff\xc3\x00a", 60)
	f.set(func() {
		f.rows["SHOW PROCESSLIST"] = []string{"7|" + long + "|h\r\nx|" + long[:9] + "|Query|0|\x1b[31m|~|0", "8|r\u00e4p|h|~|Sleep|1|s|~|0"}
	})
	threads, err := open(t, f.address()).Threads(t.Context())
	if err != nil || len(threads) != 2 {
		t.Fatalf("%+v, %v", threads, err)
	}
	for _, x := range threads {
		for _, s := range []string{x.User, x.Host, x.DB, x.State} {
			if len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%q", s)
			}
		}
	}
	if threads[1].User != "r\u00e4p" {
		t.Errorf("user %q", threads[1].User)
	}
}
