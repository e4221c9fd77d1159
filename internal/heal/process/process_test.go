package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// sleeper starts a child process that sleeps.
func sleeper(t *testing.T) (*exec.Cmd, procid.Identity) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	id, err := procid.Identify("/proc", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, id
}

// A signal reaches the process of the handle, and is an error after its end.
func TestHandle(t *testing.T) {
	t.Parallel()
	cmd, id := sleeper(t)
	g, err := process.Open("/proc", id)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Check(); err != nil || g.ID != id {
		t.Errorf("%v, %+v", err, g.ID)
	}
	if g.WaitEnded(t.Context(), 0) {
		t.Error("it has ended before its signal")
	}
	began := time.Now()
	if g.WaitEnded(t.Context(), 300*time.Millisecond) || time.Since(began) < 300*time.Millisecond {
		t.Errorf("waited for %s of 300ms", time.Since(began))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if g.WaitEnded(ended, time.Hour) {
		t.Error("it has ended, by a context that has")
	}
	if err := g.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !g.WaitEnded(t.Context(), time.Minute) {
		t.Fatal("it has not ended")
	}
	if err := g.Check(); !errors.Is(err, process.ErrChanged) {
		t.Errorf("a zombie: %v", err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it ended by %v", err)
	}
	if err := g.Signal(syscall.SIGTERM); !errors.Is(err, process.ErrChanged) {
		t.Errorf("a signal after its end: %v", err)
	}
	if err := g.Check(); !errors.Is(err, process.ErrChanged) {
		t.Errorf("after its end: %v", err)
	}
}

// A process with another start or parent is not the planned one.
func TestOpenOther(t *testing.T) {
	t.Parallel()
	_, id := sleeper(t)
	for name, change := range map[string]func(*procid.Identity){
		"another start":      func(i *procid.Identity) { i.Start++ },
		"another parent":     func(i *procid.Identity) { i.Parent++ },
		"a pid without use":  func(i *procid.Identity) { i.PID = 1 << 22 },
		"init":               func(i *procid.Identity) { i.PID = 1 },
		"no process":         func(i *procid.Identity) { i.PID = 0 },
		"all processes":      func(i *procid.Identity) { i.PID = -1 },
		"the exporter's own": func(i *procid.Identity) { i.PID = os.Getpid() },
	} {
		other := id
		change(&other)
		g, err := process.Open("/proc", other)
		if err == nil {
			g.Close()
			t.Errorf("%s was opened", name)
		}
		if never := other.PID <= 1 || other.PID == os.Getpid(); errors.Is(err, process.ErrChanged) == never {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pids are compared only where /proc shows the exporter's own PID namespace.
func TestCheckSignalable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := process.CheckSignalable(root, 12345); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without /proc/self: %v", err)
	}
	if err := os.Symlink("4711", filepath.Join(root, "self")); err != nil {
		t.Fatal(err)
	}
	if err := process.CheckSignalable(root, 12345); err == nil {
		t.Error("a pid of another namespace may be signalled")
	}
	_, id := sleeper(t)
	if err := process.CheckSignalable("/proc", id.PID); err != nil {
		t.Error(err)
	}
	if _, err := process.Open(root, id); err == nil {
		t.Error("opened by a pid of another namespace")
	}
}

// An identity is the same after it was written to the journal and read.
func TestInfo(t *testing.T) {
	t.Parallel()
	id := procid.Identity{PID: 4711, Start: 1234567}
	info := process.Info(id)
	got, ok := process.IdentityFrom(info, "")
	if !ok || !got.Same(id) || process.IdentityOf(id) != "4711:1234567" {
		t.Errorf("%+v, %v, %s", got, ok, process.IdentityOf(id))
	}
	if info["pid"] != "4711" || info["start"] != "1234567" {
		t.Errorf("%v", info)
	}
	if at := process.PlannedAt(info); time.Since(at).Abs() > time.Hour {
		t.Errorf("planned at %v", at)
	}
	if at := process.PlannedAt(map[string]string{"planned": "1000"}); !at.Equal(time.Unix(1000, 0)) {
		t.Errorf("planned at %v", at)
	}
	if at := process.PlannedAt(nil); !at.IsZero() {
		t.Errorf("planned at %v, which is not known", at)
	}
	prefixed := map[string]string{"master_pid": "7", "master_start": "9", "pid": "8", "start": "10"}
	if got, ok := process.IdentityFrom(prefixed, "master_"); !ok || got.PID != 7 || got.Start != 9 {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, text := range []string{"|5", "x|5", "1|5", "0|5", "-1|5", "4711|", "4711|x"} {
		pid, start, _ := strings.Cut(text, "|")
		if got, ok := process.IdentityFrom(map[string]string{"pid": pid, "start": start}, ""); ok {
			t.Errorf("%s is process %+v", text, got)
		}
	}
}

func TestWithoutPath(t *testing.T) {
	t.Parallel()
	_, err := os.Open("/proc/" + strconv.Itoa(1<<22) + "/stat")
	if got := process.WithoutPath(err); !errors.Is(got, os.ErrNotExist) || strings.Contains(got.Error(), "/proc") {
		t.Errorf("%v", got)
	}
	other := errors.New("x")
	if got := process.WithoutPath(other); !errors.Is(got, other) {
		t.Errorf("%v", got)
	}
}
