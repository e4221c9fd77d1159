package waits

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// movesData reports whether a system call is part of working on a request: it moves data,
// connects, opens a file, or waits for input, a child process or a file lock.
func movesData(nr int) bool {
	return slices.Contains(transferCalls(), nr)
}

// isLock reports whether a system call may wait for a lock.
func isLock(nr int) bool {
	switch nr {
	case unix.SYS_FUTEX, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_FCNTL, unix.SYS_FLOCK:
		return true
	}
	return false
}

// transferCalls returns the numbers of the system calls for which movesData is true.
func transferCalls() []int {
	return []int{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_READV, unix.SYS_WRITEV,
		unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_CONNECT,
		unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_OPENAT, unix.SYS_WAIT4, unix.SYS_FLOCK, procfs.SysPoll, unix.SYS_PPOLL,
	}
}

// describe returns the activity of a thread in a system call, as a phrase for people such
// as "waits for input"; for any other call "is in system call N".
func describe(k procfs.Syscall) string {
	switch k.NR {
	case -1:
		if k.Running {
			return "runs"
		}
		return "waits in the kernel"
	case procfs.SysAccept, unix.SYS_ACCEPT4:
		return "waits for a connection"
	case procfs.SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, procfs.SysSelect, unix.SYS_PSELECT6, procfs.SysPoll, unix.SYS_PPOLL:
		return "waits for input"
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64:
		return "reads"
	case unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return "waits for a response"
	case unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITE64, unix.SYS_SENDTO, unix.SYS_SENDMSG:
		return "sends"
	case unix.SYS_CONNECT:
		return "connects"
	case unix.SYS_FUTEX:
		return "waits for a lock"
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP:
		return "sleeps"
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		return "waits for the disk"
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return "waits for a child process"
	case unix.SYS_FLOCK, unix.SYS_FCNTL:
		return "waits for a file lock"
	}
	return "is in system call " + strconv.Itoa(k.NR)
}
