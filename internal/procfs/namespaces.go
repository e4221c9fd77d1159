package procfs

import (
	"bytes"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// NamespaceID identifies a namespace: device and inode of /proc/PID/ns/NAME.
type NamespaceID struct{ Dev, Ino uint64 }

// NamespaceFromStat returns the identity of a namespace by the status of its file.
func NamespaceFromStat(st *unix.Stat_t) NamespaceID { return NamespaceID{st.Dev, st.Ino} }

// OwnUserNS returns the identity of the exporter's user namespace; the zero value
// if it cannot be read.
func OwnUserNS() NamespaceID {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) != nil {
		return NamespaceID{}
	}
	return NamespaceFromStat(&st)
}

// SameFiles reports whether a process sees the same files as the exporter: same mount
// namespace (/proc/PID/ns/mnt) and same root directory (/proc/PID/root). The error means
// that it is not known.
func (r *FS) SameFiles(pid int) (bool, error) {
	theirs, err := r.Readlink(pid, "ns/mnt")
	if err != nil {
		return false, err
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, err
	}
	at, err := StatLink(r.Path(pid, "root"))
	if err != nil {
		return false, err
	}
	top, err := StatLink("/")
	if err != nil {
		return false, err
	}
	return theirs == ours && SameFile(at, top), nil
}

// InnerPID returns the pid of a process in its own PID namespace, by which it knows
// itself (/proc/PID/status). [Gone] reports whether the error means that it has ended.
func (r *FS) InnerPID(pid int) (int, error) {
	b, err := r.Read(pid, "status")
	if err != nil {
		return 0, err
	}
	return parseInnerPID(b)
}

// parseInnerPID returns the last pid in NSpid, that of the innermost namespace.
// [fs.ErrNotExist]: there is no such line.
func parseInnerPID(status []byte) (int, error) {
	for line := range bytes.Lines(status) {
		if list, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			if pids := bytes.Fields(list); len(pids) > 0 {
				return strconv.Atoi(string(pids[len(pids)-1]))
			}
		}
	}
	return 0, fs.ErrNotExist
}
