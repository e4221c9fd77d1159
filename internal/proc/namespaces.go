package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// nsID is the identity of a namespace, as stat reports it.
type nsID struct{ dev, ino uint64 }

func namespaceOf(st *unix.Stat_t) nsID { return nsID{st.Dev, st.Ino} }

// ownUserNS returns the identity of the exporter's user namespace; zero: not known.
func ownUserNS() nsID {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) != nil {
		return nsID{}
	}
	return namespaceOf(&st)
}

// sameFiles compares mount namespace and root with our own.
func (r *reader) sameFiles(pid int) (bool, error) {
	theirs, err := r.link(pid, "ns/mnt")
	if err != nil {
		return false, err
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, err
	}
	at, err := os.Stat(r.path(pid, "root"))
	if err != nil {
		return false, err
	}
	top, err := os.Stat("/")
	if err != nil {
		return false, err
	}
	return theirs == ours && os.SameFile(at, top), nil
}
