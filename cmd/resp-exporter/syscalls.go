package main

import "strconv"

// callName returns the name of a system call of x86-64, the only architecture of which
// stacks are read; "call 999" for one that is not in its list, which has those in which
// threads wait.
func callName(nr int) string {
	name, ok := map[int]string{
		0:   "read",
		1:   "write",
		7:   "poll",
		17:  "preadv",
		295: "preadv",
		18:  "pwritev",
		296: "pwritev",
		19:  "readv",
		20:  "writev",
		23:  "select",
		34:  "pause",
		35:  "nanosleep",
		40:  "sendfile",
		42:  "connect",
		43:  "accept",
		44:  "sendto",
		45:  "recvfrom",
		46:  "sendmsg",
		47:  "recvmsg",
		61:  "wait4",
		65:  "semop",
		72:  "fcntl",
		73:  "flock",
		74:  "fsync",
		75:  "fdatasync",
		128: "rt_sigtimedwait",
		130: "rt_sigsuspend",
		202: "futex",
		230: "clock_nanosleep",
		232: "epoll_wait",
		247: "waitid",
		257: "openat",
		270: "pselect6",
		271: "ppoll",
		281: "epoll_pwait",
		288: "accept4",
		426: "io_uring_enter",
		441: "epoll_pwait2",
	}[nr]
	if !ok {
		return "call " + strconv.Itoa(nr)
	}
	return name
}
