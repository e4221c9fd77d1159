//go:build !amd64

package procfs

import "golang.org/x/sys/unix"

// Calls that this architecture does not have get numbers that no kernel reports.
const (
	SysAccept    = unix.SYS_ACCEPT
	SysEpollWait = -100
	SysPoll      = -101
	SysSelect    = -102
)
