package conns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// netnsOwner is who owns a network namespace. It decides what the addresses of
// its sockets prove.
type netnsOwner int

const (
	// ownerForeign is a user namespace other than the exporter's. Any user can
	// create such a network namespace without privileges (unshare -Urn) and
	// assign any address in it, also those of this host and of others.
	ownerForeign netnsOwner = iota
	// ownerHost is the exporter's user namespace: creating the network namespace
	// took CAP_SYS_ADMIN, as root's container engine has.
	ownerHost
	// ownerSelf means the exporter's own network namespace.
	ownerSelf
)

const nsGetUserNS = 0xb701 // NS_GET_USERNS of linux/nsfs.h

// enter returns a descriptor of the network namespace n, opened by a process in
// it; an error if the process has moved to another namespace. The caller closes
// it. Until then n keeps its inode number.
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

// ownerOf returns who owns a namespace (NS_GET_USERNS of ioctl_ns(2)): ownerSelf for the
// exporter's own, ownerHost if the exporter's user namespace owns it, else ownerForeign,
// also if that cannot be read. It is not cached: inode numbers of namespaces are reused.
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

// addressTrust decides which addresses in one network namespace prove something.
type addressTrust struct {
	owner     netnsOwner
	hostAddrs []netip.Addr // of the interfaces in the exporter's namespace; for ownerHost only
}

// trustOf returns whether addresses of a namespace's connections prove anything: its
// owner and, if that is the host's user namespace, the addresses of this host. If these
// cannot be read, nothing is proven.
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

// proves reports whether the client's address of a TCP connection may be compared with what
// a server reports. In our own namespace any valid one may; in another of our user namespace
// those that are neither loopback nor of this host; in a foreign one, see ownerForeign, none.
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

// hostAddresses returns the addresses of the interfaces in the exporter's network
// namespace, without zones.
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
