package procfs

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxFDs is how many descriptors of one process are read: a server with more has
// them for its clients.
const maxFDs = 65536

// ErrTooManyFDs means that a process has more descriptors than are read.
var ErrTooManyFDs = fmt.Errorf("a process has more than %d file descriptors; the rest is not read", maxFDs)

// BoundFDs returns the descriptors of a listing that are read, at most MaxFDs, and
// how many are left out. The lowest come first: what a server opened early.
func (r *FS) BoundFDs(list []Entry) (some []Entry, left int) {
	n := min(len(list), r.MaxFDs)
	return list[:n], len(list) - n
}

// SocketInodes returns the inodes of the sockets that a process has open (/proc/PID/fd),
// all of them or an error: [ErrTooManyFDs] if it has more descriptors than are read. One
// whose link cannot be read is left out, as it was closed meanwhile, unless it is refused.
func (r *FS) SocketInodes(pid int) (map[uint64]bool, error) {
	list, err := r.Entries(r.Path(pid, "fd"), nil)
	if err != nil {
		return nil, err
	}
	list, left := r.BoundFDs(list)
	if left > 0 {
		return nil, ErrTooManyFDs // one that is not read may be the one in question
	}
	held := make(map[uint64]bool)
	for _, e := range list {
		link, err := r.FDLink(pid, e.N)
		if Denied(err) { // CAP_DAC_READ_SEARCH alone lists the directory, but reads no link in it
			return nil, err
		}
		if err != nil {
			continue // it was closed
		}
		if ino, ok := ParseSocketLink(link); ok {
			held[ino] = true
		}
	}
	return held, nil
}

// CountFDs returns how many descriptors a process has open. Since Linux 6.2 the size of
// /proc/PID/fd is the count; on older kernels the directory is listed, into scratch. With
// an error the count must not be used; EACCES means that the exporter may not list it.
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

// CheckReadable returns EACCES if the exporter may not list a directory; nil otherwise,
// also if there is none. The size of /proc/PID/fd is public on new kernels, but a count
// that only some kernels report of processes of others would mislead.
func CheckReadable(path string) error {
	// Not access(2), which checks the real user without capabilities.
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EACCES) {
		return unix.EACCES
	}
	return nil
}

// FDLink returns the target of the symbolic link /proc/PID/fd/N.
func (r *FS) FDLink(pid, fd int) (string, error) { return r.Readlink(pid, "fd/"+strconv.Itoa(fd)) }
