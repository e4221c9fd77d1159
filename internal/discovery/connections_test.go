package discovery_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// clientServer is a pre-forking server whose master and workers have
// connections: the master one, which the workers inherit, the n-th worker n
// over TCP and one over a UNIX socket.
const clientServer = `
import os, socket, sys, time
port, path = int(sys.argv[1]), sys.argv[2]
def connect():
    return socket.create_connection(("127.0.0.1", port))
s = socket.socket(socket.AF_INET); s.bind(("127.0.0.1", 0)); s.listen(7)
held = [connect()]
for n in (1, 2):
    if os.fork() == 0:
        held = [held[0]] + [connect() for _ in range(n)]
        u = socket.socket(socket.AF_UNIX); u.connect(path)
        os.write(1, b"%d\n" % os.getpid()) # at once: two lines must not run into one
        while True: s.accept()
while True: time.sleep(60)
`

// accept accepts connections and keeps them open.
func accept(t *testing.T, network, address string) net.Addr {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		var held []net.Conn
		for {
			c, err := ln.Accept()
			if err != nil {
				for _, h := range held {
					_ = h.Close()
				}
				return
			}
			held = append(held, c)
		}
	}()
	return ln.Addr()
}

// Each connection belongs to the one worker that holds it; one that the master opened
// before the fork belongs to none.
func TestConnectionsOfWorkers(t *testing.T) {
	dir, err := os.MkdirTemp("", "pc") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "store")
	port := accept(t, "tcp4", "127.0.0.1:0").(*net.TCPAddr).Port
	accept(t, "unix", path)

	name := fmt.Sprintf("client%d", os.Getpid())
	script := filepath.Join(t.TempDir(), name+".py")
	if err := os.WriteFile(script, []byte(clientServer), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", script, fmt.Sprint(port), path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	pids, lines := make([]int, 2), bufio.NewReader(stdout)
	for i := range pids {
		if _, err := fmt.Fscan(lines, &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	w := watch(t)
	w.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{fmt.Sprintf("localhost:%d", port)}, Paths: []string{path}}})
	await(t, w, name, func(a discovery.App) string {
		if len(a.Workers) != 2 {
			return fmt.Sprintf("%d workers", len(a.Workers))
		}
		got := map[int]int{}
		c := w.Connections()
		for _, x := range c.List {
			if x.App != name {
				continue
			}
			if x.Component != "mysql:main" || x.Remote.IsValid() && (int(x.Remote.Port()) != port || !x.Local.IsValid()) {
				t.Fatalf("%+v", x)
			}
			got[x.PID]++
		}
		small, large := min(got[pids[0]], got[pids[1]]), max(got[pids[0]], got[pids[1]])
		if err := c.Errs[name]; err != nil || got[0] != 1 || small != 2 || large != 3 {
			return fmt.Sprintf("connections %v, %v, of workers %v", got, err, pids)
		}
		return ""
	})
}
