package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	endian "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const controlSecret = "0123456789abcdef"

// keyServers are servers whose one worker follows a control key, each in another way: its
// reading thread is a greenlet, or starts in a process that the loaded app was forked to.
var keyServers = []struct {
	name, server string
	args         []string
}{
	{"gunicorn gevent", "gunicorn", []string{"-w", "1", "-k", "gevent"}},
	{"gunicorn gevent preload", "gunicorn", []string{"-w", "1", "-k", "gevent", "--preload"}},
	{"gunicorn gthread preload", "gunicorn", []string{"-w", "1", "--threads", "4", "--preload"}},
	{"uWSGI threads", "uwsgi", []string{"--master", "--processes", "1", "--threads", "2"}},
}

// sealed returns the value of a control key as docs/security.md describes it.
func sealed(secret, app, document string) (string, error) {
	by, sent := "web-1", time.Now().UnixMilli()
	h := hmac.New(sha256.New, []byte(secret))
	for _, f := range []string{"resp-exporter control 1", app, by, strconv.FormatInt(sent, 10), document} {
		_, _ = h.Write(endian.BigEndian.AppendUint64(nil, uint64(len(f))))
		_, _ = h.Write([]byte(f))
	}
	b, err := json.Marshal(map[string]any{"version": 1, "by": by, "sent": sent, "document": document, "mac": hex.EncodeToString(h.Sum(nil))})
	return string(b), err
}

// throttles writes a control key of the app shop twice a second, as an exporter does, until
// ctx ends: half of the requests are to be shed.
func (r *redisServer) throttles(ctx context.Context) {
	for ctx.Err() == nil {
		value, err := sealed(controlSecret, "shop", fmt.Sprintf(`{"version":1,"throttle":{"percent":50,"until":%d}}`, time.Now().Add(time.Minute).Unix()))
		if err == nil { // one that fails is written again; a Redis that hangs keeps it waiting
			_ = exec.CommandContext(ctx, "redis-cli", "-p", strconv.Itoa(r.port), "SET", "resp:control:shop", value, "PX", "5000").Run() //nolint:gosec // a test's own server
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// workerOf returns the pid of the worker that answers.
func (a *app) workerOf(t *testing.T) (pid int) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		resp, err := a.client.Get("http://app/healthz")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		return err
	})
	return pid
}

// slowest returns the longest duration of the requests of two seconds, one after another.
func (a *app) slowest() (longest time.Duration) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		began := time.Now()
		a.get("/")
		longest = max(longest, time.Since(began))
	}
	return longest
}

// TestKeyServers checks that a worker under each kind of server follows a control key, that
// the one that replaces it does too, and that no request waits for a Redis that hangs.
func TestKeyServers(t *testing.T) {
	t.Parallel()
	lib, err := filepath.Abs(integration)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range keyServers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			r.cli("ACL", append([]string{"SETUSER", "shop", "reset", "on", ">reader"}, strings.Fields(readerRights)...)...)
			env := append(withoutTitles(t), "RESP_STATSD=", "RESP_CONTROL_KEY_FILE="+write(t, filepath.Join(openDir(t), "key"), controlSecret+"\n"),
				fmt.Sprintf("CONTROL_REDIS=redis://shop:reader@127.0.0.1:%d/0", r.port))
			env[0] += ":" + lib
			a := serve(t, launch{server: s.server, source: "shop/asked.py", args: s.args, env: env})
			if share := shedBy(a, 50); share > 0 {
				t.Errorf("%.0f %% of the requests were shed before", 100*share)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); r.throttles(ctx) }()
			t.Cleanup(func() { cancel(); <-ended })
			follows := func() {
				t.Helper()
				eventually(t, 30*time.Second, func() error {
					if share := shedBy(a, 200); share < 0.4 || share > 0.6 {
						return fmt.Errorf("%.0f %% of the requests were shed, want 50", 100*share)
					}
					return nil
				})
			}
			follows()
			pid := a.workerOf(t)
			signals(t, pid, syscall.SIGKILL)
			eventually(t, 30*time.Second, func() error { return wants("another worker", a.workerOf(t) != pid, true) })
			follows()
			a.unhindered(t, r)
			follows()
		})
	}
}

// unhindered checks that no request waits while the Redis of the control key hangs: the
// worker begins to read the key in that time, and gives up after half a second, for which a
// request would have to wait.
func (a *app) unhindered(t *testing.T, r *redisServer) {
	t.Helper()
	usual := a.slowest()
	limit, least := max(3*usual, 400*time.Millisecond), time.Hour
	for end := time.Now().Add(scaled(12 * time.Second)); least > limit && time.Now().Before(end); { // the machine may be busy meanwhile
		signals(t, r.proc.PID(), syscall.SIGSTOP)
		least = min(least, a.slowest())
		signals(t, r.proc.PID(), syscall.SIGCONT)
		passes(t, 3*time.Second, "the key is read again, 2 s after it could not be")
	}
	if t.Logf("the slowest request took %s, and %s while Redis hung", usual, least); least > limit {
		t.Errorf("a request took %s while Redis hung, and %s before: more than %s", least, usual, limit)
	}
}
