package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mainVariable makes the test binary the exporter.
const mainVariable = "TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// startMain starts the exporter by a path of its binary, and returns it with the lines of
// its log.
func startMain(t *testing.T, path, argv0 string, env ...string) (*exec.Cmd, <-chan string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "resp.yml")
	if err := os.WriteFile(file, []byte("slow_request: 2s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--config.file="+file, "--web.listen-address=127.0.0.1:0", "--state.dir="+filepath.Join(dir, "state"))
	cmd.Args[0] = argv0
	cmd.Env = append(append(os.Environ(), mainVariable+"=1"), env...)
	r, w := io.Pipe()
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = w.Close() })
	return cmd, lines
}

// await waits for a line of the log with a text.
func await(t *testing.T, lines <-chan string, text string) {
	t.Helper()
	late := time.After(2 * time.Minute)
	var all []string
	for {
		select {
		case l := <-lines:
			if all = append(all, l); strings.Contains(l, text) {
				return
			}
		case <-late:
			t.Fatalf("no %q in\n%s", text, strings.Join(all, "\n"))
		}
	}
}

// ignoresHUP reports whether a process ignores SIGHUP, or had it ignored when it began
// and gets it now.
func ignoresHUP(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, ignored, _ := strings.Cut(string(b), "\nSigIgn:\t")
	mask, _, _ := strings.Cut(ignored, "\n")
	return len(mask) == 16 && strings.ContainsRune("13579bdf", rune(mask[15]))
}

// A SIGHUP never ends the exporter from the first statement of main on: while it executes
// itself again, while it reads its configuration, and after that. It reloads then.
func TestReloadWhileItStarts(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 1, 5, 10, 20, 50, 100, 200} {
		cmd, lines := startMain(t, os.Args[0], os.Args[0])
		// Or it has ignored it while this test did not get to look, and says that it starts.
		for end := time.Now().Add(time.Minute); !ignoresHUP(cmd.Process.Pid) && len(lines) == 0; time.Sleep(200 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatal("SIGHUP is never ignored")
			}
		}
		for range 3 {
			time.Sleep(after * time.Millisecond)
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Errorf("after %d ms: %v", after, err)
			}
		}
		await(t, lines, "Starting resp-exporter")
		if ignoresHUP(cmd.Process.Pid) {
			t.Error("programs would inherit that SIGHUP is ignored")
		}
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Errorf("after %d ms it has ended: %v", after, err)
		}
		await(t, lines, "Configuration reloaded")
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %d ms: %v", after, err)
		}
	}
}

// A process keeps the name by which it was started, though it executes itself again: that of
// a link, found by its path or in PATH.
func TestNameOfALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "respx")
	if err := os.Symlink(binary, link); err != nil {
		t.Fatal(err)
	}
	for argv0, want := range map[string]string{link: "respx", "respx": "respx", "unknown": filepath.Base(binary)} {
		cmd, lines := startMain(t, link, argv0, "PATH=/nowhere:"+dir)
		await(t, lines, "Starting resp-exporter")
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		if got := strings.TrimSpace(string(comm)); err != nil || got != want[:min(len(want), 15)] {
			t.Errorf("%s: %q, %v; want %q", argv0, got, err, want)
		}
	}
}
