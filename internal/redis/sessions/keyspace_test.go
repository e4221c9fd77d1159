package sessions_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// keys returns the responses of a Redis with these keys, none of which expires; those in
// replies replace them.
func keys(replies map[string]string, keys ...string) func(string, net.Conn) bool {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = redistest.Bulk(k)
	}
	all := map[string]string{
		"info": redistest.Bulk(fmt.Sprintf("run_id:one\r\ndb0:keys=%d,expires=0\r\n", len(keys))),
		"scan": redistest.Array(redistest.Bulk("0"), redistest.Array(list...)), "ttl": ":-1\r\n", "memory": ":100\r\n",
	}
	maps.Copy(all, replies)
	return redistest.Well(all)
}

// scanner runs a scanner on a fake until the test ends.
func scanner(t *testing.T, f *redistest.Fake) (*sessions.Scanner, *redis.Server) {
	t.Helper()
	s := redistest.Open(t, "redis://hunter2:hunter2@"+f.Addr, "")
	w := sessions.NewScanner(sessions.ScannerOptions{
		Server: s, Sets: []sessions.KeySet{shop}, Interval: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	return w, s
}

// await waits until ok, at most for 20 s.
func await(t *testing.T, w *sessions.Scanner, ok func(sessions.Status) bool) sessions.Status {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		l := w.Status(shop)
		if ok(l) {
			return l
		}
		if time.Now().After(end) {
			t.Fatalf("%+v %v", l, l.Err)
		}
	}
}

// A key from the server that does not begin with the prefix is not counted.
func TestKeyspace(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, keys(nil, "session:1", "session:2", "secret", "session", "session:3"))
	w, _ := scanner(t, f)
	l := await(t, w, func(l sessions.Status) bool { return l.Counts != nil })
	sameTally(t, l.Counts, sessions.Counts{Keys: 3, NoExpiry: known(3), OverLifetime: known(0), Bytes: known(300)})
	if n := f.Accepted.Load(); n != 1 || l.Err != nil {
		t.Errorf("%d connections, %v", n, l.Err)
	}
}

// Each missing right is reported; the values of the other commands are present.
func TestKeyspaceRefusals(t *testing.T) {
	t.Parallel()
	noperm := func(command string) string {
		return "-NOPERM User hunter2 has no permissions to run the '" + command + "' command\r\n"
	}
	for name, c := range map[string]struct {
		replies map[string]string
		remedy  string // is in the command that grants the right
		tally   *sessions.Counts
	}{
		"scan":     {map[string]string{"scan": noperm("scan")}, "ACL SETUSER <user> +scan", nil},
		"info":     {map[string]string{"info": noperm("info")}, "ACL SETUSER <user> +info", &sessions.Counts{Keys: 2, NoExpiry: known(2), OverLifetime: known(0), Bytes: known(200)}},
		"ttl":      {map[string]string{"ttl": noperm("ttl")}, "ACL SETUSER <user> +ttl", &sessions.Counts{Keys: 2, Bytes: known(200)}},
		"memory":   {map[string]string{"memory": noperm("memory|usage")}, "ACL SETUSER <user> +memory|usage", &sessions.Counts{Keys: 2, NoExpiry: known(2), OverLifetime: known(0)}},
		"memory 6": {map[string]string{"memory": "-NOPERM this user has no permissions to run the 'memory' command or its subcommand\r\n"}, "+memory|usage", &sessions.Counts{Keys: 2, NoExpiry: known(2), OverLifetime: known(0)}},
		"keys":     {map[string]string{"ttl": "-NOPERM No permissions to access a key\r\n", "memory": "-NOPERM No permissions to access a key\r\n"}, "%R~<prefix>*", &sessions.Counts{Keys: 2}},
		"keys 6":   {map[string]string{"ttl": "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"}, "%R~<prefix>*", &sessions.Counts{Keys: 2, Bytes: known(200)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := scanner(t, redistest.Serve(t, keys(c.replies, "session:hunter2", "session:hunter2:b")))
			l := await(t, w, func(l sessions.Status) bool { return l.Err != nil && (l.Counts != nil) == (c.tally != nil) })
			if l.Err.Reason != reason.Permission || !strings.Contains(l.Err.Remedy, c.remedy) || strings.Contains(l.Err.Detail, "hunter2") {
				t.Errorf("%s %q, want %q and no name", l.Err.Reason, l.Err.Remedy, c.remedy)
			}
			if c.tally != nil {
				sameTally(t, l.Counts, *c.tally)
			}
			if _, err := s.Ping(t.Context()); err != nil {
				t.Errorf("a ping beside it: %v", err)
			}
		})
	}
}

// With hostile replies for its keys a ping is still sent in time, and no key is counted
// that does not exist.
func TestKeyspaceHostile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]map[string]string{
		"not a list":       {"scan": "+OK\r\n"},
		"no list":          {"scan": "*-1\r\n"},
		"no keys":          {"scan": "*2\r\n$1\r\n0\r\n*-1\r\n"},
		"no cursor":        {"scan": "*2\r\n$3\r\nabc\r\n*0\r\n"},
		"one of two":       {"scan": "*1\r\n$1\r\n0\r\n"},
		"too large":        {"scan": "*2\r\n$1\r\n0\r\n*1\r\n$1000000000\r\n"},
		"too many":         {"scan": "*2\r\n$1\r\n0\r\n*1000000000\r\n"},
		"an expiry of yes": {"ttl": "+yes\r\n"},
		"a list of sizes":  {"memory": "*1\r\n:1\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := scanner(t, redistest.Serve(t, keys(c, "session:hunter2")))
			l := await(t, w, func(l sessions.Status) bool { return l.Err != nil || l.Counts != nil })
			if l.Err == nil && (l.Counts.Keys != 0 || *l.Counts.Bytes != 0) || l.Err != nil && strings.Contains(l.Err.Detail, "hunter2") {
				t.Errorf("%+v %v", l.Counts, l.Err)
			}
			for range 20 {
				if _, err := s.Ping(t.Context()); err != nil {
					t.Fatalf("a ping beside it: %v", err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// A page of many more keys than requested is queried in round trips of limited size.
func TestKeyspaceMany(t *testing.T) {
	t.Parallel()
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("session:%d", i)
	}
	w, _ := scanner(t, redistest.Serve(t, keys(nil, many...)))
	l := await(t, w, func(l sessions.Status) bool { return l.Counts != nil })
	sameTally(t, l.Counts, sessions.Counts{Keys: 1000, NoExpiry: known(1000), OverLifetime: known(0), Bytes: known(100_000)})
}
