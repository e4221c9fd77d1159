package procfs

import "golang.org/x/sys/unix"

// Calls that newer architectures do not have.
const (
	SysAccept    = unix.SYS_ACCEPT
	SysEpollWait = unix.SYS_EPOLL_WAIT
	SysPoll      = unix.SYS_POLL
	SysSelect    = unix.SYS_SELECT
)
