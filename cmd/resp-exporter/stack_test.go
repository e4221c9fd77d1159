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
)

// sleeper starts a Python program with two threads that wait, and returns its
// process id when both do.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", `
import sys, threading
def waits():
    threading.Event().wait()
threading.Thread(target=waits, daemon=True, name="helper").start()
print(1, flush=True)
sys.stdin.read()
`)
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
	for name, c := range map[string]struct {
		pid  string
		code int
		says string
	}{
		"no such process": {"4194304", 1, "there is no process 4194304"},
		"not Python":      {strconv.Itoa(os.Getpid()), 1, "CPython"},
		"no number":       {"x", 2, ""},
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
