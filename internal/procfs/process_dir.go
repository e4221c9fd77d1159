package procfs

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ProcessDir is the directory /proc/PID of one process: what is read through it is of that
// process, whoever gets its pid later. It is held open until Close, and its methods allocate
// nothing then. Afterwards each read opens it, and checks the start of the process.
type ProcessDir struct {
	fd    int // -1: not held open
	path  string
	start uint64 // clock ticks since the boot
}

// OpenProcess returns the directory of a process that started at that time (clock ticks
// since the boot); the caller closes it. [Gone] reports whether the error means that the
// process has ended, or that its pid is another process's.
func OpenProcess(r *FS, pid int, start uint64) (*ProcessDir, error) {
	d, err := openStarted(r.Root+"/"+strconv.Itoa(pid), start)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return d, nil
}

// OpenRunning returns the directory of the process that has a pid now, and its stat; the
// caller closes it. [Gone] reports whether the error means that there is none.
func OpenRunning(r *FS, pid int) (*ProcessDir, Stat, error) {
	d, st, err := openDir(r.Root + "/" + strconv.Itoa(pid))
	if err != nil {
		return nil, Stat{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return d, st, nil
}

// openStarted returns the directory of a process that started at that time. ESRCH: it is
// another process's.
func openStarted(path string, start uint64) (*ProcessDir, error) {
	d, st, err := openDir(path)
	if err == nil && st.Start != start {
		d.Close()
		return nil, unix.ESRCH
	}
	return d, err
}

// openDir returns the directory of a process, and its stat.
func openDir(path string) (*ProcessDir, Stat, error) {
	fd, err := OpenRetry(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, Stat{}, err
	}
	d := &ProcessDir{fd: fd, path: path}
	var buf [1024]byte
	n, err := d.Read(FileName("stat"), buf[:])
	var st Stat
	if err == nil {
		st, err = ParseStat(buf[:n])
	}
	if err != nil {
		d.Close()
		return nil, Stat{}, err
	}
	d.start = st.Start
	return d, st, nil
}

// Held reports whether the directory is held open.
func (d *ProcessDir) Held() bool { return d.fd >= 0 }

// Close closes the directory.
func (d *ProcessDir) Close() {
	if d.fd >= 0 {
		_ = unix.Close(d.fd)
		d.fd = -1
	}
}

// FileName returns a name below a process's directory as [ProcessDir] takes it:
// with a closing 0.
func FileName(name string) []byte { return append([]byte(name), 0) }

// Open returns a descriptor of a file of the process, whose name [FileName] has made. The
// caller closes the descriptor.
func (d *ProcessDir) Open(name []byte) (int, error) {
	if !d.Held() {
		held, err := openStarted(d.path, d.start)
		if err != nil {
			return -1, err
		}
		defer held.Close()
		return held.Open(name)
	}
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
	if !d.Held() {
		held, err := openStarted(d.path, d.start)
		if err != nil {
			return 0, err
		}
		defer held.Close()
		return held.Readlink(name, into)
	}
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

// KeptFiles counts the files, or directories, that are held open.
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

// KeepDir holds the directory of a process open, or closes it if too many are held open.
func (k *KeptFiles) KeepDir(d *ProcessDir) {
	if k.open >= k.Max {
		d.Close()
		return
	}
	k.open++
}

// CloseDir closes the directory of a process.
func (k *KeptFiles) CloseDir(d *ProcessDir) {
	if d.Held() {
		d.Close()
		k.open--
	}
}

// Open returns how many files are held open now.
func (k *KeptFiles) Open() int { return k.open }
