package sockdiag_test

import (
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// BenchmarkUpstream compares the readers and the writer of messages here with
// those of github.com/mdlayher/netlink, on one datagram of a dump: 100 answers of
// UNIX sockets with three attributes each. docs/decisions/019-rooms.md has the
// result.
func BenchmarkUpstream(b *testing.B) {
	answer := unixAnswer(10, attribute(0, []byte("/run/shop/shop.sock\x00")), attribute(4, make([]byte, 8)), attribute(7, make([]byte, 4)))
	var datagram []byte
	for range 100 {
		datagram = append(datagram, message(20, 1, answer)...)
	}
	for name, run := range map[string]func() int{
		"answers/ours":     func() int { return countAnswers(datagram) },
		"answers/upstream": func() int { return countAnswersUpstream(datagram) },
		"request/ours":     func() int { return len(sockdiag.NewRequest(make([]byte, 56))) },
		"request/upstream": func() int {
			m := netlink.Message{Header: netlink.Header{Length: 16 + 56, Type: 20, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, 56)}
			text, err := m.MarshalBinary()
			if err != nil {
				return 0
			}
			return len(text)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := run(); n != 100 && n != 72 {
					b.Fatal(n)
				}
			}
		})
	}
}

func countAnswers(datagram []byte) (n int) {
	_, _ = sockdiag.EachAnswer(datagram, 1, func(p []byte) error {
		if l, ok, err := sockdiag.ParseUnixListener(p); err == nil && ok && l.Path == "/run/shop/shop.sock" {
			n++
		}
		return nil
	})
	return n
}

// countAnswersUpstream does the same with netlink.Message and netlink.AttributeDecoder.
func countAnswersUpstream(datagram []byte) (n int) {
	for len(datagram) >= unix.NLMSG_HDRLEN {
		var m netlink.Message
		if m.UnmarshalBinary(datagram) != nil {
			return n
		}
		datagram = datagram[min(int(m.Header.Length+3)&^3, len(datagram)):]
		a, err := netlink.NewAttributeDecoder(m.Data[16:])
		if err != nil {
			return n
		}
		var l sockdiag.Listener
		for a.Next() {
			switch a.Type() {
			case 0:
				l.Path = a.String()
			case 4:
				v := a.Bytes()
				l.Queue, l.Limit = native.Uint32(v), native.Uint32(v[4:])
			case 7:
				l.UID = a.Uint32()
			}
		}
		if a.Err() == nil && l.Path == "/run/shop/shop.sock" && l.UID == 0 && l.Queue == l.Limit {
			n++
		}
	}
	return n
}
