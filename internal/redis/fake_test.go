package redis_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/reason"
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
func kind(t *testing.T, err error) (reason.Reason, string) {
	t.Helper()
	var e *redis.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *redis.Error", err)
	}
	return e.Reason, e.Detail
}
