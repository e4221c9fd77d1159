package redis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// A server without a response is retried with a backoff, and no connection is left.
func TestBackoff(t *testing.T) {
	f := redistest.Serve(t, func(string, net.Conn) bool { return true })
	var now atomic.Int64 // seconds; it stands still until it is moved
	s := redistest.OpenAt(t, f, func() time.Time { return time.Unix(now.Load(), 0) })
	limit := 50 * time.Millisecond
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := s.Ping(ctx)
		return err
	}
	before := runtime.NumGoroutine()
	for range 100 {
		if k, detail := redistest.Fault(t, ping()); k != reason.Timeout {
			t.Fatal(k, detail)
		}
	}
	if n := f.Accepted.Load(); n > 1 {
		t.Errorf("%d connections in a hundred reads", n)
	}
	after := runtime.NumGoroutine()
	for end := time.Now().Add(20 * time.Second); after > before+2 && time.Now().Before(end); after = runtime.NumGoroutine() { // the fake has one a connection
		time.Sleep(20 * time.Millisecond)
	}
	if after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	answer := redistest.Well(nil)
	f.Answer.Store(&answer)
	now.Add(60)
	limit = 20 * time.Second
	if err := ping(); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// A connection that breaks between two scrapes makes no scrape fail.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, redistest.Well(nil))
	s := redistest.Open(t, "redis://"+f.Addr, "")
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := func(command string, c net.Conn) bool {
		if f.Accepted.Load() == 1 {
			return false
		}
		return redistest.Well(nil)(command, c)
	}
	f.Answer.Store(&answer)
	if _, err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if n := f.Accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// An error of the caller's own is returned at once, and the connection is kept; one of the
