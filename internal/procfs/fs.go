// Package procfs reads what the kernel reports of processes under /proc: what
// identifies them, their open files, their system calls, their users and their
// namespaces. Parsers take bytes and read nothing; [FS] reads.
//
// github.com/prometheus/procfs reads the same files: docs/decisions/019-rooms.md
// has the benchmarks by which this package stays.
package procfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxRead is how many bytes are read of one file under /proc. A longer file is
// cut.
const MaxRead = 64 << 10

// FS reads small files under /proc into one buffer that it reuses. It calls the
// kernel directly: os.File registers each file with the runtime's poller, which
// doubles the cost of a read here. An FS must not be used by two goroutines at
// once.
type FS struct {
	Root   string
	buf    []byte
	MaxFDs int // of one process that are read
}

// New returns an FS over the directory where /proc is mounted.
func New(root string) *FS {
	return &FS{Root: root, buf: make([]byte, 4096), MaxFDs: maxFDs}
}

// Path returns ROOT/PID/name.
func (r *FS) Path(pid int, name string) string {
	return r.Root + "/" + strconv.Itoa(pid) + "/" + name
}

// Read returns the content of /proc/PID/name, at most [MaxRead] bytes, valid until the
// next call. [Gone] reports an error that a process which has ended causes.
func (r *FS) Read(pid int, name string) ([]byte, error) { return r.ReadFile(r.Path(pid, name)) }

// ReadFile returns the content of a file, as [FS.Read] does.
func (r *FS) ReadFile(path string) ([]byte, error) {
	fd, err := OpenRetry(path, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	n := 0
	for n < MaxRead {
		if n == len(r.buf) {
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		m, err := unix.Read(fd, r.buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if m <= 0 {
			break
		}
		n += m
	}
	return r.buf[:n], nil
}

// OpenRetry returns a descriptor from open(2), which is repeated while a signal interrupts
// it (EINTR). The caller closes it. With an error, which is as [OrEnded] returns it, it is
// −1.
func OpenRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, OrEnded(err, path)
		}
	}
}

// StatHeld returns the status of a file by a descriptor, which may be open by O_PATH
// only. The kernel returns what it has cached: no file system in user space and no other
// host is contacted.
func StatHeld(fd int) (st unix.Statx_t, err error) {
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
	return st, err
}

// StatLink returns the status of the file to which a link of /proc/PID leads, as [StatHeld]
// does.
func StatLink(path string) (unix.Statx_t, error) {
	fd, err := OpenRetry(path, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return unix.Statx_t{}, err
	}
	defer unix.Close(fd)
	return StatHeld(fd)
}

// SameFile reports whether two statuses are of one file: its device and inode.
func SameFile(a, b unix.Statx_t) bool {
	return a.Ino == b.Ino && a.Dev_major == b.Dev_major && a.Dev_minor == b.Dev_minor
}

// Readlink returns the target of the symbolic link /proc/PID/name.
func (r *FS) Readlink(pid int, name string) (string, error) {
	n, err := unix.Readlink(r.Path(pid, name), r.buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: r.Path(pid, name), Err: OrEnded(err, r.Path(pid, name))}
	}
	return string(r.buf[:n]), nil
}

// Entry is one directory entry whose name is a number: a process, a thread or a
// descriptor.
type Entry struct {
	N     int
	Inode uint64
}

// Entries appends the numbered entries of a directory under /proc (getdents64(2)) to into
// and returns it: processes, threads or descriptors. With an error it returns what it
// read so far. The inode number identifies a process without a read: the kernel makes a
// new one for each, also for one with a reused pid.
func (r *FS) Entries(path string, into []Entry) ([]Entry, error) {
	return r.FirstEntries(path, into, math.MaxInt)
}

// FirstEntries appends entries as [FS.Entries] does, but stops soon after the first n, so
// that its cost does not depend on their number; it may append some more than n. Threads
// are in the order of their start.
func (r *FS) FirstEntries(path string, into []Entry, n int) ([]Entry, error) {
	fd, err := OpenRetry(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return into, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if len(r.buf) < 32<<10 {
		r.buf = make([]byte, 32<<10)
	}
	buf := r.buf[:min(max(n, 16), len(r.buf)/direntSize)*direntSize]
	for first := len(into); ; {
		read, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return into, &fs.PathError{Op: "getdents", Path: path, Err: err}
		}
		if read <= 0 {
			return into, nil
		}
		if into = parseDirents(buf[:read], into); len(into)-first >= n {
			return into, nil
		}
	}
}

// direntSize is what an entry with a number takes at most (linux_dirent64).
const direntSize = 32

// parseDirents appends the numbered entries of an array of struct linux_dirent64
// (getdents64(2)) to into, up to a record that is cut, and returns it: inode (8 bytes),
// offset (8), record length (2), type (1), name (ends with 0).
func parseDirents(b []byte, into []Entry) []Entry {
	for len(b) >= 19 {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < 19 || size > len(b) {
			break
		}
		if n, ok := entryNumber(b[19:size]); ok {
			into = append(into, Entry{N: n, Inode: binary.NativeEndian.Uint64(b)})
		}
		b = b[size:]
	}
	return into
}

// entryNumber returns the number that a name is, of at most nine digits and up to
// its closing 0; ok is false for any other name.
func entryNumber(name []byte) (n int, ok bool) {
	for digits, c := range name {
		if c == 0 {
			return n, digits > 0
		}
		if c < '0' || c > '9' || digits == 9 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(name) > 0
}

// Gone reports whether an error is ENOENT or ESRCH, as after a process has ended, or for a
// file that the kernel does not have. Any reader of /proc may meet that between two reads;
// it is no fault.
func Gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// OrEnded returns ENOENT if err is a refusal and the directory of path is gone, and err
// otherwise. A link of /proc/PID that is followed while its process is reaped is refused (EACCES
// of proc_pid_readlink and proc_pid_get_link, fs/proc/base.c), whatever rights the reader has.
func OrEnded(err error, path string) error {
	if !Denied(err) {
		return err
	}
	var st unix.Stat_t
	if unix.Stat(path[:max(strings.LastIndexByte(path, '/'), 0)], &st) == unix.ENOENT {
		return unix.ENOENT
	}
	return err
}

// Denied reports whether an error means that the kernel refuses the access
// (EACCES, EPERM). Of a link of /proc/PID [OrEnded] has to be asked first.
func Denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// EffectiveUID returns the owner of the directory /proc/PID: the effective user id of a
// process, but 0 for one that is not dumpable.
func (r *FS) EffectiveUID(pid int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(r.Root+"/"+strconv.Itoa(pid), &st); err != nil {
		return 0, fmt.Errorf("owner of %d: %w", pid, err)
	}
	return st.Uid, nil
}
