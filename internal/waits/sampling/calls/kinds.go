package calls

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// FutexWait returns the address of a call of futex(2), whether it is a wait without a
// timeout, and whether that is for a mutex of the C library and not for a semaphore,
// which Python's locks are; false if it is no wait. addr is 0 for any other call.
func FutexWait(k procfs.Syscall) (addr uint64, untimed, mutex bool) {
	const wait, waitBitset, command = 0, 9, 0x7f
	if k.NR != unix.SYS_FUTEX || k.Running {
		return 0, false, false
	}
	switch k.Args[1] & command {
	case wait, waitBitset:
		return k.Args[0], k.Args[3] == 0, k.Args[1]&command == wait
	}
	return k.Args[0], false, false
}

// On returns what a system call waits for if its number alone tells that; else Other.
func On(nr int) ledger.On {
	switch nr {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP:
		return ledger.Sleep
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return ledger.Child
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_OPENAT:
		return ledger.Disk
	case unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_FCNTL, unix.SYS_FLOCK:
		return ledger.Lock
	}
	return ledger.Other
}

// IsFile reports whether the target of a link in /proc/PID/fd is a path outside of /dev.
func IsFile(link []byte) bool {
	return len(link) > 0 && link[0] == '/' && !bytes.HasPrefix(link, []byte("/dev/"))
}

// SocketInode returns the inode in the target of a link such as "socket:[123]"; false for
// any other target.
func SocketInode(link []byte) (inode uint64, ok bool) {
	rest, ok := bytes.CutPrefix(link, []byte("socket:["))
	if !ok || len(rest) < 2 || rest[len(rest)-1] != ']' {
		return 0, false
	}
	for _, d := range rest[:len(rest)-1] {
		if d < '0' || d > '9' {
			return 0, false
		}
		inode = inode*10 + uint64(d-'0')
	}
	return inode, true
}
