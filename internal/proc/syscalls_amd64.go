package proc

import "golang.org/x/sys/unix"

// Calls that newer architectures do without.
const (
	sysAccept    = unix.SYS_ACCEPT
	sysEpollWait = unix.SYS_EPOLL_WAIT
	sysPoll      = unix.SYS_POLL
	sysSelect    = unix.SYS_SELECT
)
