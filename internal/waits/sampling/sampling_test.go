package sampling

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const python = "/usr/bin/python3"

// startPython starts a script that prints a line once it is ready, and returns its
// pid, its start and the words of that line.
func startPython(tb testing.TB, script string, args ...string) (pid int, start uint64, words []string) {
	tb.Helper()
	return startProgram(tb, python, script, args...)
}

// startProgram starts that Python as [startPython] does.
func startProgram(tb testing.TB, program, script string, args ...string) (pid int, start uint64, words []string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), program, append([]string{"-S", "-c", script}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("%v from %s", err, script)
	}
	b, err := procfs.New("/proc").Read(cmd.Process.Pid, "stat")
	if err != nil {
		tb.Fatal(err)
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		tb.Fatal(err)
	}
	return cmd.Process.Pid, st.Start, strings.Fields(line)
}

// until calls f until it returns true.
func until(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for end := time.Now().Add(40 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not within 40 s: %s", what)
		}
	}
}

// save sets what each user has saved for stacks.
func save(s *Sampler, savings time.Duration) {
	for _, u := range s.shares.Users() {
		u.Savings = savings
	}
}

// newSampler returns a sampler that the test runs by hand.
func newSampler() *Sampler {
	return New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 10}})
}

// The kinds of waits of a real process's main thread are distinguished.
func TestWhatAThreadWaitsFor(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	const head = "import os, select, socket, sys, threading, time, subprocess, fcntl\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\nr, w = os.pipe()\nprint(s.fileno(), flush=True)\n"
	for name, c := range map[string]struct {
		script string
		want   ledger.On
		socket string // how the socket is named; "": there is none
	}{
		"accept":        {"s.accept()", ledger.Idle, ""},
		"select":        {"select.select([s, r], [], [])", ledger.Idle, ""},
		"poll":          {"p = select.poll(); p.register(s, select.POLLIN); p.poll()", ledger.Idle, ""},
		"epoll":         {"p = select.epoll(); p.register(s, select.EPOLLIN); p.poll()", ledger.Idle, ""},
		"sleep":         {"time.sleep(600)", ledger.Sleep, ""},
		"select sleeps": {"select.select([], [], [], 600)", ledger.Sleep, ""},
		"lock":          {"l = threading.Lock(); l.acquire(); l.acquire()", ledger.Lock, ""},
		"timed lock":    {"l = threading.Lock(); l.acquire(); l.acquire(timeout=600)", ledger.Lock, ""},
		"child":         {"subprocess.run(['sleep', '600'])", ledger.Child, ""},
		"pipe":          {"os.read(r, 1)", ledger.Other, ""},
		"recv":          {"c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); c.recv(1)", ledger.MySQL, conns.OnMySQL},
		"poll a socket": {"c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); c.settimeout(600); c.recv(1)", ledger.Redis, conns.OnRedis},
		"epoll sockets": {"c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); p = select.epoll(); p.register(c, select.EPOLLIN); p.register(socket.socketpair()[0], select.EPOLLIN); p.poll()", ledger.Upstream, conns.OnUpstream},
		"spins":         {"while True: pass", ledger.CPU, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			pid, start, words := startPython(t, head+c.script, port)
			s := newSampler()
			t.Cleanup(s.closeAll)
			r := Registration{PID: pid, Start: start, App: "shop", Slot: 3, Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
			if _, err := fmt.Sscan(words[0], new(int)); err != nil {
				t.Fatal(err)
			}
			var fd int
			_, _ = fmt.Sscan(words[0], &fd)
			r.Listening = []int{fd}
			var last []model.Thread
			until(t, c.want.String(), func() bool {
				last = s.Register(r)
				s.sample()
				var named []conns.SocketWait
				for i, u := range s.Unnamed() {
					w := conns.SocketWait{Sockets: []conns.WaitSocket{{Inode: u.Inode}}, On: c.socket, Peer: "10.0.0.9:1 (kind)"}
					if i > 0 {
						w.On, w.Peer = conns.OnOther, ""
					}
					named = append(named, w)
				}
				s.SetNames(named)
				return len(last) == 1 && last[0].On == c.want.String() && (last[0].Socket != 0) == (c.socket != "")
			})
			if x := last[0]; !x.Main || x.TID != pid || (x.Kind == "kind") != (c.socket != "") || (x.Futex != 0) != (c.want == ledger.Lock) {
				t.Errorf("%+v", x)
			}
			got := s.Totals().Apps
			if len(got) != 1 || got[0].Slots[0].Slot != 3 {
				t.Fatalf("%+v", got)
			}
		})
	}
}

// Seconds go to the slot, add up to the time that has passed, and live on when
// another process is in it, also where no file may be held open.
func TestSecondsOfASlot(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"files are held open": true, "none is": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secondsOfASlot(t, held)
		})
	}
}

