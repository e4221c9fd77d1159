package conns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// The last request that was read and not answered is the one that is worked on. Where
// another one may be it, or the server may be idle, nothing is said.
func TestTakenRequest(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	inode := uint64(0)
	served := func(sent, received time.Duration, queue uint32) sockdiag.Served {
		inode++
		return sockdiag.Served{Accepted: sockdiag.Accepted{Inode: inode, Sent: sent, Received: received, HasTimes: true}, Queue: queue}
	}
	taken := func(s sockdiag.Served) sockdiag.Served { inode = 99; s.Inode = 99; return s }
	first := func(s sockdiag.Served) sockdiag.Served { s.Unsent, s.Sent = true, s.Sent+ms(1); return s }
	untimed := served(0, 0, 0)
	untimed.HasTimes = false
	queued, idle := served(ms(9000), ms(2000), 20), served(ms(5000), ms(5100), 0)
	for name, c := range map[string]struct {
		list  []sockdiag.Served
		busy  bool
		since time.Duration
		want  bool
	}{
		"one runs, another waits":                {[]sockdiag.Served{queued, taken(served(ms(6000), ms(4000), 0)), idle}, false, ms(6000), true},
		"its first request":                      {[]sockdiag.Served{queued, taken(first(served(ms(4500), ms(4000), 0))), idle}, false, ms(6000), true},
		"an earlier one waits for data":          {[]sockdiag.Served{queued, served(ms(9000), ms(5050), 0), taken(served(ms(6000), ms(4000), 0)), idle}, false, ms(6000), true},
		"and is listed later":                    {[]sockdiag.Served{queued, taken(served(ms(6000), ms(4000), 0)), served(ms(9000), ms(5050), 0), idle}, false, ms(6000), true},
		"a script, others are told so":           {[]sockdiag.Served{taken(served(ms(6000), ms(4000), 0)), served(ms(10), ms(11), 0)}, true, ms(6000), true},
		"two came together":                      {[]sockdiag.Served{queued, served(ms(6000), ms(4000), 0), served(ms(6000), ms(4150), 0), idle}, false, ms(6000), false},
		"two came together, after an older one":  {[]sockdiag.Served{queued, served(ms(6000), ms(5000), 0), served(ms(6000), ms(4000), 0), served(ms(6000), ms(4150), 0), idle}, false, ms(6000), false},
		"nobody waits: it may read":              {[]sockdiag.Served{served(ms(6000), ms(4000), 0), idle}, false, ms(6000), false},
		"it has answered somebody since":         {[]sockdiag.Served{queued, served(ms(6000), ms(4000), 0), served(ms(3000), ms(3001), 0)}, false, ms(6000), false},
		"it has answered the exporter since":     {[]sockdiag.Served{queued, served(ms(9000), ms(8000), 0)}, false, ms(6000), false},
		"a script, which came before the answer": {[]sockdiag.Served{served(ms(9000), ms(8000), 0), idle}, true, ms(6000), false},
		"it has sent more than it has read":      {[]sockdiag.Served{queued, served(ms(6000), ms(4000), 8), idle}, false, ms(6000), false},
		"an old kernel":                          {[]sockdiag.Served{queued, untimed}, false, ms(6000), false},
		"no connection":                          {nil, true, ms(6000), false},
	} {
		got, ok := conns.TakenRequest(c.list, c.since, c.busy)
		if ok != c.want || ok && got.Inode != 99 {
			t.Errorf("%s: %v, %+v", name, ok, got)
		}
	}
}

// The connections of a process are read where it listens at the address, with what it has
// not read of each. Another process, and another address, prove nothing.
func TestReadServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := ln.Addr().String()
	want := map[netip.AddrPort]uint32{}
	for _, queue := range []uint32{0, 5} {
		client, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if queue == 0 {
			if _, err := server.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		want[netip.MustParseAddrPort(client.LocalAddr().String())] = queue
	}
	fault := servedFault(t, at, want)
	for end := time.Now().Add(time.Minute); fault != "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		fault = servedFault(t, at, want) // what was sent arrives by a softirq, soon but not at once
	}
	if fault != "" {
		t.Error(fault)
	}
	for name, c := range map[string]struct {
		pid int
		at  string
	}{
		"another process": {stranger(t), at},
		"another port":    {os.Getpid(), "127.0.0.1:1"},
		"another host":    {os.Getpid(), netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort(at).Port()).String()},
		"no address":      {os.Getpid(), ""},
	} {
		if _, err := conns.ReadServer(t.Context(), "/proc", c.pid, c.at); !errors.Is(err, conns.ErrNotServer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stranger starts a process that holds no socket of this one, and returns its id.
func stranger(t *testing.T) int {
	t.Helper()
	p := exec.CommandContext(t.Context(), "sleep", "600")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	return p.Process.Pid
}

// servedFault reads the connections of this process at an address, and returns the first
// difference from the wanted ones and their queues; "" if there is none.
func servedFault(t *testing.T, at string, want map[netip.AddrPort]uint32) string {
	t.Helper()
	p, err := conns.ReadServer(t.Context(), "/proc", os.Getpid(), at)
	if err != nil || p.Unix != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	found := 0
	for _, s := range p.Served {
		if s.Local.String() != at {
			continue // of another test of this process
		}
		found++
		if queue, ok := want[s.Remote]; !ok || s.Queue != queue || !s.Unanswered() {
			return fmt.Sprintf("%+v, want a queue of %d", s, queue)
		}
	}
	if found != len(want) {
		return fmt.Sprintf("%d connections, want %d", found, len(want))
	}
	return ""
}

// A thread that computes or sleeps for a time works; one that waits for data, or is
// stopped, does not.
func TestWorks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program []string
		stop    bool
		want    bool
	}{
		"computes": {[]string{"sh", "-c", "while :; do :; done"}, false, true},
		"sleeps":   {[]string{"sleep", "100"}, false, true},
		"reads":    {[]string{"cat"}, false, false},
		"stopped":  {[]string{"sh", "-c", "while :; do :; done"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			p := exec.CommandContext(ctx, c.program[0], c.program[1:]...)
			in, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Process.Kill(); _ = p.Wait() }()
			time.Sleep(100 * time.Millisecond) // it has begun
			if c.stop {
				if err := p.Process.Signal(unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			for got := !c.want; got != c.want; time.Sleep(20 * time.Millisecond) {
				if got, err = conns.Works(ctx, p.Process.Pid); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if _, err := conns.Works(t.Context(), 1<<30); err == nil {
		t.Error("a process that does not exist: no error")
	}
}
