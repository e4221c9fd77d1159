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

// maxTable bounds what is read of /proc/net/udp, in bytes: about 100,000 sockets.
const maxTableBytes = 16 << 20

// newDrops returns how many datagrams the kernel dropped since the last call. The
// kernel's count is 32 bits wide and wraps; the difference does not mind.
func (s *socket) dropsSinceLast() uint64 {
	now, ok := s.readDrops()
	if !ok {
		return 0
	}
	d := now - s.drops
	s.drops = now
	return uint64(d)
}

func (s *socket) readDrops() (n uint32, ok bool) {
	if n, ok = memInfoDrops(s.fd); ok {
		return n, true
	}
	return s.fileDrops()
}

// fileDrops is for kernels that do not know SO_MEMINFO.
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

// memInfoDrops asks getsockopt(SO_MEMINFO), Linux 4.12 and later: nine or more
// 32-bit numbers, of which SK_MEMINFO_DROPS counts datagrams.
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

// tableDrops finds a socket's drops, the last column of /proc/net/udp and
// udp6, by the inode in the tenth.
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
