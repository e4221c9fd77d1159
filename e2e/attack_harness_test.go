package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// Tests of attacks are named TestAttack…, after the kind of attack. Each one passes on
// this version and fails on a build that has the fault (see regress.sh).

// attacker is the user id and group id of an ordinary user without any right:
// nobody and nogroup on Debian.
const attacker = 65534

// attackAs returns the command line that runs argv as an attacker: without
// groups and capabilities, and without a way to get new ones.
func attackAs(uid int, argv ...string) []string {
	id := strconv.Itoa(uid)
	return append([]string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--inh-caps=-all", "--no-new-privs"}, argv...)
}

// attack starts a program as the attacker.
func attack(t *testing.T, name string, argv ...string) *run.Proc {
	t.Helper()
	needRoot(t)
	argv = attackAs(attacker, argv...)
	return start(t, run.Spec{Name: name, Path: argv[0], Args: argv[1:], Dir: "/"})
}

// attackerDir is a directory of the attacker's own, in which others may look.
func attackerDir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	if err := os.Chown(dir, attacker, attacker); err != nil {
		t.Fatal(err)
	}
	return dir
}

// alive returns an error unless the process still runs with the same pid and start time
// (/proc/PID/stat, field 22).
func alive(pid int, start string) error {
	now, err := startOf(pid)
	if err != nil {
		return fmt.Errorf("process %d has ended: %w", pid, err)
	}
	return wants(fmt.Sprintf("start of process %d", pid), now, start)
}

// startOf reads the start time of a process, in clock ticks after boot.
func startOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The command's name, in parentheses, may hold anything; field 3 comes after it.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", fmt.Errorf("it has ended, or its stat has %d fields", len(fields))
	}
	return fields[22-3], nil
}
