package procfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// NewSyscallReader returns a SyscallReader over r.
func NewSyscallReader(r *FS) *SyscallReader { return &SyscallReader{fs: r} }

// SyscallReader reads which descriptors a blocked thread waits for: from the
// arguments of its system call, from /proc/PID/fdinfo and, for the sets of poll
// and select, from its memory (process_vm_readv(2)). It must not be used by two
// goroutines at once.
type SyscallReader struct {
	fs      *FS
	guard   memory.Guard
	hung    map[int]time.Time // when the memory of a process did not come in time, by its id
	scratch [8192]byte
}

// The bounds of what is kept of processes whose memory does not come.
const (
	maxHung   = 256
	hungAgain = 10 * time.Minute // until such a process is read again
)

// WaitsForConnection reports whether a call waits on one of the descriptors of
// listening sockets: accept(2) itself, or a poll, select or epoll whose set
// contains one. False where the set cannot be read.
func (c *SyscallReader) WaitsForConnection(pid int, k Syscall, listening []int) bool {
	switch k.NR {
	case SysAccept, unix.SYS_ACCEPT4:
		return slices.Contains(listening, int(int32(k.Args[0])))
	case SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		b, err := c.fs.Read(pid, "fdinfo/"+strconv.Itoa(int(int32(k.Args[0]))))
		return err == nil && slices.ContainsFunc(ParseEpollFDs(b), func(fd int) bool { return slices.Contains(listening, fd) })
	case SysPoll, unix.SYS_PPOLL:
		n := min(int(k.Args[1]), len(c.scratch)/8)
		return n > 0 && c.readMemory(pid, k.Args[0], c.scratch[:n*8]) && pollContains(c.scratch[:n*8], listening)
	case SysSelect, unix.SYS_PSELECT6:
		n := min((int(k.Args[0])+63)/64*8, len(c.scratch))
		return n > 0 && c.readMemory(pid, k.Args[1], c.scratch[:n]) && selectContains(c.scratch[:n], listening)
	}
	return false
}

// readMemory fills into from the memory of another process, which is not stopped
// (process_vm_readv(2)); false: not all of it could be read. A process whose memory
// does not come in time is not read again for ten minutes.
func (c *SyscallReader) readMemory(pid int, addr uint64, into []byte) bool {
	if at, hung := c.hung[pid]; hung {
		if time.Since(at) < hungAgain {
			return false
		}
		delete(c.hung, pid)
	}
	err := c.guard.Read(pid, memory.Part{Addr: addr, Into: into})
	if errors.Is(err, memory.ErrHung) {
		if c.hung == nil || len(c.hung) >= maxHung {
			c.hung = make(map[int]time.Time)
		}
		c.hung[pid] = time.Now()
	}
	return err == nil
}

// pollContains reports whether an array of struct pollfd contains one of fds:
// descriptor (4 bytes), events (2), returned events (2).
func pollContains(b []byte, fds []int) bool {
	for ; len(b) >= 8; b = b[8:] {
		if slices.Contains(fds, int(int32(binary.NativeEndian.Uint32(b)))) {
			return true
		}
	}
	return false
}

// selectContains reports whether an fd_set contains one of fds: one bit a
// descriptor, in words of 64.
func selectContains(b []byte, fds []int) bool {
	for _, fd := range fds {
		if fd >= 0 && fd/64*8+8 <= len(b) && binary.NativeEndian.Uint64(b[fd/64*8:])>>(fd%64)&1 == 1 {
			return true
		}
	}
	return false
}

// ReadFDs returns the descriptors that a poll, select or epoll waits to read from,
// at most 1,024; nil for any other call, or where the set cannot be read.
func (c *SyscallReader) ReadFDs(pid int, k Syscall) []int {
	switch k.NR {
	case SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		return c.EpollFDs(pid, int(int32(k.Args[0])))
	case SysPoll, unix.SYS_PPOLL:
		n := min(int(k.Args[1]), len(c.scratch)/8)
		if n > 0 && c.readMemory(pid, k.Args[0], c.scratch[:n*8]) {
			return pollInFDs(c.scratch[:n*8])
		}
	case SysSelect, unix.SYS_PSELECT6:
		n := min((int(k.Args[0])+63)/64*8, len(c.scratch)/64)
		if n > 0 && c.readMemory(pid, k.Args[1], c.scratch[:n]) {
			return appendSelected(c.scratch[:n], nil)
		}
	}
	return nil
}

// pollInFDs returns the descriptors of an array of struct pollfd with POLLIN.
func pollInFDs(b []byte) []int {
	fds := make([]int, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint16(b[4:])&unix.POLLIN != 0 {
			fds = append(fds, int(int32(binary.NativeEndian.Uint32(b))))
		}
	}
	return fds
}

