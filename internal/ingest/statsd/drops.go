package statsd

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxTableBytes is how much of /proc/net/udp is read: about 100,000 sockets.
const maxTableBytes = 16 << 20

// dropsSinceLast returns the number of datagrams that the kernel dropped since the last
// call; 0 if its counter cannot be read, and then the next call counts them. The counter
// has 32 bits and wraps; the difference is right even then.
func (s *socket) dropsSinceLast() uint64 {
	now, ok := s.readDrops()
	if !ok {
		return 0
	}
	d := now - s.drops
	s.drops = now
	return uint64(d)
}

// readDrops returns the kernel's counter of dropped datagrams; ok is false if it cannot
// be read.
func (s *socket) readDrops() (n uint32, ok bool) {
	if n, ok = memInfoDrops(s.fd); ok {
		return n, true
	}
	return s.fileDrops()
}

// fileDrops returns the number of drops in /proc/net/udp, as readDrops does, for kernels
// without SO_MEMINFO; false for a UNIX socket, and if the socket is not in the first 16 MiB
// of the table or that cannot be read.
func (s *socket) fileDrops() (uint32, bool) {
	if s.procTable == "" {
		return 0, false
	}
	f, err := os.Open(s.procTable)
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // only read
	return tableDrops(io.LimitReader(f, maxTableBytes), s.inode)
}

// memInfoDrops returns the counter of getsockopt(SO_MEMINFO), Linux 4.12 and later: nine or
// more 32-bit numbers, one of which (SK_MEMINFO_DROPS) is the dropped datagrams. false: the
// kernel does not have it, or refuses it.
func memInfoDrops(fd int) (uint32, bool) {
	var info [16]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < (unix.SK_MEMINFO_DROPS+1)*4 {
		return 0, false
	}
	return info[unix.SK_MEMINFO_DROPS], true
}

// tableDrops returns the drops of the socket with an inode from /proc/net/udp or udp6: the
// inode is the tenth column, the drops are the last. false: the socket is not in the
// table, or its drops are no number.
func tableDrops(table io.Reader, inode uint64) (uint32, bool) {
	const inodeColumn, dropsColumn = 9, 12
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		columns := bytes.Fields(lines.Bytes())
		if len(columns) <= dropsColumn {
			continue
		}
		if n, err := strconv.ParseUint(string(columns[inodeColumn]), 10, 64); err != nil || n != inode {
			continue
		}
		n, err := strconv.ParseUint(string(columns[dropsColumn]), 10, 64)
		return uint32(n), err == nil
	}
	return 0, false
}
