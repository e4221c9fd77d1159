package sockdiag

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// errRow is wrapped by the parsers of rows in /proc.
var errRow = errors.New("malformed row")

// acceptCon is __SO_ACCEPTCON of linux/net.h: the flag of a listening socket.
const acceptCon = 1 << 16

// ParseProcNetTCP returns the listening sockets from /proc/PID/net/tcp or tcp6, with an
// error those before it, for where sock_diag is refused. The file has the accept queue
// (rx_queue) but not its limit. The kernel writes listeners first (before 4.4 with
// half-open connections, state 03, between them), so reading stops at the first other
// row, before any table of thousands of connections.
func ParseProcNetTCP(r io.Reader) ([]Listener, error) {
	var out []Listener
	err := eachRow(r, func(line []byte) (more bool, err error) {
		f := bytes.Fields(line)
		if len(f) < 10 {
			return false, fmt.Errorf("%w: %d fields", errRow, len(f))
		}
		switch string(f[3]) {
		case "0A":
		case "03":
			return true, nil
		default:
			return false, nil
		}
		l, err := parseTCPRow(f)
		if err != nil {
			return false, err
		}
		out = append(out, l)
		return true, nil
	})
	return out, wrapFile("net/tcp", err)
}

// ParseProcNetUnix returns the listening stream sockets from /proc/PID/net/unix, with
// path and inode, with an error those before it, for where sock_diag is refused. The file
// has neither the accept queue nor its limit nor the owner. Malformed rows are skipped: a
// line break in an abstract name causes one.
func ParseProcNetUnix(r io.Reader) ([]Listener, error) {
	var out []Listener
	err := eachRow(r, func(line []byte) (more bool, err error) {
		// Num RefCount Protocol Flags Type St Inode Path; a path may hold blanks.
		var f [7][]byte
		rest := line
		for i := range f {
			rest = bytes.TrimLeft(rest, " ")
			f[i], rest, _ = bytes.Cut(rest, []byte(" "))
		}
		if len(f[6]) == 0 {
			return true, nil
		}
		flags, err1 := strconv.ParseUint(string(f[3]), 16, 32)
		inode, err2 := strconv.ParseUint(string(f[6]), 10, 64)
		if err1 != nil || err2 != nil {
			return true, nil
		}
		if flags&acceptCon != 0 && string(f[4]) == "0001" {
			out = append(out, Listener{Network: Unix, Path: string(rest), Inode: inode})
		}
		return true, nil
	})
	return out, wrapFile("net/unix", err)
}

// eachRow calls fn with each line after the header until more is false, and returns fn's
// error. ErrTooMany: there are more than 65,536 lines. A line that is too long is an error,
// too.
func eachRow(r io.Reader, fn func(line []byte) (more bool, err error)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), 4096)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			continue
		}
		if n > maxSockets {
			return ErrTooMany
		}
		if more, err := fn(lines.Bytes()); !more || err != nil {
			return err
		}
	}
	return lines.Err()
}

// wrapFile returns an error with the file that was read; nil for nil.
func wrapFile(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// parseTCPRow returns the socket of a row by its fields, at least ten: sl local_address
// rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode. errRow: one cannot
// be parsed.
func parseTCPRow(f [][]byte) (Listener, error) {
	addr, err := parseHexAddrPort(f[1])
	if err != nil {
		return Listener{}, err
	}
	_, rx, ok := bytes.Cut(f[4], []byte(":"))
	if !ok {
		return Listener{}, fmt.Errorf("%w: queues %q", errRow, f[4])
	}
	queue, err1 := strconv.ParseUint(string(rx), 16, 32)
	uid, err2 := strconv.ParseUint(string(f[7]), 10, 32)
	inode, err3 := strconv.ParseUint(string(f[9]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Listener{}, fmt.Errorf("%w: %w", errRow, err)
	}
	network := TCP
	if len(f[1]) > 8+1+4 {
		network = TCP6
	}
	return Listener{
		Network: network, Addr: addr, Inode: inode, UID: uint32(uid),
		Queue: uint32(queue), HasQueue: true,
	}, nil
}

// parseHexAddrPort returns the address in "0100007F:1F90": 32-bit words in the machine's
// byte order, and the port as a number; one of IPv4 in IPv6 as IPv4. errRow: it has another
// form.
func parseHexAddrPort(b []byte) (netip.AddrPort, error) {
	host, port, _ := bytes.Cut(b, []byte(":"))
	var raw [16]byte
	if len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, fmt.Errorf("%w: address %q", errRow, b)
	}
	n, err := hex.Decode(raw[:], host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: address: %w", errRow, err)
	}
	p, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: port: %w", errRow, err)
	}
	for i := 0; i < n; i += 4 {
		word := uint32(raw[i])<<24 | uint32(raw[i+1])<<16 | uint32(raw[i+2])<<8 | uint32(raw[i+3])
		binary.NativeEndian.PutUint32(raw[i:], word)
	}
	a := netip.AddrFrom4([4]byte(raw[:4]))
	if n == 16 {
		a = netip.AddrFrom16(raw).Unmap()
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}
