package actiontest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

// SleepLine is a command line that sleeps for five minutes.
const SleepLine = "exec /bin/sleep 300"

// StartShell starts a shell with a command line, as a child of this process, and returns
// the running command. It is killed at the end of the test.
func StartShell(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// StartHelper starts a helper process with open files, as a child of this process, and
// returns the running command. It is killed at the end of the test.
func StartHelper(t *testing.T, args []string, files ...*os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), helperEnv+"=1"), files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// Listener returns the socket of a TCP listener on the loopback, which is closed at the end
// of the test.
func Listener(t *testing.T) *os.File {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = f.Close(), l.Close() })
	return f
}

// WorkerFile returns a file that a worker of a server shares with its master: gunicorn's
// heartbeat file, uWSGI's signal pipe.
func WorkerFile(t *testing.T, server cmdline.Server) *os.File {
	t.Helper()
	if server == cmdline.UWSGI {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(pair[1]), "pipe")
		t.Cleanup(func() { _, _ = f.Close(), syscall.Close(pair[0]) })
		return f
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "wgunicorn-x"))
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
