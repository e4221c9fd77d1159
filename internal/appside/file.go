package appside

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// linkText is where a link of /proc/PID/fd leads to a memory file.
	linkText = "/memfd:resp-flask (deleted)"
	// maxSearched is how many descriptors of a process are looked at, the lowest ones: the
	// file is made at its first request.
	maxSearched = 1024
	// maxFiles is how many memory files of one process are looked at: an app that consists of
	// several has one for each.
	maxFiles = 4
	// startSlack is how much before its reported start a process may have begun.
	startSlack = 20 * time.Millisecond
)

// errProof means that a file is not what its name says.
var errProof = errors.New("not a memory file of this process")

// otherVersion is the error of a file that a resp_flask.py of another version has made.
type otherVersion struct {
	pid int // of the process, as it knows itself
}

// Error implements [error].
func (otherVersion) Error() string { return "a memory file of another version of resp_flask.py" }

// File is an open memory file. Its methods must not be called by two goroutines at once.
type File struct {
	fd     int
	inode  uint64
	uid    uint32 // of its process, and of the file
	oldest uint64 // when its process began, or a little before, by CLOCK_MONOTONIC
}

// finder searches /proc/PID/fd for memory files.
type finder struct {
	root    string
	proc    *procfs.FS
	ownNS   uint64 // inode of the exporter's user namespace
	device  uint64 // of all memory files; 0: not known yet
	entries []procfs.Entry
}

// newFinder returns a finder of memory files below root, the /proc of the host.
func newFinder(root string) *finder {
	return &finder{root: root, proc: procfs.New(root), ownNS: procfs.OwnUserNS().Ino}
}

// find returns the memory files of a process that began at a time, within a second, without
// those whose inodes are known, and adds theirs to known. At most maxFiles are looked at. It
// is an error if the process has ended; one whose user changes has none. others reports
// whether it has one that a resp_flask.py of another version has made.
func (f *finder) find(pid int, began time.Time, known map[uint64]bool) (out []*File, others bool, err error) {
	dir, start, err := f.open(pid, began)
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	fds, err := f.candidates(pid)
	if err != nil || len(fds) == 0 {
		return nil, false, err
	}
	owner := f.proc.Owner(pid, ^uint32(0), f.ownNS)
	inner, err := f.proc.InnerPID(pid)
	if err != nil || owner.Changed {
		return nil, false, err
	}
	for _, fd := range fds {
		x, err := f.proveOwn(pid, inner, fd, owner.UID, known)
		v, is := errors.AsType[otherVersion](err)
		others = others || is && v.pid == inner
		if err != nil {
			continue // it was closed, or is somebody's file of that name
		}
		x.oldest = monotonicOf(start)
		known[x.inode] = true
		out = append(out, x)
	}
	// While its directory can be read, no other process had the pid.
	if _, err := dir.Read(procfs.FileName("stat"), make([]byte, 64)); err != nil {
		for _, x := range out {
			x.Close()
			delete(known, x.inode)
		}
		return nil, false, err
	}
	return out, others, nil
}

