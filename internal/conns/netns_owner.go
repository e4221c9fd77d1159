package conns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// netnsOwner is what the addresses of sockets in a network namespace prove.
type netnsOwner int

const (
	// ownerForeign is a namespace that another user namespace than the exporter's owns.
	// Every user can make one without any right (unshare -Urn), and has all
	// addresses there, also those of this host and of others.
	ownerForeign netnsOwner = iota
	// ownerHost is one that the exporter's user namespace owns: it took CAP_SYS_ADMIN
	// to make it, as a container engine of root's has.
	ownerHost
	// ownerSelf is the exporter's own.
	ownerSelf
)

const nsGetUserNS = 0xb701 // NS_GET_USERNS of linux/nsfs.h

// enter opens the network namespace n by a process that lives in it. A process
// that has moved to another namespace is an error. The caller closes fd, and n
// keeps its inode number until then.
func (s *Namespaces) enter(n *Namespace) (fd int, err error) {
	path := s.r.Path(n.pid, "ns/net")
	if fd, err = procfs.OpenRetry(path, unix.O_RDONLY|unix.O_CLOEXEC); err != nil {
		return -1, fmt.Errorf("network namespace of %d: %w", n.pid, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Ino != n.Inode {
		err = fmt.Errorf("process %d has moved to another network namespace", n.pid)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ownerOf returns what addresses in a namespace prove, by who owns it. Where
// that cannot be read they prove nothing. It is not cached: the number of a
// namespace that has ended is another's soon.
func (s *Namespaces) ownerOf(n *Namespace) netnsOwner {
	if n.Inode == s.own {
		return ownerSelf
	}
	fd, err := s.enter(n)
	if err != nil {
		return ownerForeign
	}
	defer func() { _ = unix.Close(fd) }()
	owner, err := unix.IoctlRetInt(fd, nsGetUserNS) // EPERM: it is not below ours
	if err != nil {
		return ownerForeign
	}
	defer func() { _ = unix.Close(owner) }()
	var st unix.Stat_t
	if unix.Fstat(owner, &st) != nil || s.user == (procfs.NamespaceID{}) || procfs.NamespaceFromStat(&st) != s.user {
		return ownerForeign
	}
	return ownerHost
}

// addressTrust judges the ends of the connections of one network namespace.
type addressTrust struct {
	owner     netnsOwner
	hostAddrs []netip.Addr // of the interfaces in our own namespace; of a vouched one only
}

// trustOf returns how connections of a namespace are judged.
func (s *Namespaces) trustOf(n *Namespace) addressTrust {
	p := addressTrust{owner: s.ownerOf(n)}
	if p.owner == ownerHost {
		var err error
		if p.hostAddrs, err = hostAddresses(); err != nil {
			p.owner = ownerForeign
		}
	}
	return p
}

// proves reports whether the client's end of a TCP connection may be compared
// with what a server reports. Another namespace has a loopback of its own, and
// no address of this host.
func (p addressTrust) proves(local netip.AddrPort) bool {
	switch p.owner {
	case ownerForeign:
	case ownerSelf:
		return local.IsValid()
	case ownerHost:
		at := local.Addr().Unmap()
		return local.IsValid() && !at.IsLoopback() && !slices.Contains(p.hostAddrs, at.WithZone(""))
	}
	return false
}

// hostAddresses returns those of the interfaces in our network namespace,
// without zones.
func hostAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}
