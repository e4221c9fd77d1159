package procfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxMounts is how many bytes of a mount table are read; mounts beyond them are unknown.
const maxMounts = 1 << 20

const nsGetUserNS = 0xb701 // NS_GET_USERNS of linux/nsfs.h

// ErrMount is a file whose mount is not in the table of mounts of its process, or on which
// nothing is to be read.
var ErrMount = errors.New("its file system is not read")

// Mounts is a table of mounts, /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mounts struct{ table []byte }

// MountsOf returns the mounts below the root directory of a process, of the first MiB of
// the table; the others count as not in the table. Unlike the methods of [FS] it may be
// called by several goroutines.
func MountsOf(root string, pid int) (Mounts, error) {
	f, err := os.Open(root + "/" + strconv.Itoa(pid) + "/mountinfo")
	if err != nil {
		return Mounts{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxMounts))
	return Mounts{b}, err
}

// Type returns the type of the file system that is mounted as number id; "" for a mount
// that is not in the table.
func (m Mounts) Type(id uint64) string {
	number := append(strconv.AppendUint(nil, id, 10), ' ')
	for line := range bytes.Lines(m.table) {
		if !bytes.HasPrefix(line, number) || line[len(line)-1] != '\n' {
			continue
		}
		_, source, _ := bytes.Cut(line, []byte(" - "))
		name, _, _ := bytes.Cut(source, []byte(" "))
		return string(name)
	}
	return ""
}

// Check returns [ErrMount] for a descriptor, which may be open by O_PATH only, of a file in
// user space (FUSE), whose owner decides whether it answers, on a file system that is not of
// files (isNoStore), or on a mount that is not reported or not in the table; nil for any
// other file; another error if its mount cannot be read. The file system is not asked.
func (m Mounts) Check(fd int) error {
	id, err := mountOf(fd)
	if err != nil {
		return err
	}
	switch kind := m.Type(id); {
	case kind == "", isNoStore(kind), strings.HasPrefix(kind, "fuse") && kind != "fusectl":
		return ErrMount
	}
	return nil
}

// isNoStore reports whether a type of file system is one of those, listed here, that store
// no files: a read of it asks the kernel or a device, so it may wait or have effects, as
// an automatic mount or taking a message out of /proc/kmsg, or of a pipe of traces.
func isNoStore(kind string) bool {
	switch kind {
	case "autofs", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devtmpfs", "efivarfs", "mqueue", "proc", "pstore", "securityfs", "sysfs", "tracefs":
		return true
	}
	return false
}

// mountOf returns the number of the mount of a descriptor, by /proc/self/fdinfo.
// [ErrMount]: the kernel does not report it.
func mountOf(fd int) (uint64, error) {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if id, ok := bytes.CutPrefix(line, []byte("mnt_id:")); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(id)), 10, 64)
		}
	}
	return 0, ErrMount
}

// MountedByOurs reports whether what is mounted in the mount namespace of a process was
// mounted by the administrator of the exporter's own user namespace: it is the exporter's
// mount namespace, or one that belongs to its user namespace. It is false if that cannot
// be read. In a user namespace of their own ordinary users mount what they like, such as
// an overlay of a file system in user space, which the table of mounts does not show. It
// may be called by several goroutines.
func MountedByOurs(root string, pid int) bool {
	name := root + "/" + strconv.Itoa(pid) + "/ns/mnt"
	theirs, err := os.Readlink(name)
	if err != nil {
		return false
	}
	if ours, err := os.Readlink("/proc/self/ns/mnt"); err == nil && ours == theirs {
		return true
	}
	fd, err := OpenRetry(name, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	owner, err := unix.IoctlRetInt(fd, nsGetUserNS)
	if err != nil { // EPERM: it is above ours
		return false
	}
	defer func() { _ = unix.Close(owner) }()
	var st unix.Stat_t
	return unix.Fstat(owner, &st) == nil && NamespaceFromStat(&st) == OwnUserNS()
}
