package cgroup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
)

// hierarchy is where groups can be created on this machine.
type hierarchy struct {
	memory, cpu    string // directories to make groups in
	memoryMax      string // file names
	writeQuota     func(dir string) error
	leafController bool // v2: controllers must be handed down first
}

// realHierarchy returns the mounted hierarchies: version 1 if its memory controller is
// mounted, else version 2.
func realHierarchy() hierarchy {
	const v1 = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(v1 + "/memory.limit_in_bytes"); err == nil {
		return hierarchy{
			memory: v1, cpu: "/sys/fs/cgroup/cpu", memoryMax: "memory.limit_in_bytes",
			writeQuota: func(dir string) error {
				return errors.Join(
					os.WriteFile(dir+"/cpu.cfs_period_us", []byte("100000"), 0),
					os.WriteFile(dir+"/cpu.cfs_quota_us", []byte("2000"), 0))
			},
		}
	}
	return hierarchy{
		memory: "/sys/fs/cgroup", cpu: "/sys/fs/cgroup", memoryMax: "memory.max", leafController: true,
		writeQuota: func(dir string) error { return os.WriteFile(dir+"/cpu.max", []byte("2000 100000"), 0) },
	}
}

// makeGroup creates parent/child below top and removes both at the end.
func makeGroup(t *testing.T, top string, handDown bool) (parent, child string, err error) {
	t.Helper()
	parent = filepath.Join(top, fmt.Sprintf("resp-test-%d", os.Getpid()))
	child = filepath.Join(parent, "leaf")
	t.Cleanup(func() {
		for _, dir := range []string{child, parent} {
			remove(t, dir)
		}
	})
	if err := os.Mkdir(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", "", err
	}
	if handDown {
		if err := os.WriteFile(parent+"/cgroup.subtree_control", []byte("+memory +cpu"), 0); err != nil {
			return "", "", err
		}
	}
	if err := os.Mkdir(child, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", "", err
	}
	return parent, child, nil
}

// remove retries: a group stays busy for a moment after its last process.
func remove(t *testing.T, dir string) {
	for range 1000 {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("group %s stays behind", dir)
}

const testLimit = 64 << 20

// startLimitedChild starts a busy child process with a limit of 64 MiB and a fiftieth of
// a core, both set on the parent of its group. The share is so small that even a busy
// machine reaches it.
func startLimitedChild(t *testing.T) (pid int, err error) {
	t.Helper()
	h := realHierarchy()
	mp, mc, err := makeGroup(t, h.memory, h.leafController)
	if err != nil {
		return 0, err
	}
	cp, cc := mp, mc
	if h.cpu != h.memory {
		if cp, cc, err = makeGroup(t, h.cpu, false); err != nil {
			return 0, err
		}
	}
	if err := os.WriteFile(filepath.Join(mp, h.memoryMax), []byte(strconv.Itoa(testLimit)), 0); err != nil {
		return 0, err
	}
	if err := h.writeQuota(cp); err != nil {
		return 0, err
	}
	// It waits for a line, so that it is in its group before it works.
	cmd := exec.Command("sh", "-c", "read go; while :; do :; done")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	// Runs before the groups are removed.
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, dir := range []string{mc, cc} {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			return 0, err
		}
	}
	_, err = in.Write([]byte("go\n"))
	return cmd.Process.Pid, err
}

func TestRealGroups(t *testing.T) {
	var f cgroup.FS
	pid, err := startLimitedChild(t)
	if err != nil {
		if os.Getuid() == 0 && !errors.Is(err, fs.ErrPermission) && !strings.Contains(err.Error(), "read-only") {
			t.Fatal(err)
		}
		t.Logf("no right to make groups (%v): reading our own", err)
		checkOwnGroup(t, &f)
		return
	}
	g, err := f.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(g.Key(), fmt.Sprintf("/resp-test-%d/leaf", os.Getpid())) {
		t.Errorf("key %q", g.Key())
	}
	own, err := f.Of(os.Getpid())
	if err != nil || own.Key() == g.Key() {
		t.Errorf("our own group %q (%v) is the child's", own.Key(), err)
	}
	checkLimitedChild(t, &f, g)
}

// checkLimitedChild waits until the kernel has throttled the child and checks the rest.
func checkLimitedChild(t *testing.T, f *cgroup.FS, g cgroup.Group) {
	t.Helper()
	var s cgroup.Stats
	var err error
	for range 1500 {
		if s, err = f.Read(g); err != nil {
			t.Fatal(err)
		}
		if s.NrThrottled != nil && *s.NrThrottled > 0 && *s.ThrottledSeconds > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Log(text(s))
	if s.MemoryLimit == nil || *s.MemoryLimit != testLimit {
		t.Errorf("memory limit: %s", text(s))
	}
	if s.CPULimit == nil || *s.CPULimit != 0.02 {
		t.Errorf("cpu limit: %s", text(s))
	}
	if s.NrThrottled == nil || *s.NrThrottled == 0 || s.ThrottledSeconds == nil || *s.ThrottledSeconds > 60 {
		t.Errorf("a busy loop was not throttled: %s", text(s))
	}
	if ws, ok := s.WorkingSet(); !ok || s.MemoryCurrent == nil || *s.MemoryCurrent > testLimit || ws > *s.MemoryCurrent {
		t.Errorf("memory in use: %s", text(s))
	}
	if s.OOMKills == nil || *s.OOMKills != 0 {
		t.Errorf("kills: %s", text(s))
	}
}

// checkOwnGroup compares the group of this process with its directories.
func checkOwnGroup(t *testing.T, f *cgroup.FS) {
	t.Helper()
	g, err := f.Of(os.Getpid())
	if err != nil {
		if !errors.Is(err, cgroup.ErrOutside) {
			t.Error(err)
		}
		return
	}
	if !strings.HasPrefix(g.Path(), "/") || g.Key() == "" {
		t.Errorf("path %q key %q", g.Path(), g.Key())
	}
	for dir := range strings.SplitSeq(g.Key(), "|") {
		if _, err := os.Stat(dir + "/cgroup.procs"); dir != "" && err != nil {
			t.Error(err)
		}
	}
	if s, err := f.Read(g); err != nil {
		t.Errorf("%s: %v", text(s), err)
	}
}

func TestOwnGroup(t *testing.T) {
	var f cgroup.FS
	checkOwnGroup(t, &f)
}
