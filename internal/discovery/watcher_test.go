package discovery_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/origin"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// server is a real Python program that listens, and forks workers that wait on
// the same socket, as pre-forking servers do.
const server = `
import os, signal, socket, sys, time
def serve(s):
    while True:
        c, _ = s.accept()
        if c.recv(64).startswith(b"sleep"): time.sleep(60)
        c.close()
s = socket.socket(socket.AF_INET); s.bind(("127.0.0.1", 0)); s.listen(7)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))
def fork():
    pid = os.fork()
    if pid == 0: serve(s)
    return pid
n = int(sys.argv[1])
for _ in range(n): fork()
print(s.getsockname()[1], u.getsockname()[1], flush=True)
if n == 0: serve(s)
while True:
    os.wait()
    fork()
`

// start runs the server with that many workers and returns its ports.
func start(t testing.TB, name string, workers int) (pid, tcp, udp int) {
	t.Helper()
	pid = runServer(t, server, name, workers, &tcp, &udp)
	return pid, tcp, udp
}

// runServer runs a script of Python with a number of workers until the test ends,
// and reads the ports that it prints first.
func runServer(t testing.TB, source, name string, workers int, ports ...any) (pid int) {
	t.Helper()
	script := filepath.Join(t.TempDir(), name+".py")
	if err := os.WriteFile(script, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", script, fmt.Sprint(workers))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("python3 is needed (package python3): %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscan(bufio.NewReader(out), ports...); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func watch(t testing.TB, apps ...config.App) *discovery.Watcher {
	t.Helper()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: time.Second, Inspector: waits.New, Apps: apps, Stuck: time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// await takes snapshots until the app is as the check wants it.
func await(t testing.TB, w *discovery.Watcher, name string, check func(discovery.App) string) discovery.App {
	t.Helper()
	why := "never seen"
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		s, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.Apps {
			if a.Name == name {
				if why = check(a); why == "" {
					return a
				}
			}
		}
	}
	t.Fatalf("app %q: %s", name, why)
	return discovery.App{}
}

func TestDiscoversAndFollows(t *testing.T) {
	name := fmt.Sprintf("follow%d", os.Getpid())
	pid, tcp, udp := start(t, name, 2)
	w := watch(t)
	a := await(t, w, name, func(a discovery.App) string {
		if len(a.Workers) != 2 || a.Workers[0].State != discovery.Idle || a.Workers[1].State != discovery.Idle {
			return fmt.Sprintf("workers %+v", a.Workers)
		}
		if a.Processes[0].Taken.IsZero() {
			return "no memory sample yet"
		}
		return ""
	})
	if a.PID != pid || a.Server != cmdline.Script || len(a.Listeners) != 1 || int(a.Listeners[0].Addr.Port()) != tcp || a.Listeners[0].Limit != 7 {
		t.Errorf("app %+v", a)
	}
	if m := a.Processes[0].Memory; m.PSS == 0 || m.PSS > m.RSS || m.USS > m.PSS {
		t.Errorf("memory %+v", m)
	}
	claim := ingest.Source{Addr: addrPort(t, udp)}
	prover := origin.New()
	defer func() { _ = prover.Close() }()
	proofs, err := prover.Prove(t.Context(), []ingest.Source{claim})
	if err != nil {
		t.Fatal(err)
	}
	from, user := proofs[claim], uint32(os.Geteuid())
	worker := ingest.Source{PID: int32(a.Workers[1].PID), UID: user, Proven: true}
	other := ingest.Source{PID: worker.PID, UID: user + 1, Proven: true} // the number is another user's by now
	if got := w.Senders(t.Context(), []ingest.Source{from, worker, claim, other}); got[from] != name || got[worker] != name || len(got) != 2 {
		t.Errorf("senders %v", got)
	}
	if got := w.Users(t.Context())[name]; !slices.Equal(got, []uint32{user}) {
		t.Errorf("users %v", got)
	}

	conn := dial(t, tcp)
	if _, err := conn.Write([]byte("sleep")); err != nil {
		t.Fatal(err)
	}
	await(t, w, name, func(a discovery.App) string {
		for _, x := range a.Workers {
			if x.State == discovery.Stuck && x.Detail == "sleeps" && x.For >= time.Second {
				return ""
			}
		}
		return fmt.Sprintf("no worker is stuck: %+v", a.Workers)
	})

	for slot, x := range a.Workers {
		if err := syscall.Kill(x.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		a = await(t, w, name, func(a discovery.App) string {
			if len(a.Workers) != 2 || a.Workers[slot].PID == x.PID || a.Restarts != float64(slot+1) {
				return fmt.Sprintf("%v restarts, workers %+v", a.Restarts, a.Workers)
			}
			return ""
		})
	}
}

func TestAppGoesDownAndComesBack(t *testing.T) {
	name := fmt.Sprintf("down%d", os.Getpid())
	pid, _, _ := start(t, name, 0)
	w := watch(t)
	up := await(t, w, name, func(a discovery.App) string {
		if !a.Up || len(a.Workers) != 1 || a.Workers[0].PID != pid {
			return fmt.Sprintf("%+v", a)
		}
		return ""
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	down := await(t, w, name, func(a discovery.App) string {
		if a.Up || len(a.Workers) != 0 {
			return fmt.Sprintf("still up: %+v", a)
		}
		return ""
	})
	start(t, name, 0)
	back := await(t, w, name, func(a discovery.App) string {
		if !a.Up || a.Restarts != 1 || a.Workers[0].Slot != 0 {
			return fmt.Sprintf("%+v", a)
		}
		return ""
	})
	if down.User+down.System < up.User+up.System || back.User+back.System < down.User+down.System {
		t.Errorf("CPU time went back: %v+%v, %v+%v, %v+%v", up.User, up.System, down.User, down.System, back.User, back.System)
	}
}

// Each form of the configuration's match finds the app, and no other.
func TestConfigured(t *testing.T) {
	name := fmt.Sprintf("conf%d", os.Getpid())
	pid, tcp, _ := start(t, name, 1)
	pidFile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidFile, fmt.Appendln(nil, pid), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf(":%d", tcp)
	for form, m := range map[string]config.Match{
		"cmdline":  {Cmdline: name},
		"pid file": {PIDFile: pidFile},
		"listen":   {Listen: listen},
		"several":  {Cmdline: name, Listen: listen, PIDFile: pidFile, User: fmt.Sprint(os.Getuid())},
	} {
		t.Run(form, func(t *testing.T) {
			w := watch(t, config.App{Name: "mine", Match: m}, config.App{Name: "none", Match: config.Match{Cmdline: "no-such-command-" + name}})
			await(t, w, "mine", func(a discovery.App) string {
				if !a.Up || a.PID != pid || len(a.Workers) != 1 || a.Workers[0].PID == pid || len(a.Listeners) != 1 {
					return fmt.Sprintf("%+v", a)
				}
				return ""
			})
			s, err := w.Snapshot(t.Context())
			if err != nil || len(s.Apps) != 2 || s.Apps[1].Up {
				t.Errorf("%+v %v", s, err)
			}
			if err := w.Apply(t.Context(), []config.App{{Name: "mine", Match: config.Match{Cmdline: "no-such-" + name}}}, time.Second, time.Second); err != nil {
				t.Fatal(err)
			}
			await(t, w, "mine", func(a discovery.App) string {
				if a.Up {
					return "still up after the match was changed"
				}
				return ""
			})
		})
	}
}

// A program that becomes a server by exec, long after the table first read it, is found
// because its socket belongs to no known app.
func TestExecIsNoticed(t *testing.T) {
	name := fmt.Sprintf("exec%d", os.Getpid())
	dir := t.TempDir()
	script := filepath.Join(dir, name+".py")
	if err := os.WriteFile(script, []byte(server), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "read go; exec python3 "+script+" 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	w := watch(t)
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.Apps {
		if a.Name == name || a.PID == cmd.Process.Pid {
			t.Fatalf("found too early: %+v", a)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	await(t, w, name, func(a discovery.App) string {
		if !a.Up || a.PID != cmd.Process.Pid {
			return fmt.Sprintf("%+v", a)
		}
		return ""
	})
}

func TestSnapshotObeysItsContext(t *testing.T) {
	w := watch(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Snapshot(ctx)
	if _, again := w.Snapshot(t.Context()); again != nil {
		t.Errorf("after an ended context: %v (first: %v)", again, err)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	start(b, fmt.Sprintf("bench%d", os.Getpid()), 4)
	now := time.Now()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: time.Second, Inspector: waits.New, Stuck: time.Second, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time {
		now = now.Add(time.Second) // never fresh: every call looks again
		return now
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Snapshot(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
