package e2e_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// greetingOfMySQL is the first packet of a server, without its head.
const greetingOfMySQL = "\x0a8.0.36\x00\x07\x00\x00\x0012345678\x00\x01\xa2\x21\x02\x00\x08\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"123456789012\x00mysql_native_password\x00"

func packet(number byte, payload string) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}, payload...)
}

// hostileMySQL serves each connection by f, and counts them.
func hostileMySQL(t *testing.T, f func(c net.Conn)) (address string, taken *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	taken = new(atomic.Int64)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				f(c)
			}()
		}
	}()
	return ln.Addr().String(), taken
}

// TestAttackEndlessMySQL checks that a server that sends packets without end does not use
// up the memory of the host.
func TestAttackEndlessMySQL(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	address, taken := hostileMySQL(t, func(c net.Conn) {
		// Parts of one packet that never ends, 600 MB of them at most over all connections.
		part := append([]byte("\xff\xff\xff\x00"), strings.Repeat("x", 1<<24-1)...)
		for number := byte(0); sent.Load() < 600<<20; number++ {
			part[3] = number
			n, err := c.Write(part)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
	x := watch(t, export{config: fmt.Sprintf("mysql: [{name: main, dsn: \"resp:x@tcp(%s)/\"}]\n", address)})
	eventually(t, 30*time.Second, func() error {
		_ = x.answersWithin(10 * time.Second)
		return all(wants("whether it was connected to", taken.Load() > 0, true), x.scrape(t).want(0, "resp_up", "component=mysql:main"))
	})
	quiet(t, 8*time.Second, 500*time.Millisecond, "the exporter takes at most 200 MB", func() error {
		peak, err := peakMemory(x.PID())
		if peak > 200<<20 {
			err = fmt.Errorf("%d MB after %d MB were sent", peak>>20, sent.Load()>>20)
		}
		return err
	})
	if err := x.answersWithin(10 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestAttackMalformedMySQL checks that incomplete packets and numbers that are too large
// do not end the exporter.
func TestAttackMalformedMySQL(t *testing.T) {
	t.Parallel()
	answers := func(p ...[]byte) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write(packet(0, greetingOfMySQL))
			for _, b := range p {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = c.Write(b)
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}
	ok := packet(2, "\x00\x00\x00\x02\x00\x00\x00")
	for name, f := range map[string]func(net.Conn){
		"short_greeting": func(c net.Conn) { _, _ = c.Write(packet(0, greetingOfMySQL[:12])); _, _ = io.Copy(io.Discard, c) },
		"short_salt":     answers(packet(2, "\xfemysql_native_password\x00x")),
		"short_error":    answers(packet(2, "\xff\x15")),
		"columns":        answers(ok, packet(1, "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")),
		"short_row":      answers(ok, append(append(packet(1, "\x02"), packet(2, "\x03def\x00\x00\x00\x01c\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00")...), packet(3, "\xfc")...)),
	} {
		t.Run(name, func(t *testing.T) {
			address, taken := hostileMySQL(t, f)
			x := watch(t, export{config: fmt.Sprintf("mysql: [{name: main, dsn: \"resp:x@tcp(%s)/\"}]\n", address)})
			eventually(t, 30*time.Second, func() error {
				if err := x.answersWithin(10 * time.Second); err != nil {
					t.Fatalf("the exporter does not answer: %v", err)
				}
				return wants("whether it was connected to", taken.Load() > 0, true)
			})
			quiet(t, 2*time.Second, 200*time.Millisecond, "the exporter answers", func() error { return x.answersWithin(10 * time.Second) })
		})
	}
}