// appendSelected appends the descriptors of an fd_set to fds.
func appendSelected(b []byte, fds []int) []int {
	for at := 0; at+8 <= len(b); at += 8 {
		for word := binary.NativeEndian.Uint64(b[at:]); word != 0; word &= word - 1 {
			fds = append(fds, at*8+bits.TrailingZeros64(word))
		}
	}
	return fds
}

// EpollFDs returns the descriptors in an epoll set (/proc/PID/fdinfo/N); nil if
// it cannot be read.
func (c *SyscallReader) EpollFDs(pid int, epoll int) []int {
	b, err := c.fs.Read(pid, "fdinfo/"+strconv.Itoa(epoll))
	if err != nil {
		return nil
	}
	return ParseEpollFDs(b)
}

// WaitsForData reports whether a call waits to read from one of fds.
func (c *SyscallReader) WaitsForData(pid int, k Syscall, fds []int) bool {
	switch k.NR {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return slices.Contains(fds, int(int32(k.Args[0])))
	case SysPoll, unix.SYS_PPOLL, SysSelect, unix.SYS_PSELECT6:
		return slices.ContainsFunc(c.ReadFDs(pid, k), func(fd int) bool { return slices.Contains(fds, fd) })
	}
	return false
}

// FDs returns the descriptors that a call waits for. known is true if the call
// waits for descriptors only and these are all of them; with none of them it
// sleeps.
func (c *SyscallReader) FDs(pid int, k Syscall) (fds []int, known bool) {
	switch k.NR {
	case SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		fds = c.EpollFDs(pid, int(int32(k.Args[0])))
		return fds, len(fds) > 0 // an empty one may be one that cannot be read
	}
	return c.AppendFDs(pid, k, nil)
}

// AppendFDs appends the descriptors that a call other than an epoll waits for to
// into, and returns it; known is as that of FDs.
func (c *SyscallReader) AppendFDs(pid int, k Syscall, into []int) (fds []int, known bool) {
	switch k.NR {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG,
		unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_SENDFILE, unix.SYS_CONNECT:
		return append(into, int(int32(k.Args[0]))), true
	case SysPoll, unix.SYS_PPOLL:
		n := int(k.Args[1])
		if n == 0 {
			return into, true
		}
		if n < 0 || n > len(c.scratch)/8 || !c.readMemory(pid, k.Args[0], c.scratch[:n*8]) {
			return into, false
		}
		return appendPollFDs(c.scratch[:n*8], into), true
	case SysSelect, unix.SYS_PSELECT6:
		return c.appendSelectFDs(pid, k, into)
	}
	return into, false
}

// appendPollFDs appends the descriptors of an array of struct pollfd to fds; a
// negative one is none (poll(2)).
func appendPollFDs(b []byte, fds []int) []int {
	for ; len(b) >= 8; b = b[8:] {
		if fd := int(int32(binary.NativeEndian.Uint32(b))); fd >= 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// appendSelectFDs appends the descriptors that a select waits to read from or to
// write to; known is false where its sets cannot be read.
func (c *SyscallReader) appendSelectFDs(pid int, k Syscall, into []int) (fds []int, known bool) {
	n := (int(k.Args[0]) + 63) / 64 * 8
	if n < 0 || n > len(c.scratch) {
		return into, false
	}
	for _, set := range k.Args[1:3] {
		if set == 0 || n == 0 {
			continue
		}
		if !c.readMemory(pid, set, c.scratch[:n]) {
			return into, false
		}
		into = appendSelected(c.scratch[:n], into)
	}
	return into, true
}

// ConnectPath returns the path of the UNIX socket that a connect(2) waits for; ""
// for any other call. While it waits for a place in the listener's queue the
// socket has no peer.
func (c *SyscallReader) ConnectPath(pid int, k Syscall) string {
	if k.NR != unix.SYS_CONNECT {
		return ""
	}
	n := int(min(k.Args[2], unix.SizeofSockaddrUnix))
	if n <= 2 || !c.readMemory(pid, k.Args[1], c.scratch[:n]) {
		return ""
	}
	return unixPath(c.scratch[:n])
}

// unixPath returns the path in a struct sockaddr_un, "@name" for an abstract name,
// "" for an address of another family.
func unixPath(b []byte) string {
	if len(b) <= 2 || binary.NativeEndian.Uint16(b) != unix.AF_UNIX {
		return ""
	}
	b = b[2:]
	if b[0] == 0 {
		return string(bytes.ReplaceAll(b, []byte{0}, []byte("@")))
	}
	path, _, _ := bytes.Cut(b, []byte{0})
	return string(path)
}

// FileOffset returns the position in an open file in bytes, from the line "pos:"
// of /proc/PID/fdinfo/N; 0 where there is none or it cannot be read.
func (c *SyscallReader) FileOffset(pid int, fd int) uint64 {
	b, err := c.fs.Read(pid, "fdinfo/"+strconv.Itoa(fd))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("pos:")); ok {
			v, _ := parseDecimal(bytes.TrimSpace(rest))
			return v
		}
	}
	return 0
}
