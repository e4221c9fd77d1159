package conns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// ConnectionsNow reads the connections of these apps now, or of all apps if none is named, to
// the servers whose component is wanted. Only proven, unambiguous ones are returned, so none of
// a UNIX socket; why those of an app are not known, or not all, is in Errs. With an error there
// is no sample; more than 20,000 connections, or 5,000 of the apps of an account other than
// root's, are one. It waits for the kernel and is not for a scrape.
func (c *Sampler) ConnectionsNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*Sample, error) {
	c.directMu.Lock()
	defer c.directMu.Unlock()
	c.mu.Lock()
	all, services := c.apps, c.services
	c.mu.Unlock()
	if c.directOf != services { // the configuration has changed
		c.directOf, c.directServices = services, newServiceIndex(services.services)
	}
	s := NewSampler(c.r.Root, time.Hour, c.log)
	defer s.nets.Close()
	c.directServices.resolve(ctx, s.now())
	out := &Sample{Taken: s.now(), Errs: make(map[string]error)}
	byNet := make(map[uint64]*netnsSockets)
	spent := make(map[procfs.Account]*quota)
	for i := range all {
		h := &all[i]
		if len(apps) > 0 && !slices.Contains(apps, h.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if byNet[h.NetNS] == nil {
			byNet[h.NetNS] = s.socketsOf(ctx, h, c.directServices)
			all := byNet[h.NetNS].inodes()
			byNet[h.NetNS].keep(wanted)
			s.dropAmbiguous(ctx, h, byNet[h.NetNS], all)
		}
		if spent[h.Owner] == nil {
			spent[h.Owner] = newQuota(h.Owner)
		}
		s.join(h, byNet[h.NetNS], spent[h.Owner], out)
	}
	if err := ctx.Err(); err != nil {
		return nil, err // the sample may be incomplete
	}
	if out.Dropped > 0 {
		return nil, fmt.Errorf("the apps have more than %d connections to databases and Redis, or those of one user more than %d", maxConnections, maxOthersConnections)
	}
	return out, nil
}

// inodes returns the inodes of all connections of f.
func (f *netnsSockets) inodes() map[uint64]bool {
	out := make(map[uint64]bool, len(f.byInode))
	for inode := range f.byInode {
		out[inode] = true
	}
	return out
}

// keep removes from f the connections that are not proven or not wanted.
func (f *netnsSockets) keep(wanted func(component string) bool) {
	maps.DeleteFunc(f.byInode, func(_ uint64, s serviceSocket) bool {
		return !f.trust.proves(s.Local) || !wanted(s.component)
	})
}

// ProcessConnections is the connections of one process to one server.
type ProcessConnections struct {
	List   []sockdiag.Connection // those whose addresses prove something
	OurNet bool                  // the process is in the exporter's network namespace

	Unproven int // connections that were left out, as their addresses prove nothing
}

// Endpoints is where a server may be reached.
type Endpoints struct {
	Ports []uint16 // at most 256
	Paths []string // of UNIX sockets
}

// ConnectionsOf returns the established connections of a process to a remote port
// or a UNIX socket of a server. It takes the right to read the descriptors of the
// process. A process with more than 65,536 descriptors is an error; what the kernel
// listed before an error is returned without it. Connections that prove nothing are
// only counted in Unproven: all in a network namespace that a foreign user namespace
// owns, and in one that the exporter's owns those from a loopback or from an address
// of this host.
func ConnectionsOf(ctx context.Context, root string, pid int, at Endpoints) (ProcessConnections, error) {
	c := &Sampler{r: procfs.New(root), now: time.Now}
	c.nets = NewNamespaces(c.r)
	defer c.nets.Close()
	var st unix.Stat_t
	if err := unix.Stat(c.r.Path(pid, "ns/net"), &st); err != nil {
		return ProcessConnections{}, &os.PathError{Op: "stat", Path: c.r.Path(pid, "ns/net"), Err: err}
	}
	n := c.nets.Get(pid, st.Ino, 0)
	list, err := c.queryKernel(ctx, n, at.Ports)
	if err != nil {
		list, err = c.readNetFiles(n, at.Ports)
	}
	if len(at.Paths) > 0 && n.conn != nil {
		local, unixErr := n.conn.UnixConnections(ctx, func(p string) bool { return slices.Contains(at.Paths, p) })
		list, err = append(list, local...), errors.Join(err, unixErr)
	}
	if err != nil && len(list) == 0 {
		return ProcessConnections{}, err
	}
	inodes, err := c.r.SocketInodes(pid)
	if err != nil {
		return ProcessConnections{}, err
	}
	list = slices.DeleteFunc(list, func(s sockdiag.Connection) bool { return !inodes[s.Inode] })
	held, p := len(list), c.nets.trustOf(n)
	list = slices.DeleteFunc(list, func(s sockdiag.Connection) bool {
		return p.owner == ownerForeign || s.Path == "" && !p.proves(s.Local)
	})
	return ProcessConnections{List: list, OurNet: p.owner == ownerSelf, Unproven: held - len(list)}, nil
}

// IsOwnAddress reports whether an address is a loopback address or one of this
// host's interfaces, in the exporter's network namespace. It is true where the
// interfaces cannot be read.
func IsOwnAddress(at netip.Addr) bool {
	if at.IsLoopback() {
		return true
	}
	list, err := hostAddresses()
	return err != nil || slices.Contains(list, at.Unmap().WithZone(""))
}
