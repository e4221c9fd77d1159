package proc

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxSockets bounds how much of a list of sockets is read, in bytes: some
// hundred thousand connections.
const maxSockets = 32 << 20

// Connected tells whether a process holds a TCP connection that is established
// to one of peers. Those that are addresses of this host's, of the loopback too,
// count in our network namespace only. It takes the right to look at the process' descriptors. The sources
// are /proc/PID/fd and /proc/PID/net/tcp and tcp6.
func Connected(root string, pid int, peers []netip.AddrPort) (bool, error) {
	r := newReader(root)
	theirs, err := r.link(pid, "ns/net")
	if err != nil {
		return false, err
	}
	if ours, err := os.Readlink("/proc/self/ns/net"); err != nil || ours != theirs {
		peers = slices.DeleteFunc(slices.Clone(peers), func(p netip.AddrPort) bool {
			return p.Addr().IsLoopback() || slices.Contains(hostAddresses(), p.Addr())
		})
	}
	held, err := r.sockets(pid)
	if err != nil {
		return false, err
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(r.path(pid, table))
		if err != nil {
			continue // no IPv6
		}
		found := hasPeer(io.LimitReader(f, maxSockets), peers, held)
		_ = f.Close()
		if found {
			return true, nil
		}
	}
	return false, nil
}

// sockets gives the sockets that a process holds, all of them or an error.
func (r *reader) sockets(pid int) (map[uint64]bool, error) {
	list, err := r.entries(r.path(pid, "fd"), nil)
	if err != nil {
		return nil, err
	}
	list, left := r.lookedAt(list)
	if left > 0 {
		return nil, errDescriptors // what is not looked at may be the one
	}
	held := make(map[uint64]bool)
	for _, e := range list {
		link, err := r.link(pid, "fd/"+itoa(e.n))
		if err != nil {
			continue // it was closed
		}
		if ino, ok := parseSocket(link); ok {
			held[ino] = true
		}
	}
	return held, nil
}

// Places gives all the addresses by which a process on this host may know at:
// where it is one of the host's own, each of those.
func Places(at netip.AddrPort) []netip.AddrPort {
	out := []netip.AddrPort{at}
	own := append(hostAddresses(), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"))
	if !at.Addr().IsLoopback() && !slices.Contains(own, at.Addr()) {
		return out
	}
	for _, a := range own {
		if p := netip.AddrPortFrom(a, at.Port()); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// hostAddresses are those of the interfaces in our network namespace.
func hostAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out
}

// hasPeer looks in a list of sockets for an established one to one of peers
// whose inode is held.
func hasPeer(list io.Reader, peers []netip.AddrPort, held map[uint64]bool) bool {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != "01" {
			continue
		}
		ino, err := strconv.ParseUint(f[9], 10, 64)
		if err != nil || !held[ino] {
			continue
		}
		if at, err := parsePeer(f[2]); err == nil && slices.Contains(peers, at) {
			return true
		}
	}
	return false
}

// parsePeer reads "0100007F:18EB": the address in words of four bytes, each in
// the order of the host, and the port.
func parsePeer(s string) (netip.AddrPort, error) {
	a, p, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(a)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("address: %w", errShape)
	}
	port, err := strconv.ParseUint(p, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port: %w", errShape)
	}
	for word := range slices.Chunk(b, 4) {
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}
