package procfs

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ProcessDir is the directory /proc/PID of one process, held open: what is read
// through it is of that process, whoever gets its pid later. Its methods allocate
// nothing, and must not be called after Close.
type ProcessDir struct {
	fd int
}

// OpenProcess returns the directory of a process that started at that time (clock ticks
// since the boot); the caller closes it. [Gone] reports whether the error means that the
// process has ended, or that its pid is another process's.
func OpenProcess(r *FS, pid int, start uint64) (*ProcessDir, error) {
	fd, err := OpenRetry(r.Root+"/"+strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	d := &ProcessDir{fd: fd}
	var buf [1024]byte
	n, err := d.Read(FileName("stat"), buf[:])
	var st Stat
	if err == nil {
		st, err = ParseStat(buf[:n])
	}
	if err == nil && st.Start != start {
		err = unix.ESRCH
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return d, nil
}

// Close closes the directory.
func (d *ProcessDir) Close() { _ = unix.Close(d.fd) }

// FileName returns a name below a process's directory as [ProcessDir] takes it:
// with a closing 0.
func FileName(name string) []byte { return append([]byte(name), 0) }

// Open returns a descriptor of a file of the process, whose name [FileName] has made. The
// caller closes the descriptor.
func (d *ProcessDir) Open(name []byte) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(d.fd), uintptr(unsafe.Pointer(&name[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0) //nolint:gosec // unix.Openat allocates
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// Read reads a file of the process into into and returns how many bytes it has read. What
// into has no room for is left out.
func (d *ProcessDir) Read(name, into []byte) (int, error) {
	fd, err := d.Open(name)
	if err != nil {
		return 0, err
	}
	n, err := readAt0(fd, into)
	_ = unix.Close(fd)
	return n, err
}

// Readlink reads the target of a symbolic link of the process into into and returns how
// many bytes it has read. What into has no room for is left out.
func (d *ProcessDir) Readlink(name, into []byte) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(d.fd), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)), 0, 0) //nolint:gosec // unix.Readlinkat allocates
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// readAt0 reads an open file of procfs from its beginning, which makes the kernel write
// the content anew, and returns how many bytes it has read: at most those that into has
// room for.
func readAt0(fd int, into []byte) (int, error) {
	for {
		n, err := unix.Pread(fd, into, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// KeptFile is a small file of a process that is read again and again. It is held
// open where the [KeptFiles] has room, which makes a read five times cheaper.
type KeptFile struct {
	name []byte // with a closing 0
	fd   int    // -1: not held open
}

// NewKeptFile returns the file of that name below a process's directory. Nothing is
// opened before its first read.
func NewKeptFile(name string) KeptFile { return KeptFile{name: FileName(name), fd: -1} }

// OpenFiles returns how many files may be held open for one purpose: the part 1/share of
// all that the exporter may open (RLIMIT_NOFILE), at most most; 0 if the limit is not known.
func OpenFiles(share, most uint64) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur/share, most)) //nolint:gosec // a number of files
}

// KeptFiles counts the files that are held open.
type KeptFiles struct {
	Max  int
	open int
}

// Read reads a file of the process as [ProcessDir.Read] does, and keeps it open for the
// next read unless too many are open.
func (k *KeptFiles) Read(d *ProcessDir, f *KeptFile, into []byte) (int, error) {
	if f.fd < 0 {
		if k.open >= k.Max {
			return d.Read(f.name, into)
		}
		fd, err := d.Open(f.name)
		if err != nil {
			return 0, err
		}
		f.fd = fd
		k.open++
	}
	return readAt0(f.fd, into)
}

// Close closes a file that is held open.
func (k *KeptFiles) Close(f *KeptFile) {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
		k.open--
	}
}

// Open returns how many files are held open now.
func (k *KeptFiles) Open() int { return k.open }
