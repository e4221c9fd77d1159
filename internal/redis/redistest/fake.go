// Package redistest is a server for tests that speaks the protocol of Redis and sends the
// replies that a test sets.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Fake is a server with the replies that a test sets.
type Fake struct {
	Addr     string
	Accepted atomic.Int64
	Answer   atomic.Pointer[func(command string, c net.Conn) bool] // false: hang up
}

// Serve starts a fake that ends with the test.
func Serve(t *testing.T, answer func(command string, c net.Conn) bool) *Fake {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{Addr: ln.Addr().String()}
	f.Answer.Store(&answer)
	var wg sync.WaitGroup
	conns := make(chan net.Conn, 1000)
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.Accepted.Add(1)
			conns <- c
			wg.Go(func() { f.talk(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		for len(conns) > 0 {
			_ = (<-conns).Close()
		}
		wg.Wait()
	})
	return f
}

// talk reads commands, arrays of bulk strings, until one of the two hangs up.
func (f *Fake) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return
		}
		var words []string
		// A first byte that is not a number begins a TLS handshake.
		n, err := strconv.Atoi(strings.TrimSpace(head[1:]))
		if err != nil {
			n = int(head[1] - '0')
		}
		for range n {
			_, _ = r.ReadString('\n')
			word, err := r.ReadString('\n')
			if err != nil {
				return
			}
			words = append(words, strings.TrimSpace(word))
		}
		if !(*f.Answer.Load())(strings.ToLower(strings.Join(words, " ")), c) {
			return
		}
	}
}

// Write sends a reply; false: the client has hung up.
func Write(c net.Conn, s string) bool {
	_, err := io.WriteString(c, s)
	return err == nil
}

// Well returns a function that answers as a Redis does, except for the commands in
// replies, by their first word. It returns false, to hang up, if the client has hung up
// or after a reply that begins with "-ERR max".
func Well(replies map[string]string) func(string, net.Conn) bool {
	return func(command string, c net.Conn) bool {
		word, _, _ := strings.Cut(command, " ")
		if s, ok := replies[word]; ok {
			return Write(c, s) && !strings.HasPrefix(s, "-ERR max")
		}
		switch word {
		case "hello":
			return Write(c, "*2\r\n$5\r\nproto\r\n:2\r\n")
		case "ping":
			return Write(c, "+PONG\r\n")
		case "info":
			return Write(c, "$25\r\nkeyspace_hits:7\r\nrole:x\r\n\r\n")
		default:
			return Write(c, "+OK\r\n")
		}
	}
}

// Open returns a server at a URL, until the test ends.
func Open(t *testing.T, url, passwordFile string) *redis.Server {
	t.Helper()
	u, err := config.ParseRedisURL(config.Secret(url))
	if err != nil {
		t.Fatal(err)
	}
	s := redis.Open(redis.Options{URL: u, PasswordFile: passwordFile})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Fault returns the reason and the detail of an error.
func Fault(t *testing.T, err error) (reason.Reason, string) {
	t.Helper()
	var e *redis.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *redis.Error", err)
	}
	return e.Reason, e.Detail
}

// OpenAt returns the server of a fake, by a clock.
func OpenAt(t *testing.T, f *Fake, now func() time.Time) *redis.Server {
	t.Helper()
	u, err := config.ParseRedisURL(config.Secret("redis://" + f.Addr))
	if err != nil {
		t.Fatal(err)
	}
	s := redis.Open(redis.Options{URL: u, Now: now})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Bulk returns a string as Redis encodes it.
func Bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// Array returns an array as Redis encodes it, of items that are encoded already.
func Array(items ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(items), strings.Join(items, ""))
}

// Strings returns an array of strings as Redis encodes it.
func Strings(ss ...string) string {
	items := make([]string, len(ss))
	for i, s := range ss {
		items[i] = Bulk(s)
	}
	return Array(items...)
}
