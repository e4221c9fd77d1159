package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Server is a redis-server without persistence that listens at a UNIX socket only.
type Server struct {
	t      *testing.T
	socket string
	argv   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a server that is stopped after the test.
func Start(t *testing.T) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("%v: apt-get install redis-server", err)
	}
	dir := t.TempDir()
	s := &Server{t: t, socket: filepath.Join(dir, "s"), argv: []string{program, "--port", "0", "--unixsocket", filepath.Join(dir, "s"), "--dir", dir, "--save", "", "--appendonly", "no"}}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart starts the server after [Server.Stop], without the data that it had.
func (s *Server) Restart() {
	s.t.Helper()
	s.cmd, s.exited = exec.CommandContext(s.t.Context(), s.argv[0], s.argv[1:]...), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	s.await()
}

// Stop kills the server and waits for its end.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// await waits until the server accepts connections, at most for a minute.
func (s *Server) await() {
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

// Open returns a client of the server, until the test ends.
func (s *Server) Open() *redis.Server {
	s.t.Helper()
	return Open(s.t, fmt.Sprintf("unix://%s", s.socket), "")
}

// OpenAs opens the server as Open does, for a user with a password.
func (s *Server) OpenAs(user, password string) *redis.Server {
	s.t.Helper()
	return Open(s.t, fmt.Sprintf("unix://%s:%s@%s", user, password, s.socket), "")
}

// URL returns where the server is.
func (s *Server) URL() string { return "unix://" + s.socket }
