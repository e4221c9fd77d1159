package procfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxRead bounds what is read of one file under /proc; a longer command line
// is cut.
const MaxRead = 64 << 10

// FS reads small files under /proc into one buffer that it uses again.
// It calls the kernel directly: os.File registers each file with the runtime's
// poller, which doubles the price of a read here. It is not safe for use from
// two goroutines.
type FS struct {
	Root   string
	buf    []byte
	MaxFDs int // of one process that are looked at
}

func New(root string) *FS {
	return &FS{Root: root, buf: make([]byte, 4096), MaxFDs: maxFDs}
}

// Path returns <root>/<pid>/<name>.
func (r *FS) Path(pid int, name string) string {
	return r.Root + "/" + strconv.Itoa(pid) + "/" + name
}

// Read reads /proc/PID/name. What it returns holds until the next call. A
// process that is gone gives an error for which gone is true.
func (r *FS) Read(pid int, name string) ([]byte, error) { return r.ReadFile(r.Path(pid, name)) }

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

func OpenRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// Readlink reads the symbolic link /proc/PID/name.
func (r *FS) Readlink(pid int, name string) (string, error) {
	n, err := unix.Readlink(r.Path(pid, name), r.buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: r.Path(pid, name), Err: err}
	}
	return string(r.buf[:n]), nil
}

// Entry is one numbered directory entry with its inode number.
type Entry struct {
	N     int
	Inode uint64
}

// Entries lists the numbered entries of a directory under /proc: processes,
// threads or descriptors. The inode number tells a process from another that
// took its pid, without a read: the kernel makes a new one for each process.
func (r *FS) Entries(path string, into []Entry) ([]Entry, error) {
	fd, err := OpenRetry(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return into, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if len(r.buf) < 32<<10 {
		r.buf = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return into, &fs.PathError{Op: "getdents", Path: path, Err: err}
		}
		if n <= 0 {
			return into, nil
		}
		into = parseDirents(r.buf[:n], into)
	}
}

// parseDirents reads struct linux_dirent64 (getdents64(2)): inode (8 bytes),
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

// entryNumber reads a name that is a number of at most nine digits, up to its
// closing 0.
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

// Gone reports whether err says that the process ended: no such file, no such
// process. It is the ordinary race of every reader of /proc, not a fault.
func Gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// Denied reports whether err says that the kernel refuses us this file.
func Denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// EffectiveUID returns the effective user id of a process: the owner of /proc/PID.
func (r *FS) EffectiveUID(pid int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(r.Root+"/"+strconv.Itoa(pid), &st); err != nil {
		return 0, fmt.Errorf("owner of %d: %w", pid, err)
	}
	return st.Uid, nil
}
