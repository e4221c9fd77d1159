package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Numbers of linux/sock_diag.h, linux/inet_diag.h and linux/unix_diag.h that
// golang.org/x/sys does not have.
const (
	sockDiagByFamily = 20
	stateListen      = 10
	allStates        = ^uint32(0)

	udiagShowName  = 0x01
	udiagShowRQLen = 0x10
	udiagShowUID   = 0x40

	unixDiagName  = 0
	unixDiagRQLen = 4
	unixDiagUID   = 7

	headerLen   = 16 // struct nlmsghdr
	inetReqLen  = 56 // struct inet_diag_req_v2
	unixReqLen  = 24 // struct unix_diag_req
	inetMsgLen  = 72 // struct inet_diag_msg
	unixMsgLen  = 16 // struct unix_diag_msg
	attrLen     = 4  // struct nlattr
	attrTypeMax = 0x3fff
)

// errMalformed is wrapped by every parser of the kernel's answers.
var errMalformed = errors.New("malformed sock_diag response")

// inetRequest returns a whole dump request for the TCP or UDP sockets of one
// family in the given states; a port that is not 0 must be the local one.
func inetRequest(family, protocol uint8, states uint32, port uint16) []byte {
	p := inetPayload(family, protocol, states, port)
	return newRequest(p[:])
}

// inetPayload returns a struct inet_diag_req_v2 with these values; a port of 0 is any.
func inetPayload(family, protocol uint8, states uint32, port uint16) (p [inetReqLen]byte) {
	p[0], p[1] = family, protocol
	binary.NativeEndian.PutUint32(p[4:], states)
	binary.BigEndian.PutUint16(p[8:], port)
	return p
}

// unixRequest returns a whole dump request for the UNIX sockets in the given
// states; show has the attributes that an answer is to have, UDIAG_SHOW_*.
func unixRequest(states, show uint32) []byte {
	var p [unixReqLen]byte // struct unix_diag_req
	p[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(p[4:], states)
	binary.NativeEndian.PutUint32(p[12:], show)
	return newRequest(p[:])
}

// newRequest returns a whole dump request with a payload, whose length is a
// multiple of four.
func newRequest(payload []byte) []byte {
	m := netlink.Message{Header: netlink.Header{
		Length: uint32(headerLen + len(payload)), Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump,
	}, Data: payload}
	b, _ := m.MarshalBinary() // it fails for other lengths only
	return b
}

// setSequence sets in a request the sequence number by which its answers are known.
func setSequence(message []byte, seq uint32) { binary.NativeEndian.PutUint32(message[8:], seq) }

// eachAnswer calls fn with the payload of each answer in one datagram of a dump whose
// sequence number is seq; it skips others. done reports whether the dump ended; with an
// error (fn's, errMalformed, or in its tree a syscall.Errno: the kernel refused) it is
// true.
func eachAnswer(b []byte, seq uint32, fn func(payload []byte) error) (done bool, err error) {
	for len(b) >= headerLen {
		n := int(binary.NativeEndian.Uint32(b))
		if n < headerLen || n > len(b) {
			return true, fmt.Errorf("%w: message of %d bytes in %d", errMalformed, n, len(b))
		}
		kind, stale := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]) != seq
		payload := b[headerLen:n]
		b = b[min((n+3)&^3, len(b)):]
		if stale {
			continue
		}
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			return true, answerError(payload)
		case sockDiagByFamily:
			if err := fn(payload); err != nil {
				return true, err
			}
		}
	}
	return false, nil
}

// answerError returns the negative errno at the start of NLMSG_ERROR and NLMSG_DONE as
// an error; nil without one.
func answerError(payload []byte) error {
	if len(payload) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(payload)); code < 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// inetSocket is the part of struct inet_diag_msg that is used.
type inetSocket struct {
	family, state           uint8
	local, remote           netip.AddrPort
	receiveQueue, sendQueue uint32
	uid, inode              uint32
}

