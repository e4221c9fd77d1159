package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// fake is a server that answers as it is told to.
type fake struct {
	addr     string
	accepted atomic.Int64
	answer   atomic.Pointer[func(command string, c net.Conn) bool] // false: hang up
}

// serve starts a fake that ends with the test.
func serve(t *testing.T, answer func(command string, c net.Conn) bool) *fake {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: ln.Addr().String()}
	f.answer.Store(&answer)
	var wg sync.WaitGroup
	conns := make(chan net.Conn, 1000)
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
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
func (f *fake) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return
		}
		var words []string
		// What is no number is what a client of TLS begins with.
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
		if !(*f.answer.Load())(strings.ToLower(strings.Join(words, " ")), c) {
			return
		}
	}
}

func write(c net.Conn, s string) bool {
	_, err := io.WriteString(c, s)
	return err == nil
}

// well answers as a Redis does, with what replies has in its stead, by the
// first word of a command.
func well(replies map[string]string) func(string, net.Conn) bool {
	return func(command string, c net.Conn) bool {
		word, _, _ := strings.Cut(command, " ")
		if s, ok := replies[word]; ok {
			return write(c, s) && !strings.HasPrefix(s, "-ERR max")
		}
		switch word {
		case "hello":
			return write(c, "*2\r\n$5\r\nproto\r\n:2\r\n")
		case "ping":
			return write(c, "+PONG\r\n")
		case "info":
			return write(c, "$25\r\nkeyspace_hits:7\r\nrole:x\r\n\r\n")
		default:
			return write(c, "+OK\r\n")
		}
	}
}

func open(t *testing.T, url, passwordFile string) *redis.Server {
	t.Helper()
	u, err := config.ParseRedisURL(config.Secret(url))
	if err != nil {
		t.Fatal(err)
	}
	s := redis.Open(redis.Options{URL: u, PasswordFile: passwordFile})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// kind is what sort of error it is, and its words.
func kind(t *testing.T, err error) (redis.Kind, string) {
	t.Helper()
	var e *redis.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *redis.Error", err)
	}
	return e.Kind, e.Detail
}

func TestServer(t *testing.T) {
	t.Parallel()
	f := serve(t, well(nil))
	s := open(t, "redis://"+f.addr, "")
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
	if n := f.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Ping(t.Context()); err == nil {
		t.Error("a closed server answers")
	}
	if n := f.accepted.Load(); n != 1 {
		t.Error("a closed server connects")
	}
}

// A server before 7.0 takes one section of INFO at most.
func TestOldServer(t *testing.T) {
	t.Parallel()
	f := serve(t, func(command string, c net.Conn) bool {
		switch {
		case strings.HasPrefix(command, "hello"):
			return write(c, "-ERR unknown command `HELLO`\r\n")
		case command == "info":
			return write(c, "$17\r\nkeyspace_hits:7\r\n\r\n")
		case strings.HasPrefix(command, "info"):
			return write(c, "-ERR syntax error\r\n")
		}
		return well(nil)(command, c)
	})
	s := open(t, "redis://"+f.addr, "")
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
		kind    redis.Kind
		has     string
	}{
		"no login":     {map[string]string{"client": "-NOAUTH Authentication required.\r\n"}, redis.Permission, "wants a login"},
		"no login v6":  {map[string]string{"hello": "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used\r\n", "client": "-NOAUTH Authentication required.\r\n"}, redis.Permission, "wants a login"},
		"wrong word":   {map[string]string{"hello": "-WRONGPASS invalid username-password pair or user is disabled.\r\n", "auth": "-WRONGPASS invalid username-password pair or user is disabled.\r\n"}, redis.Permission, "refuses the user or the password"},
		"no ping":      {map[string]string{"ping": "-NOPERM User hunter2 has no permissions to run the 'ping' command\r\n"}, redis.Permission, "ACL SETUSER <user> +ping"},
		"no name":      {map[string]string{"client": "-NOPERM User hunter2 has no permissions to run the 'client|setname' command\r\n"}, redis.Permission, "+client|setname"},
		"no keys":      {map[string]string{"ping": "-NOPERM No permissions to access a key\r\n"}, redis.Permission, "docs/redis.md"},
		"loading":      {map[string]string{"ping": "-LOADING Redis is loading the dataset in memory\r\n"}, redis.Busy, "is loading"},
		"script":       {map[string]string{"ping": "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"}, redis.Busy, "script"},
		"max clients":  {map[string]string{"hello": "-ERR max number of clients reached\r\n"}, redis.Busy, "maxclients"},
		"protected":    {map[string]string{"hello": "-DENIED Redis is running in protected mode\r\n", "client": "-DENIED Redis is running in protected mode\r\n"}, redis.Permission, "protected mode"},
		"database":     {map[string]string{"select": "-ERR DB index is out of range\r\n"}, redis.NotFound, "no database"},
		"strange":      {map[string]string{"ping": "-MISCONF hunter2\r\n"}, redis.Failed, "answers with an error, MISCONF"},
		"more strange": {map[string]string{"ping": "-hunter2 hunter2\r\n"}, redis.Failed, "answers with an error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, well(c.replies))
			_, err := open(t, "redis://hunter2:hunter2@"+f.addr+"/1", "").Ping(t.Context())
			k, detail := kind(t, err)
			if k != c.kind || !strings.Contains(detail, c.has) || strings.Contains(detail, "hunter2") || strings.Contains(detail, f.addr) {
				t.Errorf("%d %q, want %d and %q, and no name or address", k, detail, c.kind, c.has)
			}
			var e *redis.Error
			if errors.As(err, &e); strings.Contains(e.Cure, "hunter2") || k == redis.Busy && e.Cure == "" {
				t.Errorf("the cure is %q", e.Cure)
			}
		})
	}
}

