package pystack_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// patience is how long a test waits for what must come to be.
const patience = time.Minute

const debian = "/usr/bin/python3"

// pythons returns the interpreters that are there, Debian's first.
func pythons(t testing.TB) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found := []string{debian}
	for _, minor := range []string{"8", "9", "10", "11", "12", "13", "14"} {
		paths, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3."+minor+".*/bin/python3."+minor))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// script is a Python program that runs.
type script struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

// start runs a program until the test ends.
func start(t testing.TB, name string, args ...string) *script {
	t.Helper()
	s := &script{cmd: exec.CommandContext(t.Context(), name, args...)}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	return s
}

func (s *script) pid() int { return s.cmd.Process.Pid }

// read decodes the next line of the program's output.
func (s *script) read(t testing.TB, into any) {
	t.Helper()
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the script wrote nothing: %v", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
}

// open opens a process; it waits until the interpreter is ready.
func open(t testing.TB, pid int) *pystack.Process {
	t.Helper()
	var p *pystack.Process
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p, err = pystack.Open(procfs.New("/proc"), pid, pystack.NewCache()); err == nil {
			t.Cleanup(p.Close)
			return p
		}
	}
	t.Fatalf("open %d: %v", pid, err)
	return nil
}

// eventually calls f until it returns "".
func eventually(t testing.TB, f func() string) {
	t.Helper()
	var fault string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if fault = f(); fault == "" {
			return
		}
	}
	t.Fatal(fault)
}
