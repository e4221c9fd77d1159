// Package mariadb runs a separate MariaDB for tests and benchmarks: with its own data
// directory, on the loopback only, and removed when it is closed.
package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	// The driver registers itself.
	_ "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// patience is how long the server may take to start.
const patience = 60 * time.Second

// Grants are the statements of docs/mysql.md that create the exporter's user, with
// PASSWORD in place of its password.
const Grants = `CREATE USER 'resp'@'127.0.0.1' IDENTIFIED BY 'PASSWORD' WITH MAX_USER_CONNECTIONS 3;
CREATE USER 'resp'@'localhost' IDENTIFIED BY 'PASSWORD' WITH MAX_USER_CONNECTIONS 3;
GRANT PROCESS ON *.* TO 'resp'@'127.0.0.1';
GRANT PROCESS ON *.* TO 'resp'@'localhost';`

// Server is one running server, or one that was stopped and may start again.
type Server struct {
	Port   int
	Socket string

	dir  string
	args []string
	env  []string
	wrap []string
	proc *run.Proc
}

// Start makes a data directory below dir, which must have a short path, unless there is
// one, and starts a server on it. What looks like a variable, "TZ=JST-9", goes to its
// environment, the rest are its options.
func Start(ctx context.Context, dir string, args ...string) (*Server, error) {
	return StartIn(ctx, dir, nil, args...)
}

// StartIn starts a server as Start does, with a program (and its arguments) that runs the
// server.
func StartIn(ctx context.Context, dir string, wrap []string, args ...string) (*Server, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, Socket: filepath.Join(dir, "m.sock"), dir: dir, wrap: wrap}
	for _, a := range args {
		if strings.HasPrefix(a, "--") {
			s.args = append(s.args, a)
		} else {
			s.env = append(s.env, a)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil { // a copy of another one's
		return s, s.Start(ctx)
	}
	if err := Install(dir); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// Install makes a data directory below dir, which must have a short path. No server runs on
// it yet, so that it may be copied.
func Install(dir string) error {
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", //nolint:gosec // a test's own directory
		"--skip-test-db", "--tmpdir="+dir, "--user="+user()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("data directory: %w\n%.2000s", err, out)
	}
	return nil
}

// Copy copies the data directory below from, on which no server runs, to the same place
// below to. It leaves out blocks of zeros.
func Copy(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", "--sparse=always", filepath.Join(from, "data"), filepath.Join(to, "data")).CombinedOutput() //nolint:gosec // a test's own directories
	if err != nil {
		return fmt.Errorf("copy of a data directory: %w\n%.2000s", err, out)
	}
	return nil
}

// user returns the user that the server is told to run as, the owner of the data
// directory: it refuses to run as root by default.
func user() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

// Start starts a server that was stopped, and returns when it answers.
func (s *Server) Start(ctx context.Context) error {
	argv := append(append([]string{}, s.wrap...), "mariadbd", "--no-defaults", "--datadir="+filepath.Join(s.dir, "data"), "--tmpdir="+s.dir, "--socket="+s.Socket, "--bind-address=127.0.0.1",
		fmt.Sprintf("--port=%d", s.Port), "--pid-file="+filepath.Join(s.dir, "m.pid"), "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
		"--innodb-buffer-pool-size=32M", "--user="+user())
	argv = append(argv, s.args...)
	p, err := run.Start(run.Spec{Name: "mariadbd", Path: argv[0], Args: argv[1:], Env: s.env, Dir: s.dir, Logs: s.dir})
	if err != nil {
		return err
	}
	s.proc = p
	db, err := s.Root()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := db.PingContext(once)
		cancel()
		if err == nil {
			return nil
		}
		if gone := p.Err(); gone != nil || ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("mariadbd does not answer: %w\n%s", errors.Join(err, gone), p.Output(2000))
		}
	}
}

// Proc returns the server's process; nil before it was started.
func (s *Server) Proc() *run.Proc { return s.proc }

// PID returns the server's process id.
func (s *Server) PID() int { return s.proc.PID() }

// Signal sends a signal to the server.
func (s *Server) Signal(sig syscall.Signal) error { return s.proc.Signal(sig) }

// Stop ends the server, also one that is stopped by a signal.
func (s *Server) Stop() {
	if s.proc != nil {
		_ = s.proc.Signal(syscall.SIGCONT)
		s.proc.Stop()
	}
}

// Kill ends the server at once, as a crash does.
func (s *Server) Kill() {
	_ = s.proc.Signal(syscall.SIGKILL)
	<-s.proc.Done()
}

// Root opens connections of the administrator, over the socket.
func (s *Server) Root() (*sql.DB, error) { return s.Open("root", "") }

// Open opens connections of a user, over the socket.
func (s *Server) Open(user, password string) (*sql.DB, error) {
	return sql.Open("mysql", fmt.Sprintf("%s:%s@unix(%s)/", user, password, s.Socket))
}

// OpenTCP opens connections of a user, over TCP.
func (s *Server) OpenTCP(user, password string) (*sql.DB, error) {
	return sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/", user, password, s.Port))
}

// Exec runs statements, one after each semicolon, as the administrator.
func (s *Server) Exec(statements string) error {
	db, err := s.Root()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := db.Exec(statement); err != nil {
			return fmt.Errorf("%.80s: %w", strings.TrimSpace(statement), err)
		}
	}
	return nil
}