// A refusal of one command leaves the connection as it is.
func TestRefusalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	f := serve(t, well(map[string]string{"info": "-NOPERM User hunter2 has no permissions to run the 'info' command\r\n"}))
	s := open(t, "redis://"+f.addr, "")
	for range 5 {
		if _, err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Info(t.Context()); err == nil {
			t.Fatal("INFO is allowed")
		}
	}
	if n := f.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Whatever comes in place of an answer: an error in time, and little memory.
func TestHostile(t *testing.T) {
	t.Parallel()
	drip := func(_ string, c net.Conn) bool {
		for write(c, "$100\r\n"[:1]) {
			time.Sleep(20 * time.Millisecond)
			for range 100 {
				if !write(c, "1") {
					return false
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		return false
	}
	flood := func(_ string, c net.Conn) bool {
		for write(c, strings.Repeat("x", 1<<16)) {
			continue
		}
		return false
	}
	say := func(s string) func(string, net.Conn) bool {
		return func(_ string, c net.Conn) bool { return write(c, s) }
	}
	for name, c := range map[string]struct {
		answer func(string, net.Conn) bool
		kind   redis.Kind
	}{
		"silence":     {func(string, net.Conn) bool { return true }, redis.Timeout},
		"hangs up":    {func(string, net.Conn) bool { return false }, redis.Failed},
		"garbage":     {say("\x00\xff\x15\x03\x03\r\n\r\n"), redis.Failed},
		"HTTP":        {say("HTTP/1.1 400 Bad Request\r\n\r\n"), redis.Failed},
		"huge bulk":   {say("$2000000000\r\n"), redis.Failed},
		"huge info":   {well(map[string]string{"info": "$2000000000\r\n"}), redis.Failed},
		"huge array":  {say("*2000000000\r\n"), redis.Failed},
		"deep arrays": {say(strings.Repeat("*1\r\n", 100_000)), redis.Failed},
		"wide arrays": {say(strings.Repeat("*100000\r\n", 100_000)), redis.Failed},
		"drip":        {drip, redis.Timeout},
		"flood":       {flood, redis.Failed},
		"half info":   {well(map[string]string{"info": "$100\r\nkeyspace_hits:7\r\n"}), redis.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, c.answer)
			s := open(t, "redis://"+f.addr, "")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := s.Ping(ctx)
			if err == nil {
				_, err = s.Info(ctx)
			}
			if k, detail := kind(t, err); k != c.kind {
				t.Errorf("%d %s, want %d", k, detail, c.kind)
			}
			if took := time.Since(began); took > 700*time.Millisecond {
				t.Errorf("took %s", took)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 24<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// A server that does not answer is not hammered, and leaves nothing behind.
func TestBackoff(t *testing.T) {
	f := serve(t, func(string, net.Conn) bool { return true })
	s := open(t, "redis://"+f.addr, "")
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Ping(ctx)
		return err
	}
	before := runtime.NumGoroutine()
	began := time.Now()
	for range 100 {
		if k, detail := kind(t, ping()); k != redis.Timeout {
			t.Fatal(k, detail)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a hundred reads took %s", took)
	}
	if n := f.accepted.Load(); n > 3 {
		t.Errorf("%d connections in a hundred reads", n)
	}
	time.Sleep(100 * time.Millisecond)
	if after := runtime.NumGoroutine(); after > before+int(f.accepted.Load())+1 { // the fake has one a connection
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	answer := well(nil)
	f.answer.Store(&answer)
	for end := time.Now().Add(5 * time.Second); ping() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not back within 5 s")
		}
	}
}

// A client that is thrown away takes everything with it, whatever kind it is
// of, and however it failed.
func TestNothingIsLeft(t *testing.T) {
	hung := serve(t, func(string, net.Conn) bool { return true })
	gone := serve(t, func(string, net.Conn) bool { return false })
	mad := serve(t, func(_ string, c net.Conn) bool { return write(c, "*2\r\n$1\r\nx\r\n*1\r\n:1\r\n") })
	before := runtime.NumGoroutine()
	var now atomic.Int64
	for _, addr := range []string{hung.addr, gone.addr, mad.addr, "127.0.0.1:1"} {
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
	if n := hung.accepted.Load(); n < 10 {
		t.Errorf("only %d connections: this tests nothing", n)
	}
	var after int
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if after = runtime.NumGoroutine(); after <= before {
			return
		}
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
}

// A connection that breaks while nobody looks costs no scrape.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	f := serve(t, well(nil))
	s := open(t, "redis://"+f.addr, "")
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := func(command string, c net.Conn) bool {
		if f.accepted.Load() == 1 {
			return false
		}
		return well(nil)(command, c)
	}
	f.answer.Store(&answer)
	if _, err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if n := f.accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A password file is read at each connect, and a new one at once, backoff or not.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	f := serve(t, func(command string, c net.Conn) bool {
		if (strings.HasPrefix(command, "hello") || strings.HasPrefix(command, "auth")) && !strings.Contains(command, "auth resp second") && !strings.Contains(command, "resp second") {
			return write(c, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		}
		return well(nil)(command, c)
	})
	file := filepath.Join(t.TempDir(), "password")
	s := open(t, "redis://resp:unused@"+f.addr, file)
	if k, detail := kind(t, ping(t, s)); k != redis.Permission || !strings.Contains(detail, "password_file") || strings.Contains(detail, file) {
		t.Errorf("without a file: %d %s", k, detail)
	}
	save(t, file, "first\n")
	if k, detail := kind(t, ping(t, s)); k != redis.Permission || !strings.Contains(detail, "refuses") {
		t.Errorf("with the wrong password: %d %s", k, detail)
	}
	tries := f.accepted.Load()
	_ = ping(t, s)
	if n := f.accepted.Load(); n != tries {
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
	for url, want := range map[string]string{
		"redis://" + addr:                        "does not listen",
		"rediss://" + addr:                       "does not listen",
		"unix://" + dir + "/none.sock":           "no socket",
		"redis://nobody.invalid:6379":            "host name",
		"redis+cluster://" + addr:                "does not listen",
		"redis+sentinel://" + addr + "/mymaster": "no sentinel",
	} {
		s := open(t, url, "")
		k, detail := kind(t, ping(t, s))
		if k != redis.NotFound || !strings.Contains(detail, want) {
			t.Errorf("%s: %d %q, want %q", url, k, detail, want)
		}
	}
	if k, detail := kind(t, ping(t, open(t, "rediss://"+addr+"?ca_file="+dir+"/none.pem", ""))); k != redis.NotFound {
		t.Errorf("%d %s", k, detail)
	}
}

// What a sentinel says is not taken on trust, and one that hangs is not waited for.
func TestSentinels(t *testing.T) {
	t.Parallel()
	master := serve(t, well(nil))
	host, port, _ := net.SplitHostPort(master.addr)
	say := func(s string) *fake { return serve(t, well(map[string]string{"sentinel": s})) }
	good := say("*2\r\n$" + strconv.Itoa(len(host)) + "\r\n" + host + "\r\n$" + strconv.Itoa(len(port)) + "\r\n" + port + "\r\n")
	hung := serve(t, func(string, net.Conn) bool { return true })
	began := time.Now()
	if err := ping(t, open(t, "redis+sentinel://"+hung.addr+","+good.addr+"/m", "")); err != nil || time.Since(began) > 500*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	for answer, want := range map[string]struct {
		kind redis.Kind
		has  string
	}{
		"*-1\r\n":                  {redis.NotFound, "know no master"},
		"*1\r\n$1\r\nx\r\n":        {redis.Failed, "no sentinel that tells"},
		"*0\r\n":                   {redis.Failed, "no sentinel that tells"},
		":1\r\n":                   {redis.Failed, "no sentinel that tells"},
		"-NOAUTH hunter2\r\n":      {redis.Permission, "no sentinel that tells"},
		"*2\r\n$1\r\nx\r\n$-1\r\n": {redis.NotFound, ""},
	} {
		if k, detail := kind(t, ping(t, open(t, "redis+sentinel://"+say(answer).addr+"/m", ""))); k != want.kind || !strings.Contains(detail, want.has) {
			t.Errorf("%q: %d %s", answer, k, detail)
		}
	}
}

// TLS asked of a server that has none, and the other way around, each says so.
func TestTLSMismatch(t *testing.T) {
	t.Parallel()
	f := serve(t, func(string, net.Conn) bool { return true })
	answer := func(_ string, c net.Conn) bool { return write(c, "-ERR unknown command\r\n") }
	f.answer.Store(&answer)
	if _, detail := kind(t, ping(t, open(t, "rediss://"+f.addr, ""))); !strings.Contains(detail, "TLS") && !strings.Contains(detail, "in time") {
		t.Error(detail)
	}
	dir := t.TempDir()
	save(t, filepath.Join(dir, "empty.pem"), "")
	if k, detail := kind(t, ping(t, open(t, "rediss://"+f.addr+"?ca_file="+dir+"/empty.pem", ""))); k != redis.Permission || !strings.Contains(detail, "certificate file") {
		t.Error(k, detail)
	}
}