// connection makes one more call.
func TestCallsOfDo(t *testing.T) {
	t.Parallel()
	own := errors.New("own")
	for name, c := range map[string]struct {
		err                error
		calls, connections int64
	}{"own": {own, 1, 1}, "wrapped": {fmt.Errorf("list: %w", own), 1, 1}, "hang-up": {io.EOF, 2, 2}, "replaced": {redis.ErrStale, 2, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redistest.Serve(t, redistest.Well(nil))
			s := redistest.Open(t, "redis://"+f.Addr, "")
			calls := int64(0)
			err := s.WithKeys(t.Context(), func(context.Context, *redis.Link) error {
				calls++
				return c.err
			})
			var fault *redis.Error
			if !errors.As(err, &fault) || c.calls == 1 && !errors.Is(err, c.err) {
				t.Errorf("error %v", err)
			}
			if n := f.Accepted.Load(); calls != c.calls || n != c.connections {
				t.Errorf("%d calls, %d connections", calls, n)
			}
			if _, err := s.Ping(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// The password file is read at each connect; a new one is used at once, without waiting
// for the backoff.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, func(command string, c net.Conn) bool {
		if (strings.HasPrefix(command, "hello") || strings.HasPrefix(command, "auth")) && !strings.Contains(command, "auth resp second") && !strings.Contains(command, "resp second") {
			return redistest.Write(c, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		}
		return redistest.Well(nil)(command, c)
	})
	file := filepath.Join(t.TempDir(), "password")
	s := redistest.Open(t, "redis://resp:unused@"+f.Addr, file)
	if k, detail := redistest.Fault(t, ping(t, s)); k != reason.NotFound || detail != redis.Explain(&secret.Error{Err: syscall.ENOENT}, "", false).Detail {
		t.Errorf("without a file: %s %s", k, detail)
	}
	save(t, file, "first\n")
	if k, detail := redistest.Fault(t, ping(t, s)); k != reason.Permission || detail != redis.ReplyFault("-WRONGPASS x").Detail {
		t.Errorf("with the wrong password: %s %s", k, detail)
	}
	tries := f.Accepted.Load()
	_ = ping(t, s)
	if n := f.Accepted.Load(); n != tries {
		t.Errorf("tried again at once: %d connections, then %d", tries, n)
	}
	save(t, file, "second\r\n")
	if err := ping(t, s); err != nil {
		t.Errorf("with the right password: %v", err)
	}
}

func ping(t *testing.T, s *redis.Server) error {
	t.Helper()
	_, err := s.Ping(t.Context())
	return err
}

func save(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	dir := t.TempDir()
	for url, because := range map[string]error{
		"redis://" + addr:                        syscall.ECONNREFUSED,
		"rediss://" + addr:                       syscall.ECONNREFUSED,
		"unix://" + dir + "/none.sock":           fs.ErrNotExist,
		"redis://nobody.invalid:6379":            &net.DNSError{},
		"redis+cluster://" + addr:                syscall.ECONNREFUSED,
		"redis+sentinel://" + addr + "/mymaster": errors.Join(redis.ErrSentinel, syscall.ECONNREFUSED),
	} {
		want := redis.Explain(because, "", false)
		k, detail := redistest.Fault(t, ping(t, redistest.Open(t, url, "")))
		if k != reason.NotFound || k != want.Reason || detail != want.Detail {
			t.Errorf("%s: %s %q, want %+v", url, k, detail, want)
		}
	}
	if k, detail := redistest.Fault(t, ping(t, redistest.Open(t, "rediss://"+addr+"?ca_file="+dir+"/none.pem", ""))); k != reason.NotFound {
		t.Errorf("%s %s", k, detail)
	}
}

// The address from a sentinel is checked, and a sentinel that hangs is skipped.
func TestSentinels(t *testing.T) {
	t.Parallel()
	master := redistest.Serve(t, redistest.Well(nil))
	host, port, _ := net.SplitHostPort(master.Addr)
	say := func(s string) *redistest.Fake {
		return redistest.Serve(t, redistest.Well(map[string]string{"sentinel": s}))
	}
	good := say("*2\r\n$" + strconv.Itoa(len(host)) + "\r\n" + host + "\r\n$" + strconv.Itoa(len(port)) + "\r\n" + port + "\r\n")
	hung := redistest.Serve(t, func(string, net.Conn) bool { return true })
	if err := ping(t, redistest.Open(t, "redis+sentinel://"+hung.Addr+","+good.Addr+"/m", "")); err != nil { // in the time of the one read
		t.Error(err)
	}
	for answer, want := range map[string]struct {
		kind reason.Reason
		of   error // whose sentence it has; nil: any
	}{
		"*-1\r\n":                  {reason.NotFound, redis.ErrNoMaster},
		"*1\r\n$1\r\nx\r\n":        {reason.Failed, redis.ErrSentinel},
		"*0\r\n":                   {reason.Failed, redis.ErrSentinel},
		":1\r\n":                   {reason.Failed, redis.ErrSentinel},
		"-NOAUTH hunter2\r\n":      {reason.Permission, redis.ErrSentinel},
		"*2\r\n$1\r\nx\r\n$-1\r\n": {reason.NotFound, nil},
	} {
		k, detail := redistest.Fault(t, ping(t, redistest.Open(t, "redis+sentinel://"+say(answer).Addr+"/m", "")))
		if k != want.kind || want.of != nil && detail != redis.Explain(want.of, "", false).Detail {
			t.Errorf("%q: %s %s", answer, k, detail)
		}
	}
}

// TLS with a server without it, and plain text with a TLS server, have their own errors.
func TestTLSMismatch(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, func(string, net.Conn) bool { return true })
	answer := func(_ string, c net.Conn) bool { return redistest.Write(c, "-ERR unknown command\r\n") }
	f.Answer.Store(&answer)
	if _, detail := redistest.Fault(t, ping(t, redistest.Open(t, "rediss://"+f.Addr, ""))); detail != redis.Explain(tls.RecordHeaderError{}, "", true).Detail && detail != redis.Explain(errors.Join(redis.ErrHandshake, context.DeadlineExceeded), "", true).Detail {
		t.Error(detail)
	}
	dir := t.TempDir()
	save(t, filepath.Join(dir, "empty.pem"), "")
	if k, detail := redistest.Fault(t, ping(t, redistest.Open(t, "rediss://"+f.Addr+"?ca_file="+dir+"/empty.pem", ""))); k != reason.Permission || detail != redis.Explain(redis.ErrCertificate, "", true).Detail {
		t.Error(k, detail)
	}
}
