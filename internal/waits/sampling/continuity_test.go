package sampling

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// A client that polls waits for as long as it polls, and a socket that gets its name
// late has been waited for since before.
func TestWaitGoesOn(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	// A sample that meets the client between two polls ends its wait: on a busy machine
	// that is where it may have to wait for a CPU.
	var got []float64
	for range 10 {
		seconds := sinceBefore(t, port)
		if got = append(got, seconds); seconds >= 2 {
			return
		}
	}
	t.Errorf("it waits for %.1f s once it is named", got)
}

// sinceBefore returns for how many seconds a client that polls has waited when its socket
// gets its name, two seconds after it began.
func sinceBefore(t *testing.T, port string) (seconds float64) {
	t.Helper()
	pid, start, _ := startPython(t, `import socket, sys
c = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
c.settimeout(0.7)
print(1, flush=True)
while True:
  try: c.recv(1)
  except TimeoutError: pass`, port)
	s := newSampler()
	t.Cleanup(s.closeAll)
	r := Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	longest := func(on string) float64 {
		threads := s.Register(r)
		s.sample()
		if len(threads) != 1 || threads[0].On != on {
			return 0
		}
		return threads[0].Seconds
	}
	until(t, "two seconds without a name", func() bool { return longest("other") > 2 })
	until(t, "the name", func() bool {
		var named []conns.SocketWait
		for _, u := range s.Unnamed() {
			named = append(named, conns.SocketWait{Sockets: []conns.WaitSocket{{Inode: u.Inode}}, On: conns.OnMySQL, Peer: "mysql:main"})
		}
		s.SetNames(named)
		seconds = longest("mysql")
		return seconds > 0
	})
	return seconds
}

// A wait is the same one if it is for the same thing in the same line of the same
// request, and the thread wakes up now and then at most.
func TestContinues(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	started := began.Add(-time.Second)
	line := func(n int) model.Frame { return model.Frame{Function: "pay", File: "pay.py", Line: n} }
	socket, other := &sockets.Socket{Inode: 1}, &sockets.Socket{Inode: 2}
	base := wait{
		since: began, first: 10, last: 10, call: procfs.Syscall{NR: unix.SYS_POLL, Args: [6]uint64{1}}, socket: socket,
		proven: true, started: started, view: "pay", own: line(3), inner: line(3),
	}
	computing := base
	computing.call, computing.socket = procfs.Syscall{Running: true}, nil
	lock := base
	lock.call, lock.socket, lock.futex = procfs.Syscall{NR: unix.SYS_FUTEX}, nil, 77
	unproven := base
	unproven.proven = false
	for name, c := range map[string]struct {
		from wait
		now  func(*wait)
		want bool
	}{
		"woke up once":                        {base, func(*wait) {}, true},
		"polls each half second":              {base, func(w *wait) { w.last = 21 }, true},
		"many short waits":                    {base, func(w *wait) { w.last = 60 }, false},
		"another socket":                      {base, func(w *wait) { w.socket = other }, false},
		"another call":                        {base, func(w *wait) { w.call.NR = unix.SYS_RECVFROM }, false},
		"another line":                        {base, func(w *wait) { w.own = line(4) }, false},
		"another line of a library":           {base, func(w *wait) { w.inner = line(4) }, false},
		"another request":                     {base, func(w *wait) { w.started = began }, false},
		"another view":                        {base, func(w *wait) { w.view = "refund" }, false},
		"it computes by now":                  {base, func(w *wait) { w.call, w.socket = procfs.Syscall{Running: true}, nil }, false},
		"its stack is not known any more":     {base, func(w *wait) { w.proven = false }, false},
		"a first wait":                        {wait{}, func(w *wait) { *w = base }, false},
		"a lock is tried often":               {lock, func(w *wait) { w.last = 60 }, true},
		"another lock":                        {lock, func(w *wait) { w.futex = 78 }, false},
		"it computes on":                      {computing, func(w *wait) { w.last, w.own = 400, line(9) }, true},
		"it computes in the next request":     {computing, func(w *wait) { w.started = began }, false},
		"no stack, woke up once":              {unproven, func(*wait) {}, true},
		"no stack, woke up twice":             {unproven, func(w *wait) { w.last = 12 }, false},
		"no stack, the next request":          {unproven, func(w *wait) { w.run = 2 * time.Millisecond }, false},
		"no stack, the call has changed":      {unproven, func(w *wait) { w.call.Args[2] = 9 }, false},
		"no stack, computing is not followed": {wait{since: began, call: procfs.Syscall{Running: true}}, func(*wait) {}, false},
	} {
		n := c.from
		n.since, n.last = began.Add(5*time.Second), c.from.last+1
		c.now(&n)
		if got := c.from.continues(&n); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
