package sockdiag_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

var native = binary.NativeEndian

// message wraps a payload in a netlink header.
func message(kind uint16, seq uint32, payload []byte) []byte {
	b := make([]byte, 16, 16+len(payload)+3)
	native.PutUint32(b, uint32(16+len(payload)))
	native.PutUint16(b[4:], kind)
	native.PutUint32(b[8:], seq)
	b = append(b, payload...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func attribute(kind uint16, value []byte) []byte {
	b := make([]byte, 4, 4+len(value)+3)
	native.PutUint16(b, uint16(4+len(value)))
	native.PutUint16(b[2:], kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func inetAnswer(family, state byte, rqueue, wqueue uint32) []byte {
	p := make([]byte, 72)
	p[0], p[1] = family, state
	binary.BigEndian.PutUint16(p[4:], 8000)
	copy(p[8:], []byte{10, 0, 0, 7})
	native.PutUint32(p[56:], rqueue)
	native.PutUint32(p[60:], wqueue)
	native.PutUint32(p[64:], 33)
	native.PutUint32(p[68:], 4242)
	return p
}

func unixAnswer(state byte, attributes ...[]byte) []byte {
	p := make([]byte, 16)
	p[0], p[1], p[2] = unix.AF_UNIX, unix.SOCK_STREAM, state
	native.PutUint32(p[4:], 99)
	for _, a := range attributes {
		p = append(p, a...)
	}
	return p
}

func pair(a, b uint32) []byte {
	return native.AppendUint32(native.AppendUint32(nil, a), b)
}

func TestParseTCPListener(t *testing.T) {
	l, ok, err := sockdiag.ParseTCPListener(inetAnswer(unix.AF_INET, 10, 21, 20))
	want := sockdiag.Listener{
		Network: sockdiag.TCP, Addr: netip.MustParseAddrPort("10.0.0.7:8000"), Inode: 4242, UID: 33,
		Queue: 21, Limit: 20, HasQueue: true, HasLimit: true,
	}
	if err != nil || !ok || l != want {
		t.Errorf("got %+v %v %v, want %+v", l, ok, err, want)
	}
	if _, ok, err := sockdiag.ParseTCPListener(inetAnswer(unix.AF_INET, 1, 0, 0)); ok || err != nil {
		t.Errorf("a connection: ok %v, err %v", ok, err)
	}
	for _, bad := range [][]byte{nil, make([]byte, 71), inetAnswer(77, 10, 0, 0)} {
		if _, ok, err := sockdiag.ParseTCPListener(bad); ok || err == nil {
			t.Errorf("%d bytes: ok %v, err %v", len(bad), ok, err)
		}
	}
}

func TestParseUnixListener(t *testing.T) {
	queues := attribute(4, pair(7, 128))
	for name, c := range map[string]struct {
		in   []byte
		want sockdiag.Listener
		ok   bool
	}{
		"path": {
			unixAnswer(10, attribute(0, []byte("/run/x\x00")), queues, attribute(7, native.AppendUint32(nil, 33))),
			sockdiag.Listener{Path: "/run/x", Queue: 7, Limit: 128, HasQueue: true, HasLimit: true, UID: 33}, true,
		},
		"abstract, NUL within": {
			unixAnswer(10, attribute(0, []byte("\x00a\x00b")), queues),
			sockdiag.Listener{Path: "@a@b", Queue: 7, Limit: 128, HasQueue: true, HasLimit: true}, true,
		},
		"short queues": {unixAnswer(10, attribute(4, []byte{1, 2, 3, 4})), sockdiag.Listener{}, true},
		"connected":    {unixAnswer(1), sockdiag.Listener{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ok {
				c.want.Network, c.want.Inode = sockdiag.Unix, 99
			}
			l, ok, err := sockdiag.ParseUnixListener(c.in)
			if err != nil || ok != c.ok || l != c.want {
				t.Errorf("got %+v %v %v, want %+v", l, ok, err, c.want)
			}
		})
	}
	for _, bad := range [][]byte{nil, make([]byte, 15), unixAnswer(10, []byte{200, 0, 0, 0}), unixAnswer(10, []byte{1, 0, 0, 0})} {
		if _, ok, err := sockdiag.ParseUnixListener(bad); ok || err == nil {
			t.Errorf("%v: ok %v, err %v", bad, ok, err)
		}
	}
}

func TestEachAnswer(t *testing.T) {
	refusal := native.AppendUint32(nil, ^uint32(unix.ENOENT)+1)
	answer, done := message(20, 5, []byte{1}), message(unix.NLMSG_DONE, 5, make([]byte, 4))
	for name, c := range map[string]struct {
		in      []byte
		answers int
		done    bool
		err     error
	}{
		"nothing":         {nil, 0, false, nil},
		"more to come":    {append(append([]byte{}, answer...), answer...), 2, false, nil},
		"end":             {append(append([]byte{}, answer...), done...), 1, true, nil},
		"of another":      {append(message(20, 4, []byte{1}), message(unix.NLMSG_DONE, 4, nil)...), 0, false, nil},
		"refused":         {message(unix.NLMSG_ERROR, 5, refusal), 0, true, syscall.ENOENT},
		"failed at end":   {message(unix.NLMSG_DONE, 5, refusal), 0, true, syscall.ENOENT},
		"unknown ignored": {message(99, 5, []byte{1, 2}), 0, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			end, err := sockdiag.EachAnswer(c.in, 5, func([]byte) error { n++; return nil })
			if n != c.answers || end != c.done || !errors.Is(err, c.err) {
				t.Errorf("%d answers, done %v, err %v; want %d, %v, %v", n, end, err, c.answers, c.done, c.err)
			}
		})
	}
	bad := message(20, 5, nil)
	native.PutUint32(bad, 4000)
	if end, err := sockdiag.EachAnswer(bad, 5, nil); !end || err == nil {
		t.Errorf("a length beyond the datagram: done %v, err %v", end, err)
	}
}

func TestLabel(t *testing.T) {
	for want, l := range map[string]sockdiag.Listener{
		":8000":              {Network: sockdiag.TCP, Addr: netip.MustParseAddrPort("0.0.0.0:8000")},
		":8001":              {Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::]:8001")},
		":8002":              {Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::ffff:0.0.0.0]:8002")},
		"127.0.0.1:8000":     {Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::ffff:127.0.0.1]:8000")},
		"[::1]:8000":         {Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::1]:8000")},
		"unix:/run/x.sock":   {Network: sockdiag.Unix, Path: "/run/x.sock"},
		"unix:@name":         {Network: sockdiag.Unix, Path: "@name"},
		"unix:":              {Network: sockdiag.Unix},
		"invalid AddrPort":   {},
		"10.0.0.1:0":         {Addr: netip.MustParseAddrPort("10.0.0.1:0")},
		"[2001:db8::1]:8000": {Addr: netip.MustParseAddrPort("[2001:db8::1]:8000")},
	} {
		if got := sockdiag.Label(l); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
}

// FuzzAnswers feeds datagrams to the whole chain of parsers: no input may make
// it read outside, invent a queue or leave a listener without a label.
func FuzzAnswers(f *testing.F) {
	f.Add(append(message(20, 1, inetAnswer(unix.AF_INET6, 10, 3, 2)), message(unix.NLMSG_DONE, 1, nil)...))
	f.Add(message(20, 1, unixAnswer(10, attribute(0, []byte("\x00n")), attribute(4, pair(3, 2)))))
	f.Add(message(unix.NLMSG_ERROR, 1, pair(^uint32(1), 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = sockdiag.EachAnswer(b, 1, func(p []byte) error {
			tcp, ok, _ := sockdiag.ParseTCPListener(p)
			if ok && (tcp.Queue != native.Uint32(p[56:]) || tcp.Limit != native.Uint32(p[60:]) || !tcp.HasQueue) {
				t.Errorf("queue %d of %d is not what the bytes say", tcp.Queue, tcp.Limit)
			}
			local, isUnix, _ := sockdiag.ParseUnixListener(p)
			if isUnix && local.HasQueue && !holds(p[16:], pair(local.Queue, local.Limit)) {
				t.Errorf("queue %d of %d is nowhere in the bytes", local.Queue, local.Limit)
			}
			if ok && sockdiag.Label(tcp) == "" || isUnix && sockdiag.Label(local) == "" {
				t.Error("a listener without a label")
			}
			return nil
		})
	})
}

func holds(b, part []byte) bool {
	for ; len(b) >= len(part); b = b[1:] {
		if string(b[:len(part)]) == string(part) {
			return true
		}
	}
	return false
}
