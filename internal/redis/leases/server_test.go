package leases_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// server is a redis-server without persistence that listens at a UNIX socket only.
type server struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts a server that is stopped after the test.
func start(t *testing.T) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("%v: apt-get install redis-server", err)
	}
	dir := t.TempDir()
	s := &server{t: t, socket: filepath.Join(dir, "s"), exited: make(chan struct{})}
	s.cmd = exec.Command(program, "--port", "0", "--unixsocket", s.socket, "--dir", dir, "--save", "", "--appendonly", "no") //nolint:gosec // the program on the PATH
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.stop)
	s.await()
	return s
}

// stop ends the server and waits for its end.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// await waits until the server accepts connections, at most for a minute.
func (s *server) await() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := (&net.Dialer{}).DialContext(s.t.Context(), "unix", s.socket)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("redis-server: %v", err)
		}
		select {
		case <-s.exited:
			s.t.Fatal("redis-server has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// open returns a client of the server, until the test ends.
func (s *server) open() *redis.Server {
	s.t.Helper()
	return redistest.Open(s.t, fmt.Sprintf("unix://%s", s.socket), "")
}