func secondsOfASlot(t *testing.T, held bool) {
	s := newSampler()
	if !held {
		s.kept.Max, s.dirs.Max = 0, 0
	}
	t.Cleanup(s.closeAll)
	const readLater = 0.02 // seconds: a thread's totals are read a little later than the clock
	began := time.Now()
	sum := func() float64 {
		apps := s.Totals().Apps
		return apps[0].Slots[0].Seconds.Sum()
	}
	before := 0.0
	for range 2 {
		ctx, end := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, "sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b, err := procfs.New("/proc").Read(cmd.Process.Pid, "stat")
		if err != nil {
			t.Fatal(err)
		}
		st, _ := procfs.ParseStat(b)
		r := Registration{PID: cmd.Process.Pid, Start: st.Start, App: "shop", Server: cmdline.Gunicorn, Sync: true}
		first := time.Now()
		s.Register(r)
		s.sample()
		until(t, "a second", func() bool { s.sample(); return sum()-before > 1 })
		if n := s.kept.Open() + s.dirs.Open(); n != 0 != held {
			t.Errorf("%d files are held open", n)
		}
		if got, passed := sum()-before, time.Since(first).Seconds(); got > passed+readLater {
			t.Errorf("%.2f s in %.2f s", got, passed)
		}
		end()
		_ = cmd.Wait()
		s.sample()
		if r.Start++; len(s.Register(r)) != 0 {
			t.Error("a process that is another one is sampled")
		}
		until(t, "the dead one is forgotten", func() bool { s.sample(); return len(s.workers) == 0 })
		before = sum() // with its last moments
	}
	if got := sum(); got < before || got > time.Since(began).Seconds()+2*readLater {
		t.Errorf("%.2f s, then %.2f s", before, got)
	}
	if n := s.kept.Open() + s.dirs.Open(); n != 0 {
		t.Errorf("%d files are still open", n)
	}
}

// The group's throttled time distinguishes throttled threads from queued ones.
func TestThrottled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("proc/7/cgroup", "0::/shop\n")
	file("proc/self/mountinfo", "30 23 0:26 / "+dir+"/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	file("sys/fs/cgroup/shop/cpu.max", "50000 100000\n")
	file("sys/fs/cgroup/shop/cpu.stat", "nr_throttled 1\nthrottled_usec 1000000\n")
	s := New(Options{ProcRoot: dir + "/proc", SysRoot: dir + "/sys", Settings: Settings{Rate: 10}})
	now := time.Unix(1000, 0)
	w := &worker{key: workerKey{pid: 7}, totals: &ledger.Slot{}, counted: 1, queued: 2}
	w.settleQueued(s.groups, now)
	w.queued = 3
	file("sys/fs/cgroup/shop/cpu.stat", "nr_throttled 2\nthrottled_usec 2500000\n")
	w.settleQueued(s.groups, now.Add(time.Second))
	if got := w.totals.Seconds; got[ledger.CPUQueue] != 3.5 || got[ledger.Throttled] != 1.5 {
		t.Errorf("%+v", got)
	}
}

// Run names what is not named, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 1)
	s := New(Options{ProcRoot: "/proc", Settings: Settings{Rate: 20}, Name: func(context.Context) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil
	}})
	s.names.Name(0, "shop", 1, time.Now())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-asked:
	case <-time.After(40 * time.Second):
		t.Error("nothing was named")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkSample samples workers of which half move all the time, and 100 ms pass
// between two samples. At ten samples a second a hundredth of a core is 1 ms a
// sample.
func BenchmarkSample(b *testing.B) {
	for _, c := range []struct {
		workers, threads int
		stacks           bool
	}{{64, 1, false}, {64, 1, true}, {10, 40, false}, {10, 40, true}} {
		b.Run(fmt.Sprintf("workers=%d/threads=%d/stacks=%t", c.workers, c.threads, c.stacks), func(b *testing.B) {
			benchmarkSample(b, c.workers, c.threads, c.stacks)
		})
	}
}

func benchmarkSample(b *testing.B, workers, threads int, stacks bool) {
	b.Helper()
	const script = `import sys, threading, time
def view():
  time.sleep(0.1)
def run(i):
  while i % 2: view()
  time.sleep(600)
worker, threads = int(sys.argv[1]), int(sys.argv[2])
for i in range(1, threads): threading.Thread(target=run, args=(i,), daemon=True).start()
print(1, flush=True)
run(worker)
`
	s := newSampler()
	s.Apply(Settings{Rate: 10, Stacks: stacks})
	b.Cleanup(s.closeAll)
	for i := range workers {
		pid, start, _ := startPython(b, script, fmt.Sprint(i), fmt.Sprint(threads))
		r := Registration{PID: pid, Start: start, App: "shop", Slot: i, Server: cmdline.Gunicorn, Class: "sync", Threads: threads, Known: true, InFlight: threads}
		s.Register(r)
	}
	for range 50 { // all threads are known, all interpreters open
		save(s, time.Second)
		s.shares.Begin(time.Now(), stacks)
		s.sampleAll()
	}
	s.ticked = time.Now().Add(time.Hour)
	var used time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		time.Sleep(100 * time.Millisecond)
		save(s, time.Second)
		s.shares.Begin(time.Now(), stacks)
		b.StartTimer()
		used += procfs.ThreadCost(s.sampleAll)
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/op")
}
