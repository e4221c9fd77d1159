package proc

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// descriptors returns the descriptors that a call waits for. known: the call
// waits for descriptors only, and these are all of them; none is a mere sleep.
func (c *caller) descriptors(p *process, k call) (fds []int, known bool) {
	switch k.nr {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG,
		unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_SENDFILE, unix.SYS_CONNECT:
		return []int{int(int32(k.args[0]))}, true
	case sysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		fds = c.targets(p, int(int32(k.args[0])))
		return fds, len(fds) > 0 // an empty one may be one that cannot be read
	case sysPoll, unix.SYS_PPOLL:
		n := int(k.args[1])
		if n == 0 {
			return nil, true
		}
		if n < 0 || n > len(c.scratch)/8 || !c.memory(p.pid, k.args[0], c.scratch[:n*8]) {
			return nil, false
		}
		return entriesOf(c.scratch[:n*8]), true
	case sysSelect, unix.SYS_PSELECT6:
		return c.selecting(p, k)
	}
	return nil, false
}

// entriesOf returns the descriptors of an array of struct pollfd; a negative one
// is none (poll(2)).
func entriesOf(b []byte) []int {
	var fds []int
	for ; len(b) >= 8; b = b[8:] {
		if fd := int(int32(binary.NativeEndian.Uint32(b))); fd >= 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// selecting returns the descriptors that a select waits to read from or to write to.
func (c *caller) selecting(p *process, k call) (fds []int, known bool) {
	n := (int(k.args[0]) + 63) / 64 * 8
	if n < 0 || n > len(c.scratch) {
		return nil, false
	}
	for _, set := range k.args[1:3] {
		if set == 0 || n == 0 {
			continue
		}
		if !c.memory(p.pid, set, c.scratch[:n]) {
			return nil, false
		}
		fds = append(fds, selected(c.scratch[:n])...)
	}
	return fds, true
}

// connecting returns the path of the UNIX socket to which a call connects: while
// it waits for a place in the queue of the listener it has no peer.
func (c *caller) connecting(p *process, k call) string {
	if k.nr != unix.SYS_CONNECT {
		return ""
	}
	n := int(min(k.args[2], unix.SizeofSockaddrUnix))
	if n <= 2 || !c.memory(p.pid, k.args[1], c.scratch[:n]) {
		return ""
	}
	return unixPath(c.scratch[:n])
}

// unixPath reads the path of a struct sockaddr_un, "@name" for an abstract name;
// "": it is none.
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

// offset returns the position in an open file, from the line "pos:" of
// /proc/PID/fdinfo/N; 0 where it has none, or where that cannot be read.
func (c *caller) offset(p *process, fd int) uint64 {
	b, err := c.t.r.pid(p.pid, "fdinfo/"+itoa(fd))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("pos:")); ok {
			v, _ := number(bytes.TrimSpace(rest))
			return v
		}
	}
	return 0
}