// parseInet returns the socket in a struct inet_diag_msg. errMalformed: it is too short,
// or of another family.
func parseInet(p []byte) (inetSocket, error) {
	if len(p) < inetMsgLen {
		return inetSocket{}, fmt.Errorf("%w: %d bytes of inet_diag_msg", errMalformed, len(p))
	}
	s := inetSocket{
		family:       p[0],
		state:        p[1],
		receiveQueue: binary.NativeEndian.Uint32(p[56:]),
		sendQueue:    binary.NativeEndian.Uint32(p[60:]),
		uid:          binary.NativeEndian.Uint32(p[64:]),
		inode:        binary.NativeEndian.Uint32(p[68:]),
	}
	var a, b netip.Addr
	switch s.family {
	case unix.AF_INET:
		a, b = netip.AddrFrom4([4]byte(p[8:12])), netip.AddrFrom4([4]byte(p[24:28]))
	case unix.AF_INET6:
		a, b = netip.AddrFrom16([16]byte(p[8:24])).Unmap(), netip.AddrFrom16([16]byte(p[24:40])).Unmap()
	default:
		return inetSocket{}, fmt.Errorf("%w: family %d in inet_diag_msg", errMalformed, s.family)
	}
	s.local = netip.AddrPortFrom(a, binary.BigEndian.Uint16(p[4:]))
	s.remote = netip.AddrPortFrom(b, binary.BigEndian.Uint16(p[6:]))
	return s, nil
}

// parseTCPListener returns the listener in one answer of a TCP dump; ok is false for a
// socket that does not listen, and with an error for an answer that is no socket. In a
// listening socket the receive queue is the number of connections that wait, and the send
// queue is the backlog.
func parseTCPListener(p []byte) (l Listener, ok bool, err error) {
	s, err := parseInet(p)
	if err != nil || s.state != stateListen {
		return Listener{}, false, err
	}
	network := TCP
	if s.family == unix.AF_INET6 {
		network = TCP6
	}
	return Listener{
		Network: network, Addr: s.local, Inode: uint64(s.inode), UID: s.uid,
		Queue: s.receiveQueue, Limit: s.sendQueue, HasQueue: true, HasLimit: true,
	}, true, nil
}

// parseUnixListener returns the listener in one answer of a UNIX dump; ok is false for a
// socket that is not a listening stream. HasQueue and HasLimit are false if the answer does
// not have them. errMalformed: the answer, or an attribute of it, is cut short.
func parseUnixListener(p []byte) (l Listener, ok bool, err error) {
	if len(p) < unixMsgLen {
		return Listener{}, false, fmt.Errorf("%w: %d bytes of unix_diag_msg", errMalformed, len(p))
	}
	if p[0] != unix.AF_UNIX || p[1] != unix.SOCK_STREAM || p[2] != stateListen {
		return Listener{}, false, nil
	}
	l = Listener{Network: Unix, Inode: uint64(binary.NativeEndian.Uint32(p[4:]))}
	err = eachAttribute(p[unixMsgLen:], func(kind uint16, v []byte) {
		switch {
		case kind == unixDiagName:
			l.Path = parseSocketName(v)
		case kind == unixDiagRQLen && len(v) >= 8:
			l.Queue, l.Limit = binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:])
			l.HasQueue, l.HasLimit = true, true
		case kind == unixDiagUID && len(v) >= 4:
			l.UID = binary.NativeEndian.Uint32(v)
		}
	})
	return l, err == nil, err
}

// eachAttribute calls fn for each netlink attribute in b. The error is errMalformed for an
// attribute that is longer than the rest of b or shorter than its head.
func eachAttribute(b []byte, fn func(kind uint16, value []byte)) error {
	for len(b) >= attrLen {
		n := int(binary.NativeEndian.Uint16(b))
		if n < attrLen || n > len(b) {
			return fmt.Errorf("%w: attribute of %d bytes in %d", errMalformed, n, len(b))
		}
		fn(binary.NativeEndian.Uint16(b[2:])&attrTypeMax, b[attrLen:n])
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// parseSocketName returns sun_path as text in the form of /proc/net/unix: a path ends at
// its first NUL, in an abstract name each NUL becomes "@".
func parseSocketName(v []byte) string {
	out := make([]byte, 0, len(v))
	abstract := len(v) > 0 && v[0] == 0
	for _, c := range v {
		if c == 0 {
			if !abstract {
				break
			}
			c = '@'
		}
		out = append(out, c)
	}
	return string(out)
}
