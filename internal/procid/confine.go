package procid

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// ErrConfined means that a process is confined in a way in which the exporter is
// not: a command that the exporter ran for it would have rights that it does not
// have.
var ErrConfined = errors.New("it has other namespaces, another root directory or other security restrictions than the exporter")

// Unconfined returns nil if a process has the exporter's namespaces (but for cgroup and
// time), root directory and security label (or neither label can be read), no more system
// call filters than process 1 and, for root's, no fewer capabilities in the bounding set.
// ErrConfined: it is not so, or the exporter's own or one of the labels cannot be read.
// ErrGone: it has ended. Any other error: it is not known.
func Unconfined(root string, pid int) error {
	for _, ns := range []string{"ns/mnt", "ns/net", "ns/pid", "ns/ipc", "ns/uts", "ns/user"} {
		theirs, err := os.Readlink(path(root, pid, ns))
		if err != nil {
			return ended(procfs.OrEnded(err, path(root, pid, ns)))
		}
		if ours, err := os.Readlink("/proc/self/" + ns); err != nil || theirs != ours {
			return fmt.Errorf("process %d, %s: %w", pid, ns, ErrConfined)
		}
	}
	at, err := procfs.StatLink(path(root, pid, "root"))
	if err != nil {
		return ended(err)
	}
	if top, err := procfs.StatLink("/"); err != nil || !procfs.SameFile(at, top) {
		return fmt.Errorf("process %d, its root directory: %w", pid, ErrConfined)
	}
	theirs, err := os.ReadFile(path(root, pid, "attr/current"))
	ours, oursErr := os.ReadFile("/proc/self/attr/current")
	if (err == nil) != (oursErr == nil) || !bytes.Equal(theirs, ours) {
		return fmt.Errorf("process %d, its security label: %w", pid, ErrConfined)
	}
	return unfiltered(root, pid)
}

// unfiltered returns nil if a process has no more system call filters than process 1,
// from which all inherit them, and if one of root's has no fewer capabilities than the
// exporter. ErrConfined: it has.
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
