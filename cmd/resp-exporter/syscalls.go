package main

import "strconv"

// callName returns the name of a system call of x86-64, the only architecture of
// which stacks are read; "call 999" for one in which threads do not wait.
func callName(nr int) string {
	switch nr {
	case 0:
		return "read"
	case 1:
		return "write"
	case 7:
		return "poll"
	case 17, 295:
		return "preadv"
	case 18, 296:
		return "pwritev"
	case 19:
		return "readv"
	case 20:
		return "writev"
	case 23:
		return "select"
	case 34:
		return "pause"
	case 35:
		return "nanosleep"
	case 40:
		return "sendfile"
	case 42:
		return "connect"
	case 43:
		return "accept"
	case 44:
		return "sendto"
	case 45:
		return "recvfrom"
	case 46:
		return "sendmsg"
	case 47:
		return "recvmsg"
	default:
		return laterCallName(nr)
	}
}

func laterCallName(nr int) string {
	switch nr {
	case 61:
		return "wait4"
	case 65:
		return "semop"
	case 72:
		return "fcntl"
	case 73:
		return "flock"
	case 74:
		return "fsync"
	case 75:
		return "fdatasync"
	case 128:
		return "rt_sigtimedwait"
	case 130:
		return "rt_sigsuspend"
	case 202:
		return "futex"
	case 230:
		return "clock_nanosleep"
	case 232:
		return "epoll_wait"
	case 247:
		return "waitid"
	case 257:
		return "openat"
	case 270:
		return "pselect6"
	case 271:
		return "ppoll"
	case 281:
		return "epoll_pwait"
	case 288:
		return "accept4"
	case 426:
		return "io_uring_enter"
	case 441:
		return "epoll_pwait2"
	default:
		return "call " + strconv.Itoa(nr)
	}
}
