package procfs

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process of a user.
func sleeper(t *testing.T, uid uint32) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// One process that hangs is not read again. After two of a user none of that user is,
// and those of others are.
func TestHung(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts processes of other users: run it as root")
	}
	r := New("/proc")
	h := hung{ownNS: OwnUserNS().Ino}
	one, two, three, other := sleeper(t, 65534), sleeper(t, 65534), sleeper(t, 65534), sleeper(t, 65533)
	check := func(what string, pids map[int]bool) {
		t.Helper()
		for pid, want := range pids {
			if got := h.has(r, pid); got != want {
				t.Errorf("%s: process %d hangs: %t", what, pid, got)
			}
		}
	}
	check("none", map[int]bool{one: false, other: false})
	h.add(r, one)
	check("one", map[int]bool{one: true, two: false, other: false})
	h.add(r, two)
	check("two", map[int]bool{one: true, two: true, three: true, other: false})
	h.add(r, other)
	check("another user's", map[int]bool{three: true, other: true, os.Getpid(): false})
	for pid, x := range h.processes {
		x.at = x.at.Add(-hungAgain)
		h.processes[pid] = x
	}
	check("later", map[int]bool{one: false, three: false, other: false})
	for pid := range maxHung + 2 {
		h.processes[pid] = hungProcess{at: time.Now()}
	}
	if h.add(r, one); len(h.processes) > maxHung {
		t.Errorf("%d processes are kept", len(h.processes))
	}
}
