package actiontest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

// helperEnv makes this program a helper process in place of the tests.
const helperEnv = "TEST_HERD_MEMBER"

// Main runs the tests, or a helper process.
func Main(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	args := os.Args[1:]
	if len(args) >= 3 { // sleep, what it does, and a file
		switch args[1] {
		case "signals":
			exitOnSignal(args[2])
		case "deaf":
			deaf(args[2])
		case "master":
			master(args[2])
		}
	}
	time.Sleep(5 * time.Minute)
}

// exitOnSignal ends with a status that stands for the first signal.
func exitOnSignal(ready string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGABRT)
	writeReady(ready)
	switch <-c {
	case syscall.SIGTERM:
		os.Exit(7)
	case syscall.SIGHUP:
		os.Exit(8)
	}
	os.Exit(9)
}

// writeReady adds a byte to a file, so that the test knows that this process is ready.
func writeReady(ready string) {
	f, err := os.OpenFile(ready, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f)
	}
	if err != nil {
		os.Exit(1)
	}
}

// SleepLine is a command line that sleeps for five minutes.
const SleepLine = "exec /bin/sleep 300"

// StartShell starts a shell with a command line, as a child of this process.
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

// StartHelper starts a helper process with open files, as a child of this process.
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

// Listener returns the socket of a listener.
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
