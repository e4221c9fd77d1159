//go:build !amd64

package proc

import "golang.org/x/sys/unix"

// Calls that this architecture does without have numbers that no kernel gives.
const (
	sysAccept    = unix.SYS_ACCEPT
	sysEpollWait = -100
	sysPoll      = -101
	sysSelect    = -102
)
