package mysql_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a server with the part of the client/server protocol that the exporter uses.
type fake struct {
	ln net.Listener

	mu      sync.Mutex
	version string
	mute    chan struct{}       // not nil: greetings wait until it is closed
	rows    map[string][]string // by the start of a query; a row's values joined by "|"
	refuse  map[string]uint16   // by the start of a query: the error's number
	deaf    string              // queries that start so get no answer
	full    bool                // new connections are refused: there are too many
	open    int                 // connections now
	taken   int                 // connections ever
	asked   []string
}

// newFake listens at address, "127.0.0.1:0" for any port.
func newFake(t testing.TB, address string) *fake {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{ln: ln, version: "10.11.6-MariaDB", rows: map[string][]string{}, refuse: map[string]uint16{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.count(1)
			wg.Go(func() {
				defer f.count(-1)
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				f.serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); cancel(); f.unmute(); wg.Wait() })
	return f
}

func (f *fake) address() string { return f.ln.Addr().String() }

func (f *fake) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += n
	f.taken += max(n, 0)
}

// counts returns the numbers of open connections and of all accepted ones.
func (f *fake) counts() (open, taken int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open, f.taken
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) unmute() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mute != nil {
		close(f.mute)
		f.mute = nil
	}
}

func (f *fake) serve(c net.Conn) {
	f.mu.Lock()
	mute, full := f.mute, f.full
	f.mu.Unlock()
	if mute != nil {
		<-mute
	}
	w := wire{c: c}
	if full {
		w.fail(1040)
		return
	}
	// Protocol 10, long passwords, protocol 4.1, transactions, plugins.
	w.send("\x0a5.5.5-fake\x00\x07\x00\x00\x0012345678\x00\x01\xa2\x21\x02\x00\x08\x00\x15" + strings.Repeat("\x00", 10) + "123456789012\x00mysql_native_password\x00")
	if _, ok := w.receive(); !ok {
		return
	}
	w.ok()
	for {
		w.seq = 0
		packet, ok := w.receive()
		if !ok || len(packet) == 0 || packet[0] == 1 { // COM_QUIT
			return
		}
		if packet[0] != 3 { // all but COM_QUERY
			w.ok()
			continue
		}
		f.answer(&w, string(packet[1:]))
	}
}

func (f *fake) answer(w *wire, query string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, query)
	if f.deaf != "" && strings.HasPrefix(query, f.deaf) {
		return
	}
	for start, number := range f.refuse {
		if strings.HasPrefix(query, start) {
			w.fail(number)
			return
		}
	}
	for start, rows := range f.rows {
		if strings.HasPrefix(query, start) {
			w.table(rows)
			return
		}
	}
	switch {
	case strings.HasPrefix(query, "SELECT VERSION()"):
		w.table([]string{f.version + "|7"})
	case strings.HasPrefix(query, "SET"):
		w.ok()
	default:
		w.table(nil)
	}
}

// wire frames packets: three bytes of length, one of sequence.
type wire struct {
	c   net.Conn
	seq byte
}

func (w *wire) send(payload string) {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	head[3] = w.seq
	w.seq++
	_, _ = w.c.Write(append(head, payload...))
}

func (w *wire) receive() ([]byte, bool) {
	var head [4]byte
	if _, err := io.ReadFull(w.c, head[:]); err != nil {
		return nil, false
	}
	w.seq = head[3] + 1
	head[3] = 0
	payload := make([]byte, binary.LittleEndian.Uint32(head[:]))
	_, err := io.ReadFull(w.c, payload)
	return payload, err == nil
}

func (w *wire) ok() { w.send("\x00\x00\x00\x02\x00\x00\x00") }

func (w *wire) fail(number uint16) {
	w.send("\xff" + string(binary.LittleEndian.AppendUint16(nil, number)) + "#42000Access denied for user 'resp'@'localhost' (using password: hunter2)")
}

// table sends rows of text, "~" for NULL.
func (w *wire) table(rows []string) {
	columns := 1
	if len(rows) > 0 {
		columns = strings.Count(rows[0], "|") + 1
	}
	w.send(string(rune(columns)))
	for range columns {
		w.send("\x03def\x00\x00\x00\x01c\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00")
	}
	w.send("\xfe\x00\x00\x02\x00")
	for _, row := range rows {
		var b strings.Builder
		for v := range strings.SplitSeq(row, "|") {
			if v == "~" {
				b.WriteByte(0xfb)
				continue
			}
			b.WriteByte(byte(len(v)))
			b.WriteString(v)
		}
		w.send(b.String())
	}
	w.send("\xfe\x00\x00\x02\x00")
}

// soon waits until f is true, at most for 20 seconds.
func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
