package procfs

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxFDs bounds one reading: a server with more has them for clients.
const maxFDs = 65536

// ErrTooManyFDs says that a process has more descriptors than are looked at.
var ErrTooManyFDs = fmt.Errorf("a process has more than %d descriptors, and only that many are looked at", maxFDs)

// BoundFDs returns those descriptors that are looked at, and how many are left
// out. The lowest come first: what a server opened early.
func (r *FS) BoundFDs(list []Entry) (some []Entry, left int) {
	n := min(len(list), r.MaxFDs)
	return list[:n], len(list) - n
}

// SocketInodes reads the inodes of the sockets that a process holds, all of them or
// an error.
func (r *FS) SocketInodes(pid int) (map[uint64]bool, error) {
	list, err := r.Entries(r.Path(pid, "fd"), nil)
	if err != nil {
		return nil, err
	}
	list, left := r.BoundFDs(list)
	if left > 0 {
		return nil, ErrTooManyFDs // what is not looked at may be the one
	}
	held := make(map[uint64]bool)
	for _, e := range list {
		link, err := r.FDLink(pid, e.N)
		if err != nil {
			continue // it was closed
		}
		if ino, ok := ParseSocketLink(link); ok {
			held[ino] = true
		}
	}
	return held, nil
}

// CountFDs returns how many descriptors a process has open. Since Linux 6.2 the
// size of the directory is the count; before, it is listed into scratch.
func (r *FS) CountFDs(pid int, scratch []Entry) (int, error) {
	path := r.Path(pid, "fd")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	if st.Size > 0 {
		return int(st.Size), CheckReadable(path)
	}
	list, err := r.Entries(path, scratch[:0])
	return len(list), err
}

// CheckReadable reports whether we may look into a directory: its size is public,
// but a count that only some kernels and users give would mislead.
func CheckReadable(path string) error {
	// Not access(2), which asks for the real user and without capabilities.
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EACCES) {
		return unix.EACCES
	}
	return nil
}

// FDLink reads the symbolic link /proc/PID/fd/N.
func (r *FS) FDLink(pid, fd int) (string, error) { return r.Readlink(pid, "fd/"+strconv.Itoa(fd)) }
