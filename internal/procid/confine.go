package procid

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrConfined means that a process is confined in a way in which the exporter is
// not: a command that the exporter ran for it would have rights that it does not
// have.
var ErrConfined = errors.New("it has other namespaces, another root directory or other security restrictions than the exporter")

// Unconfined returns nil if a process sees the same system as the exporter and no
// sandbox holds it: the same namespaces and root directory, the same label of a
// security module, no more system call filters than process 1 and, for root's
// processes, no fewer capabilities in the bounding set. Otherwise it is
// ErrConfined.
func Unconfined(root string, pid int) error {
	for _, ns := range []string{"ns/mnt", "ns/net", "ns/pid", "ns/ipc", "ns/uts", "ns/user"} {
		theirs, err := os.Readlink(path(root, pid, ns))
		if err != nil {
			return ended(err)
		}
		if ours, err := os.Readlink("/proc/self/" + ns); err != nil || theirs != ours {
			return fmt.Errorf("process %d, %s: %w", pid, ns, ErrConfined)
		}
	}
	var at, top unix.Stat_t
	if err := unix.Stat(path(root, pid, "root"), &at); err != nil {
		return ended(err)
	}
	if err := unix.Stat("/", &top); err != nil || at.Dev != top.Dev || at.Ino != top.Ino {
		return fmt.Errorf("process %d, its root directory: %w", pid, ErrConfined)
	}
	theirs, err := os.ReadFile(path(root, pid, "attr/current"))
	ours, oursErr := os.ReadFile("/proc/self/attr/current")
	if (err == nil) != (oursErr == nil) || !bytes.Equal(theirs, ours) {
		return fmt.Errorf("process %d, its security label: %w", pid, ErrConfined)
	}
	return unfiltered(root, pid)
}

// unfiltered compares the system call filters with those of process 1, which all
// processes inherit, and the capabilities of root's processes with the
// exporter's.
func unfiltered(root string, pid int) error {
	c, err := readCredentials(root, pid)
	if err != nil {
		return err
	}
	first, err := readCredentials(root, 1)
	if err != nil {
		return err
	}
	if c.Seccomp > 0 && (first.Seccomp == 0 || c.Filters > first.Filters) {
		return fmt.Errorf("process %d, its system call filters: %w", pid, ErrConfined)
	}
	own, err := readCredentials(root, os.Getpid())
	if err != nil {
		return err
	}
	if c.UID() == 0 && own.Bounding&^c.Bounding != 0 {
		return fmt.Errorf("process %d, its capabilities: %w", pid, ErrConfined)
	}
	return nil
}
