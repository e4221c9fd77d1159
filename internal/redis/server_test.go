package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

func TestServer(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, redistest.Well(nil))
	s := redistest.Open(t, "redis://"+f.Addr, "")
	for range 3 {
		took, err := s.Ping(t.Context())
		if err != nil || took <= 0 {
			t.Fatalf("ping: %s, %v", took, err)
		}
		i, err := s.Info(t.Context())
		if err != nil || i.Hits == nil || *i.Hits != 7 || i.Misses != nil {
			t.Fatalf("info: %s, %v", show(i), err)
		}
	}
	if n := f.Accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Ping(t.Context()); err == nil {
		t.Error("a closed server answers")
	}
	if n := f.Accepted.Load(); n != 1 {
		t.Error("a closed server connects")
	}
}

// A server before 7.0 accepts at most one section of INFO.
func TestOldServer(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, func(command string, c net.Conn) bool {
		switch {
		case strings.HasPrefix(command, "hello"):
			return redistest.Write(c, "-ERR unknown command `HELLO`\r\n")
		case command == "info":
			return redistest.Write(c, "$17\r\nkeyspace_hits:7\r\n\r\n")
		case strings.HasPrefix(command, "info"):
			return redistest.Write(c, "-ERR syntax error\r\n")
		}
		return redistest.Well(nil)(command, c)
	})
	s := redistest.Open(t, "redis://"+f.Addr, "")
	for range 2 {
		if i, err := s.Info(t.Context()); err != nil || i.Hits == nil || *i.Hits != 7 {
			t.Fatalf("%s, %v", show(i), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replies map[string]string
		want    string // the reply of which the error is
	}{
		"no login":     {map[string]string{"client": "-NOAUTH Authentication required.\r\n"}, "-NOAUTH Authentication required."},
		"no login v6":  {map[string]string{"hello": "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used\r\n", "client": "-NOAUTH Authentication required.\r\n"}, "-NOAUTH Authentication required."},
		"wrong word":   {map[string]string{"hello": "-WRONGPASS invalid username-password pair or user is disabled.\r\n", "auth": "-WRONGPASS invalid username-password pair or user is disabled.\r\n"}, "-WRONGPASS invalid username-password pair or user is disabled."},
		"no ping":      {map[string]string{"ping": "-NOPERM User hunter2 has no permissions to run the 'ping' command\r\n"}, "-NOPERM User hunter2 has no permissions to run the 'ping' command"},
		"no such ping": {map[string]string{"ping": "-ERR unknown command 'ping', with args beginning with: \r\n"}, "-ERR unknown command 'ping', with args beginning with: "},
		"no login cmd": {map[string]string{"hello": "-ERR unknown command 'HELLO', with args beginning with: 'hunter2'\r\n", "auth": "-ERR unknown command 'AUTH', with args beginning with: 'hunter2' \r\n"}, "-ERR unknown command 'AUTH', with args beginning with: 'hunter2' "},
		"no keys":      {map[string]string{"ping": "-NOPERM No permissions to access a key\r\n"}, "-NOPERM No permissions to access a key"},
		"loading":      {map[string]string{"ping": "-LOADING Redis is loading the dataset in memory\r\n"}, "-LOADING Redis is loading the dataset in memory"},
		"script":       {map[string]string{"ping": "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"}, "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."},
		"max clients":  {map[string]string{"hello": "-ERR max number of clients reached\r\n"}, "-ERR max number of clients reached"},
		"protected":    {map[string]string{"hello": "-DENIED Redis is running in protected mode\r\n", "client": "-DENIED Redis is running in protected mode\r\n"}, "-DENIED Redis is running in protected mode"},
		"database":     {map[string]string{"select": "-ERR DB index is out of range\r\n"}, "-ERR DB index is out of range"},
		"strange":      {map[string]string{"ping": "-MISCONF hunter2\r\n"}, "-MISCONF hunter2"},
		"more strange": {map[string]string{"ping": "-hunter2 hunter2\r\n"}, "-hunter2 hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redistest.Serve(t, redistest.Well(c.replies))
			_, err := redistest.Open(t, "redis://hunter2:hunter2@"+f.Addr+"/1", "").Ping(t.Context())
			want := redis.ReplyFault(c.want) // the golden file has its sentence
			e, ok := errors.AsType[*redis.Error](err)
			if !ok || *e != *want || strings.Contains(e.Detail+e.Remedy, "hunter2") || strings.Contains(e.Detail, f.Addr) {
				t.Errorf("%+v, want %+v, and no name or address", e, want)
			}
		})
	}
}

