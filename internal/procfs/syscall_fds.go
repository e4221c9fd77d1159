package procfs

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// NewSyscallReader returns a SyscallReader over r. Each read of memory has a deadline.
func NewSyscallReader(r *FS) *SyscallReader {
	c := NewWatchedSyscallReader(r, new(memory.Watchdog))
	c.hands = true
	return c
}

// NewWatchedSyscallReader returns a SyscallReader over r that is used only in functions
// of [memory.Watchdog.Do]. If one of these is given up, the caller of Do calls
// [SyscallReader.Hang].
func NewWatchedSyscallReader(r *FS, w *memory.Watchdog) *SyscallReader {
	c := &SyscallReader{fs: r, watchdog: w, hung: hung{ownNS: OwnUserNS().Ino}}
	c.renew()
	c.read = func() { c.err = c.memory.Read(c.part[:]...) }
	return c
}

// SyscallReader reads which descriptors a blocked thread waits for: from the
// arguments of its system call, from /proc/PID/fdinfo and, for the sets of poll
// and select, from its memory (process_vm_readv(2)). It must not be used by two
// goroutines at once.
type SyscallReader struct {
	fs       *FS
	watchdog *memory.Watchdog
	hands    bool // reads of memory are functions of the watchdog, each one
	hung     hung
	memory   *memory.Process
	read     func() // reads part; the error is in err
	part     [1]memory.Part
	err      error
	scratch  *[8192]byte
}

// renew replaces the buffers that a read fills: a read that hangs may still write to the
// old ones.
func (c *SyscallReader) renew() {
	c.memory, c.scratch = memory.NewWatched(0, c.watchdog), new([8192]byte)
}

// Hang records that a read of a process's memory did not return in time, so that it is
// not read again for a while.
func (c *SyscallReader) Hang(pid int) {
	c.renew()
	c.hung.add(c.fs, pid)
}

// WaitsForConnection reports whether a call waits on one of the descriptors of listening
// sockets: accept(2) itself, or a poll (of its first 1,024 entries), a select to read (of
// its first 65,536) or an epoll whose set contains one. It is false if the set cannot be
// read.
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
// (process_vm_readv(2)). false: not all of it could be read, and into must not be used. A
// process whose memory does not come in time is not read again for ten minutes, nor are
// those of a user who has two.
func (c *SyscallReader) readMemory(pid int, addr uint64, into []byte) bool {
	if c.hung.has(c.fs, pid) {
		return false
	}
	c.memory.SetPID(pid)
	c.part[0] = memory.Part{Addr: addr, Into: into}
	switch {
	case !c.hands:
		c.read()
	case !c.watchdog.Do(c.read):
		c.Hang(pid)
		return false
	}
	c.part[0].Into = nil
	return c.err == nil
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

// ReadFDs returns the descriptors that a poll or select waits to read from, of the first
// 1,024, and for an epoll all in its set, whatever it waits for on them; nil for any other
// call, or where the set is empty or cannot be read.
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

// appendSelected appends the descriptors of an fd_set to fds, in ascending order, and
// returns it.
func appendSelected(b []byte, fds []int) []int {
	for at := 0; at+8 <= len(b); at += 8 {
		for word := binary.NativeEndian.Uint64(b[at:]); word != 0; word &= word - 1 {
			fds = append(fds, at*8+bits.TrailingZeros64(word))
		}
	}
	return fds
}

// EpollFDs returns the descriptors in an epoll set (/proc/PID/fdinfo/N); nil if it is
// empty or cannot be read, or the descriptor is no epoll.
func (c *SyscallReader) EpollFDs(pid int, epoll int) []int {
	b, err := c.fs.Read(pid, "fdinfo/"+strconv.Itoa(epoll))
	if err != nil {
		return nil
	}
	return ParseEpollFDs(b)
}

// WaitsForData reports whether a call waits to read from one of fds: a read, or a poll or
// select that [SyscallReader.ReadFDs] returns it for. It is false for an epoll, and for a
// set that cannot be read.
func (c *SyscallReader) WaitsForData(pid int, k Syscall, fds []int) bool {
	switch k.NR {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return slices.Contains(fds, int(int32(k.Args[0])))
	case SysPoll, unix.SYS_PPOLL, SysSelect, unix.SYS_PSELECT6:
		return slices.ContainsFunc(c.ReadFDs(pid, k), func(fd int) bool { return slices.Contains(fds, fd) })
	}
	return false
}

// FDs returns the descriptors that a call waits for. known is true if the call waits for
// descriptors only and these are all of them, but for the third set of a select; then a
// call with none sleeps. It is false for any other call, for an epoll without descriptors,
// and for a set that cannot be read or has more than 1,024 (poll) or 65,536 (select).
func (c *SyscallReader) FDs(pid int, k Syscall) (fds []int, known bool) {
	switch k.NR {
	case SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		fds = c.EpollFDs(pid, int(int32(k.Args[0])))
		return fds, len(fds) > 0 // an empty one may be one that cannot be read
	}
	return c.AppendFDs(pid, k, nil)
}

// AppendFDs appends the descriptors that a call other than an epoll waits for to into, and
// returns it; known is as that of [SyscallReader.FDs], false for an epoll.
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

// appendPollFDs appends the descriptors of an array of struct pollfd to fds and returns
// it. A negative one is left out, as poll(2) ignores it.
func appendPollFDs(b []byte, fds []int) []int {
	for ; len(b) >= 8; b = b[8:] {
		if fd := int(int32(binary.NativeEndian.Uint32(b))); fd >= 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// appendSelectFDs appends the descriptors that a select waits to read from or to write to,
// and returns it; known is false if its sets cannot be read or have more than 65,536, and
// then some may be missing.
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

// ConnectPath returns the path of the UNIX socket that a connect(2) waits for; "" for any
// other call or address, or if it cannot be read. While it waits for a place in the
// listener's queue the socket has no peer.
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

// unixPath returns the path in a struct sockaddr_un, "@name" for an abstract name, in
// which each further 0 is "@" too; "" for an address of another family.
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
