//go:build !amd64

package procfs

import "golang.org/x/sys/unix"

// Calls that this architecture does without have numbers that no kernel gives.
const (
	SysAccept    = unix.SYS_ACCEPT
	SysEpollWait = -100
	SysPoll      = -101
	SysSelect    = -102
)