// If a managed service refuses a command, the connection is used without it, and the text
// of the refusal is not published.
func TestWithoutACommand(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"7":          "-ERR unknown command 'NAME', with args beginning with: 'hunter2' \r\n",
		"6":          "-ERR unknown command `NAME`, with args beginning with: `hunter2`, \r\n",
		"subcommand": "-ERR unknown subcommand 'SETNAME'. Try CLIENT HELP.\r\n",
		"proxy":      "-ERR unsupported command 'NAME'\r\n",
		"service":    "-ERR Command is not available: 'NAME'. See https://hunter2.example/\r\n",
		"no right":   "-NOPERM User hunter2 has no permissions to run the 'NAME' command\r\n",
		"cluster":    "-ERR SELECT is not allowed in cluster mode\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			say := func(command string) string { return strings.ReplaceAll(reply, "NAME", command) }
			f := redistest.Serve(t, redistest.Well(map[string]string{"client": say("client|setname"), "select": say("select"), "hello": "-ERR unknown command 'HELLO'\r\n"}))
			s := redistest.Open(t, "redis://hunter2:hunter2@"+f.Addr+"/3", "")
			if took, err := s.Ping(t.Context()); err != nil || took <= 0 {
				t.Errorf("ping: %s, %v", took, err)
			}
			i, err := s.Info(t.Context())
			if k, detail := redistest.Fault(t, err); i.Hits == nil || k != reason.Unsupported && k != reason.Permission || strings.Contains(detail, "hunter2") || detail == "" {
				t.Errorf("%s: %s %q", show(i), k, detail)
			}
			if _, err := tasks.NewReader(s).Queues(t.Context(), []tasks.QueueRef{{Kind: tasks.RQ, Name: "default"}}); err == nil {
				t.Error("keys of another database are read")
			}
			if _, err := redistest.Open(t, "redis://"+f.Addr, "").Info(t.Context()); err != nil {
				t.Errorf("of database 0: %v", err)
			}
			if n := f.Accepted.Load(); n != 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A refusal of one command leaves the connection as it is.
func TestRefusalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, redistest.Well(map[string]string{"info": "-NOPERM User hunter2 has no permissions to run the 'info' command\r\n"}))
	s := redistest.Open(t, "redis://"+f.Addr, "")
	for range 5 {
		if _, err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Info(t.Context()); err == nil {
			t.Fatal("INFO is allowed")
		}
	}
	if n := f.Accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A hostile response ends with an error in time, in limited memory: no other test runs
// meanwhile, whose memory would count.
func TestHostile(t *testing.T) {
	drip := func(_ string, c net.Conn) bool {
		for redistest.Write(c, "$100\r\n"[:1]) {
			time.Sleep(20 * time.Millisecond)
			for range 100 {
				if !redistest.Write(c, "1") {
					return false
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		return false
	}
	flood := func(_ string, c net.Conn) bool {
		for redistest.Write(c, strings.Repeat("x", 1<<16)) {
			continue
		}
		return false
	}
	say := func(s string) func(string, net.Conn) bool {
		return func(_ string, c net.Conn) bool { return redistest.Write(c, s) }
	}
	for name, c := range map[string]struct {
		answer func(string, net.Conn) bool
		kind   reason.Reason
	}{
		"silence":     {func(string, net.Conn) bool { return true }, reason.Timeout},
		"hangs up":    {func(string, net.Conn) bool { return false }, reason.Failed},
		"garbage":     {say("\x00\xff\x15\x03\x03\r\n\r\n"), reason.Failed},
		"HTTP":        {say("HTTP/1.1 400 Bad Request\r\n\r\n"), reason.Failed},
		"huge bulk":   {say("$2000000000\r\n"), reason.Failed},
		"huge info":   {redistest.Well(map[string]string{"info": "$2000000000\r\n"}), reason.Failed},
		"huge array":  {say("*2000000000\r\n"), reason.Failed},
		"deep arrays": {say(strings.Repeat("*1\r\n", 100_000)), reason.Failed},
		"wide arrays": {say(strings.Repeat("*100000\r\n", 100_000)), reason.Failed},
		"drip":        {drip, reason.Timeout},
		"flood":       {flood, reason.Failed},
		"half info":   {redistest.Well(map[string]string{"info": "$100\r\nkeyspace_hits:7\r\n"}), reason.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.Serve(t, c.answer)
			s := redistest.Open(t, "redis://"+f.Addr, "")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			limit := 30 * time.Second // failures must not depend on how busy the machine is
			if c.kind == reason.Timeout {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := s.Ping(ctx)
			if err == nil {
				_, err = s.Info(ctx)
			}
			if k, detail := redistest.Fault(t, err); k != c.kind {
				t.Errorf("%s %s, want %s", k, detail, c.kind)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 24<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// Closing a client of any kind, after any failure, leaves no goroutine and no connection.
func TestNothingIsLeft(t *testing.T) {
	hung := redistest.Serve(t, func(string, net.Conn) bool { return true })
	gone := redistest.Serve(t, func(string, net.Conn) bool { return false })
	mad := redistest.Serve(t, func(_ string, c net.Conn) bool { return redistest.Write(c, "*2\r\n$1\r\nx\r\n*1\r\n:1\r\n") })
	before := runtime.NumGoroutine()
	var now atomic.Int64
	for _, addr := range []string{hung.Addr, gone.Addr, mad.Addr, "127.0.0.1:1"} {
		for _, form := range []string{"redis://%s", "rediss://%s", "redis+sentinel://%s/m", "redis+cluster://%s"} {
			u, err := config.ParseRedisURL(config.Secret(fmt.Sprintf(form, addr)))
			if err != nil {
				t.Fatal(err)
			}
			s := redis.Open(redis.Options{URL: u, Now: func() time.Time { return time.Unix(now.Add(60), 0) }}) // no backoff holds
			for range 4 {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				if _, err := s.Ping(ctx); err == nil {
					t.Errorf(form+" answers", addr)
				}
				cancel()
			}
		}
	}
	for end := time.Now().Add(20 * time.Second); hung.Accepted.Load() < 10; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d connections: this tests nothing", hung.Accepted.Load())
		}
	}
	var after int
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if after = runtime.NumGoroutine(); after <= before {
			return
		}
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
}
