package statsd

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// InheritName is the name (FileDescriptorName= of a socket unit) of sockets for StatsD
// that a supervisor passes.
const InheritName = "statsd"

const (
	firstInherited = 3  // SD_LISTEN_FDS_START
	maxInherited   = 64 // descriptors that a supervisor may pass
)

// Inherited are the sockets that a supervisor such as systemd passed at the start
// (sd_listen_fds(3)). The supervisor holds them too, so senders stay connected when the
// exporter restarts. nil has none. It is not changed after [Inherit], and holds its
// descriptors until the process ends.
type Inherited struct{ fds map[string]int }

// Inherit returns the datagram sockets named [InheritName] that a supervisor passed; nil if
// it passed none that can be used. It removes them from the environment (LISTEN_FDS), and
// moves the other descriptors to the first ones, in order. It must be called once, before
// anything else opens a file or reads these variables.
func Inherit() *Inherited {
	n := passedDescriptors()
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	i := &Inherited{fds: make(map[string]int)}
	var kept []string
	for at := range n {
		name := ""
		if at < len(names) {
			name = names[at]
		}
		if name == InheritName && i.keep(firstInherited+at) {
			continue
		}
		if unix.Dup3(firstInherited+at, firstInherited+len(kept), unix.O_CLOEXEC) == nil || at == len(kept) {
			kept = append(kept, name)
		}
	}
	if len(i.fds) == 0 {
		return nil // and nothing was moved
	}
	for fd := firstInherited + len(kept); fd < firstInherited+n; fd++ {
		_ = unix.Close(fd)
	}
	setEnvironment(kept)
	return i
}

// passedDescriptors returns the number of descriptors that the environment (LISTEN_PID,
// LISTEN_FDS) lists for this process; 0 if it lists none or more than 64, or one of them
// cannot have been passed.
func passedDescriptors() int {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, e := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || e != nil || pid != os.Getpid() || n < 1 || n > maxInherited {
		return 0
	}
	for at := range n {
		var st unix.Stat_t
		if unix.Fstat(firstInherited+at, &st) != nil || st.Mode&unix.S_IFMT == 0 {
			return 0 // such as an epoll set of this process
		}
	}
	return n
}

// setEnvironment sets the variables to the names of the remaining descriptors.
func setEnvironment(names []string) {
	if len(names) == 0 {
		for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			_ = os.Unsetenv(v)
		}
		return
	}
	_ = os.Setenv("LISTEN_FDS", strconv.Itoa(len(names)))
	_ = os.Setenv("LISTEN_FDNAMES", strings.Join(names, ":"))
}

// keep stores a copy of a descriptor. It returns false, and stores nothing, unless that is
// a datagram socket with an address (see localKey) that is not stored yet, or if it cannot
// be copied.
func (i *Inherited) keep(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_DGRAM {
		return false
	}
	key := localKey(fd)
	if _, twice := i.fds[key]; key == "" || twice {
		return false
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstInherited+maxInherited)
	if err != nil {
		return false
	}
	i.fds[key] = own
	return true
}

// localKey returns the network and the address of a socket, as in Options, such as "udp
// 127.0.0.1:9125", without an address if it is [::], with port 0 if it is not bound; ""
// for one that is neither IP nor UNIX, and for a UNIX socket without an absolute path.
func localKey(fd int) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return ""
	}
	switch a := sa.(type) {
	case *unix.SockaddrUnix:
		if strings.HasPrefix(a.Name, "/") {
			return "unixgram " + a.Name
		}
	case *unix.SockaddrInet4:
		return "udp " + netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String() //nolint:gosec // a port
	case *unix.SockaddrInet6:
		if a.Addr == [16]byte{} {
			return "udp :" + strconv.Itoa(a.Port)
		}
		return "udp " + netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String() //nolint:gosec // a port
	}
	return ""
}

// Addresses returns the network and the address of each socket, such as "unixgram
// /run/x.sock", in no order; nil if there are none.
func (i *Inherited) Addresses() []string {
	if i == nil {
		return nil
	}
	var out []string
	for key := range i.fds {
		out = append(out, key)
	}
	return out
}

// open returns a new descriptor of the socket at an address; ok is false, and fd -1, if
// none was passed. err: one was passed, but has no copy; fd is -1 too.
func (i *Inherited) open(network, address string) (fd int, ok bool, err error) {
	if i == nil {
		return -1, false, nil
	}
	held, ok := i.fds[network+" "+address]
	if !ok {
		return -1, false, nil
	}
	fd, err = unix.FcntlInt(uintptr(held), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, true, os.NewSyscallError("fcntl", err)
	}
	return fd, true, nil
}
