package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// sleeper starts a Python program with two threads that wait, and returns its
// process id when both do.
func sleeper(t *testing.T) int {
	t.Helper()
	return startPython(t, `
import sys, threading
def waits():
    threading.Event().wait()
threading.Thread(target=waits, daemon=True, name="helper").start()
print(1, flush=True)
sys.stdin.read()
`)
}

// startPython starts a Python program, and returns its process id when it has printed a
// line. The program ends with the test.
func startPython(t *testing.T, program string, args ...string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{"-c", program}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestStack(t *testing.T) {
	t.Parallel()
	pid := sleeper(t)
	var stdout, stderr bytes.Buffer
	var r stackReport
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		stdout.Reset()
		if code := run([]string{"stack", "--output=json", strconv.Itoa(pid)}, &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		r = stackReport{}
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Threads) == 2 && r.Threads[0].Call == "read" && r.Threads[1].Call == "futex" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r)
		}
	}
	main, helper := r.Threads[0], r.Threads[1]
	if r.PID != pid || !strings.HasPrefix(r.Python, "3.11.") || r.Collecting {
		t.Errorf("%+v", r)
	}
	if !main.Main || main.TID != pid || main.Outcome != "ok" || !main.Proven || main.State != "sleeping" || main.Lock || main.Waits {
		t.Errorf("%+v", main)
	}
	if len(main.Frames) != 1 || main.Frames[0] != (lineFrame{"<module>", "<string>", 7}) {
		t.Errorf("%+v", main.Frames)
	}
	if helper.Main || len(helper.Frames) != 6 || helper.Frames[2] != (lineFrame{"waits", "<string>", 4}) {
		t.Errorf("%+v", helper)
	}

	stdout.Reset()
	if code := run([]string{"stack", strconv.Itoa(pid)}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	for _, want := range []string{"sleeping in read\n    <module> (<string>:7)\n", "sleeping in futex\n", "    waits (<string>:4)\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, stdout.String())
		}
	}
}

// A process that cannot be looked at is exit code 1, with a line that says why and
// with nothing on standard output; a wrong command line is 2.
func TestStackFails(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ended.Wait() }()
	zombie := strconv.Itoa(ended.Process.Pid)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile("/proc/" + zombie + "/stat"); err != nil || time.Now().After(deadline) {
			t.Fatalf("it has not ended: %v", err)
		} else if bytes.Contains(b, []byte(") Z ")) {
			break
		}
	}
	for name, c := range map[string]struct {
		pid  string
		code int
		says string
	}{
		"it has ended":    {zombie, 1, "has ended; its parent, process " + strconv.Itoa(os.Getpid())},
		"no such process": {"4194304", 1, "there is no process 4194304"},
		"not Python":      {strconv.Itoa(os.Getpid()), 1, "CPython"},
		"no number":       {"x", 2, "must be a number above 0"},
		"0":               {"0", 2, "must be a number above 0"},
		"too large":       {"4294967297", 2, "must be a number above 0"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"stack", c.pid}, &stdout, &stderr); code != c.code {
			t.Errorf("%s: exit code %d", name, code)
		}
		if stdout.Len() > 0 || !strings.Contains(stderr.String(), c.says) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: stdout %q, stderr %q", name, stdout.String(), stderr.String())
		}
	}
}

// A process without a program is distinguished from one that does not exist.
func TestStackOfNoProgram(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, c := range map[string]struct{ stat, says string }{
		"a thread of the kernel": {"7 (kworker/0:1) I 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 20 0 0", "a thread of the kernel"},
		"a zombie":               {"7 (x) y) Z 12 7 7 0 -1 4194308 0 0 0 0 0 0 0 0 20 0 1 0 20 0 0", "has ended; its parent, process 12"},
		"one that has just gone": {"7 (x) S 12 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 20 0 0", "has ended, or"},
		"garbage":                {"7", "has ended, or"},
	} {
		if err := os.MkdirAll(root+"/7", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+"/7/stat", []byte(c.stat+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := goneText(procfs.New(root), 7); !strings.Contains(got, c.says) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := goneText(procfs.New(root), 8); got != "there is no process 8" {
		t.Error(got)
	}
}

func TestNamesOfCalls(t *testing.T) {
	t.Parallel()
	for nr, want := range map[int]string{0: "read", 7: "poll", 45: "recvfrom", 61: "wait4", 202: "futex", 232: "epoll_wait", 999: "call 999"} {
		if got := callName(nr); got != want {
			t.Errorf("%d: %s", nr, got)
		}
	}
	for _, state := range "RSDTZ" {
		if name := stateName(byte(state)); len(name) < 3 {
			t.Errorf("%c: %q", state, name)
		}
	}
}