// proveOwn opens a descriptor of a process, which knows itself as inner, and proves it to
// be its memory file. A child may hold the file of the process that forked it: that one is
// an error (ESRCH).
func (f *finder) proveOwn(pid, inner, fd int, uid uint32, known map[uint64]bool) (*File, error) {
	x, err := f.prove(f.proc.Path(pid, "fd/"+strconv.Itoa(fd)), uid, known)
	if err != nil {
		return nil, err
	}
	s, err := x.Read()
	if err == nil && s.PID != inner {
		err = unix.ESRCH
	}
	if err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// open opens the directory of a process, and returns when it began, in clock ticks since
// the boot. ESRCH: it began more than a second before or after began.
func (f *finder) open(pid int, began time.Time) (*procfs.ProcessDir, uint64, error) {
	boot, err := procfs.BootTime()
	if err != nil {
		return nil, 0, err
	}
	dir, st, err := procfs.OpenRunning(f.proc, pid)
	if err != nil {
		return nil, 0, err
	}
	d := boot.Add(time.Duration(st.Start) * (time.Second / procfs.TicksPerSecond)).Sub(began)
	if d < -time.Second || d > time.Second {
		dir.Close()
		return nil, 0, unix.ESRCH
	}
	return dir, st.Start, nil
}

// candidates returns the descriptors of a process whose links have the text of a memory
// file, at most maxFiles of its maxSearched lowest ones, one for each file: Python's mmap
// has a descriptor of its own.
func (f *finder) candidates(pid int) (fds []int, err error) {
	f.entries, err = f.proc.FirstEntries(f.proc.Path(pid, "fd"), f.entries[:0], maxSearched)
	if err != nil {
		return nil, err
	}
	var seen []uint64 // inodes
	for _, e := range f.entries[:min(len(f.entries), maxSearched)] {
		if to, err := f.proc.FDLink(pid, e.N); err != nil || to != linkText {
			continue
		}
		st, err := procfs.StatLink(f.proc.Path(pid, "fd/"+strconv.Itoa(e.N)))
		if err != nil || slices.Contains(seen, st.Ino) {
			continue
		}
		seen = append(seen, st.Ino)
		if fds = append(fds, e.N); len(fds) == maxFiles {
			break
		}
	}
	return fds, nil
}

// prove opens a file at a path if it is a memory file that a user owns, with an inode that
// is not known yet; else it returns errProof, an otherVersion for a file of another size
// that begins as all of them, or the error of a call. Its text in /proc proves nothing, so
// it is first opened as a path only, which calls no driver and no file system of a user.
func (f *finder) prove(path string, uid uint32, known map[uint64]bool) (*File, error) {
	at, err := procfs.OpenRetry(path, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	if f.device == 0 {
		if f.device, err = deviceOfMemory(); err != nil {
			return nil, err
		}
	}
	st, err := procfs.StatHeld(at)
	if err != nil {
		return nil, err
	}
	if unix.Mkdev(st.Dev_major, st.Dev_minor) != f.device || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 0 || st.Uid != uid || known[st.Ino] {
		return nil, errProof
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(at, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return nil, errProof
	}
	fd, err := procfs.OpenRetry("/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	x := &File{fd: fd, inode: st.Ino, uid: uid}
	if st.Size != Size {
		defer x.Close()
		return nil, x.versionError(st.Size)
	}
	return x, nil
}

// versionError returns the error of a file that is not of the size of a memory file: an
// otherVersion if it begins as the files of all versions, and says this size; else
// errProof.
func (x *File) versionError(size uint64) error {
	var b [headAt]byte
	if x.read(b[:], 0) != nil || string(b[:len(family)]) != family || uint64(u32(b[:], 8)) != size {
		return errProof
	}
	return otherVersion{int(u32(b[:], 12) & 0x7fffffff)} //nolint:gosec // it has 31 bits
}

// deviceOfMemory returns the device of all files of memfd_create(2): that of a file of the
// exporter's own.
func deviceOfMemory() (uint64, error) {
	fd, err := unix.MemfdCreate("resp-exporter", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	return st.Dev, nil
}

// Read returns the state that is in the file now. A slot that was being written is read
// once more, then left out. [ErrShape]: it is not of this version. The file is read and
// never mapped: its owner may cut it at any time.
func (x *File) Read() (State, error) {
	var first, second, third [Size]byte
	if err := x.readTwice(first[:], second[:]); err != nil {
		return State{}, err
	}
	if confirm(first[:], second[:]) {
		if err := x.read(third[:], 0); err != nil {
			return State{}, err
		}
		confirm(second[:], third[:])
		replace(first[:], second[:])
	}
	return Parse(first[:], Clock{Now: monotonic(), Oldest: x.oldest})
}

// readTwice reads the file into both buffers, one after the other.
func (x *File) readTwice(first, second []byte) error {
	if err := x.read(first, 0); err != nil {
		return err
	}
	return x.read(second, 0)
}

// unsent returns the lines that the process has not sent, at most unsentMax bytes; nil if
// they cannot be read. They are whole only after its end.
func (x *File) unsent() []byte {
	var b [unsentSize]byte
	if x.read(b[:], unsentAt) != nil {
		return nil
	}
	return b[unsentSize-unsentMax:][:min(u32(b[:], 0), unsentMax)]
}

// read fills a buffer from an offset of the file on; one that is shorter is [ErrShape].
func (x *File) read(into []byte, from int64) error {
	for n := 0; n < len(into); {
		m, err := unix.Pread(x.fd, into[n:], from+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if m <= 0 {
			return ErrShape
		}
		n += m
	}
	return nil
}

// Close closes the file.
func (x *File) Close() { _ = unix.Close(x.fd) }

// monotonic returns CLOCK_MONOTONIC in nanoseconds, 0 if it cannot be read.
func monotonic() uint64 { return clock(unix.CLOCK_MONOTONIC) }

// clock returns the time of a clock in nanoseconds, 0 if it cannot be read or is negative.
func clock(id int32) uint64 {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return uint64(max(t.Nano(), 0)) //nolint:gosec // it is not negative
}

// monotonicOf returns the time on CLOCK_MONOTONIC, in nanoseconds, of a time since the boot
// in clock ticks, or an earlier one, at least 0: that clock stops while the host sleeps.
func monotonicOf(ticks uint64) uint64 {
	now, up := monotonic(), clock(unix.CLOCK_BOOTTIME)
	ago := up - min(ticks*uint64(time.Second/procfs.TicksPerSecond), up) + uint64(startSlack)
	return now - min(ago, now)
}
