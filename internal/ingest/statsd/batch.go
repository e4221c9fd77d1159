package statsd

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The size of one batch. Most of the memory is never touched, and so never resident: a
// StatsD packet rarely fills a page.
const (
	batchPackets = 32
	packetBytes  = 64 << 10 // the maximum length of a UDP datagram
	nameBytes    = unix.SizeofSockaddrInet6
	controlBytes = 64 // one SCM_CREDENTIALS takes 32
)

// batch is the buffers of one recvmmsg(2) call.
type batch struct {
	headers [batchPackets]unix.Mmsghdr
	vectors [batchPackets]unix.Iovec
	names   [batchPackets][nameBytes]byte
	control [batchPackets][controlBytes]byte
	buffers []byte
	unix    bool
}

// newBatch returns the buffers for a UNIX or a UDP socket.
func newBatch(unixgram bool) *batch {
	b := &batch{buffers: make([]byte, batchPackets*packetBytes), unix: unixgram}
	for i := range b.headers {
		b.vectors[i].Base = &b.buffers[i*packetBytes]
		b.vectors[i].SetLen(packetBytes)
		h := &b.headers[i].Hdr
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if unixgram {
			h.Control = &b.control[i][0]
		} else {
			h.Name = &b.names[i][0]
		}
	}
	b.reset(batchPackets)
	return b
}

// reset prepares the first n headers for another call, because the kernel has changed the
// lengths in them.
func (b *batch) reset(n int) {
	for i := range n {
		h := &b.headers[i].Hdr
		h.Flags = 0
		if b.unix {
			h.SetControllen(controlBytes)
		} else {
			h.Namelen = nameBytes
		}
	}
}

// receive receives queued datagrams and returns their number, at most batchPackets; 0 if
// there are none. It never blocks, so it uses RawSyscall6, which does not notify the
// scheduler.
func (b *batch) receive(fd int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])),
			batchPackets, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// packet returns the i-th datagram, which is valid until the next receive, and false if it
// was longer than the buffer.
func (b *batch) packet(i int) ([]byte, bool) {
	h := &b.headers[i]
	n := int(h.Len)
	at := i * packetBytes
	return b.buffers[at : at+n : at+n], h.Hdr.Flags&unix.MSG_TRUNC == 0
}

// source returns the sender of the i-th datagram. It is proven for a UNIX datagram, by the
// kernel's credentials, and zero without these; not for UDP, where it is the address.
func (b *batch) source(i int) ingest.Source {
	if b.unix {
		return credentials(b.control[i][:min(int(b.headers[i].Hdr.Controllen), controlBytes)])
	}
	return ingest.Source{Addr: peerAddr(b.names[i][:min(b.headers[i].Hdr.Namelen, nameBytes)])}
}

// credentials returns the source by an SCM_CREDENTIALS message, which the kernel attaches
// to each datagram, and checks if the sender wrote one; the zero source if the first
// message is no such one.
func credentials(control []byte) ingest.Source {
	h, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_CREDENTIALS || len(data) < unix.SizeofUcred {
		return ingest.Source{}
	}
	return ingest.Source{ // struct ucred: pid, uid, gid
		PID: int32(binary.NativeEndian.Uint32(data)), UID: binary.NativeEndian.Uint32(data[4:]), Proven: true,
	}
}

// peerAddr returns the address in a sockaddr_in or sockaddr_in6; the zero value for another
// family, and for one that is too short.
func peerAddr(name []byte) netip.AddrPort {
	if len(name) < 8 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(name[2:])
	switch family := binary.NativeEndian.Uint16(name); {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	case family == unix.AF_INET6 && len(name) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(name[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}
