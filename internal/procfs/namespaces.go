package procfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// NamespaceID is the identity of a namespace, as stat reports it.
type NamespaceID struct{ Dev, Ino uint64 }

func NamespaceFromStat(st *unix.Stat_t) NamespaceID { return NamespaceID{st.Dev, st.Ino} }

// OwnUserNS returns the identity of the exporter's user namespace; zero: not known.
func OwnUserNS() NamespaceID {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) != nil {
		return NamespaceID{}
	}
	return NamespaceFromStat(&st)
}

// SameFiles compares mount namespace and root with our own.
func (r *FS) SameFiles(pid int) (bool, error) {
	theirs, err := r.Readlink(pid, "ns/mnt")
	if err != nil {
		return false, err
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, err
	}
	at, err := os.Stat(r.Path(pid, "root"))
	if err != nil {
		return false, err
	}
	top, err := os.Stat("/")
	if err != nil {
		return false, err
	}
	return theirs == ours && os.SameFile(at, top), nil
}
