package redis_test

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// wire is a connection from which its content is read, at most step bytes at a time.
type wire struct {
	net.Conn

	r    *bytes.Reader
	step int
}

func (w wire) Read(b []byte) (int, error) { return w.r.Read(b[:min(w.step, len(b))]) }

func through(s string, step int) (int, string, error) {
	return redis.Guarded(wire{r: bytes.NewReader([]byte(s)), step: step})
}

func TestGuard(t *testing.T) {
	deep := strings.Repeat("*1\r\n", 100)
	for name, c := range map[string]struct {
		in    string
		reply string
		want  error
	}{
		"nothing":            {"", "", nil},
		"simple":             {"+PONG\r\n:42\r\n", "", nil},
		"bulk":               {"$5\r\nhello\r\n$-1\r\n$0\r\n\r\n", "", nil},
		"bulk of protocol":   {"$9\r\n$9999999\n\r\n+OK\r\n", "", nil},
		"array":              {"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n*0\r\n*-1\r\n", "", nil},
		"error":              {"-NOAUTH Authentication required.\r\n+OK\r\n", "NOAUTH Authentication required.", nil},
		"long error":         {"-ERR " + strings.Repeat("x", 1000) + "\r\n", "ERR " + strings.Repeat("x", 123), nil},
		"huge bulk":          {"$1000000000\r\n", "", redis.ErrTooLarge},
		"huge array":         {"*1000000000\r\n", "", redis.ErrTooLarge},
		"number overflow":    {"*99999999999999999999\r\n", "", redis.ErrProtocol},
		"negative":           {"$-2\r\n", "", redis.ErrProtocol},
		"many in many":       {"*100000\r\n*100000\r\n", "", redis.ErrTooLarge},
		"deep":               {deep, "", redis.ErrTooLarge},
		"deep and well":      {strings.Repeat("*1\r\n", 32) + ":1\r\n" + strings.Repeat("*1\r\n", 32) + ":1\r\n", "", nil},
		"endless line":       {"+" + strings.Repeat("x", 100_000), "", redis.ErrTooLarge},
		"endless lines":      {strings.Repeat("+x\r\n", 2<<20), "", redis.ErrTooLarge},
		"HTTP":               {"HTTP/1.1 400 Bad Request\r\n", "", redis.ErrProtocol},
		"TLS":                {"\x15\x03\x03\x00\x02\x02\x28\n", "", redis.ErrProtocol},
		"empty line":         {"\r\n", "", redis.ErrProtocol},
		"TTL of no key":      {":-2\r\n:9007199254740992\r\n", "", nil},
		"count below zero":   {":-7\r\n", "", redis.ErrTooLarge},
		"count beyond":       {":9223372036854775807\r\n", "", redis.ErrTooLarge},
		"no number":          {":1.5\r\n", "", redis.ErrProtocol},
		"line feed alone":    {"+OK\n", "", redis.ErrProtocol},
		"map of RESP3":       {"%1\r\n", "", redis.ErrProtocol},
		"length of nonsense": {"$x\r\n", "", redis.ErrProtocol},
	} {
		for _, step := range []int{1, 3, 512} {
			if _, reply, err := through(c.in, step); !errors.Is(err, c.want) || err == nil && c.want != nil || reply != c.reply {
				t.Errorf("%s by %d: error %v, want %v; reply %q, want %q", name, step, err, c.want, reply, c.reply)
			}
		}
	}
}

// FuzzGuard: the result does not depend on how the input is split, and is complete or
// refused.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\nx\r\n-ERR no\r\n"))
	f.Add([]byte("$5\r\nhel"))
	f.Fuzz(func(t *testing.T, b []byte) {
		read, reply, err := through(string(b), len(b)+1)
		_, slowReply, slowErr := through(string(b), 1)
		if err == nil && read != len(b) {
			t.Errorf("%d of %d bytes", read, len(b))
		}
		if !errors.Is(slowErr, err) && !errors.Is(err, slowErr) || reply != slowReply {
			t.Errorf("at once %v %q, by one %v %q", err, reply, slowErr, slowReply)
		}
		if len(reply) > 128 {
			t.Errorf("%d bytes of an error are kept", len(reply))
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	in := "$" + "4000\r\n" + strings.Repeat("k", 4000) + "\r\n"
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, _, err := through(in, 512); err != nil {
			b.Fatal(err)
		}
	}
}
