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

// ConnectionsNow reads now the proven TCP connections of these apps to the servers whose
// component is wanted; without a name, those of all apps.
func (from *Sampler) ConnectionsNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*Sample, error) {
	from.directMu.Lock()
	defer from.directMu.Unlock()
	from.mu.Lock()
	houses, places := from.apps, from.services
	from.mu.Unlock()
	if from.directOf != places { // the configuration's servers are others now
		from.directOf, from.directServices = places, newServiceIndex(places.services)
	}
	s := NewSampler(from.r.Root, time.Hour, from.log)
	defer s.nets.Close()
	from.directServices.resolve(ctx, s.now())
	out := &Sample{Taken: s.now(), Errs: make(map[string]error)}
	byNet := make(map[uint64]*netnsSockets)
	spent := make(map[procfs.Account]*quota)
	for i := range houses {
		h := &houses[i]
		if len(apps) > 0 && !slices.Contains(apps, h.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if byNet[h.NetNS] == nil {
			byNet[h.NetNS] = s.socketsOf(ctx, h, from.directServices)
			byNet[h.NetNS].keep(wanted)
		}
		if spent[h.Owner] == nil {
			spent[h.Owner] = newQuota(h.Owner)
		}
		s.join(h, byNet[h.NetNS], spent[h.Owner], out)
	}
	if err := ctx.Err(); err != nil {
		return nil, err // the look may be cut short
	}
	if out.Dropped > 0 {
		return nil, fmt.Errorf("the apps have more than %d connections to stores", maxConnections)
	}
	return out, nil
}

// keep drops what is not proven, and connections to other places.
func (f *netnsSockets) keep(wanted func(component string) bool) {
	maps.DeleteFunc(f.byInode, func(_ uint64, s serviceSocket) bool {
		return !f.trust.proves(s.Local) || !wanted(s.component)
	})
}

// ProcessConnections is what a process holds of connections to one server.
type ProcessConnections struct {
	List   []sockdiag.Connection // those whose ends prove something
	OurNet bool                  // the process is in our own network namespace

	Unproven int // connections that were left out: their namespace may have any addresses
}

// Endpoints are the places at which a server may be reached.
type Endpoints struct {
	Ports []uint16 // at most 256
	Paths []string // of UNIX sockets
}

// ConnectionsOf reads the established connections of a process to a remote port or a
// UNIX socket of a server. It needs the right to read the descriptors of the
// process. A process with more than 65,536 descriptors is an error. In a network
// namespace that another user namespace owns no connection proves anything, and
// in one that ours owns none from a loopback or from an address of this host.
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

// IsOwnAddress reports whether an address is one of the loopback's or of this
// host's interfaces, in our network namespace, or may be, where these cannot be
// read.
func IsOwnAddress(at netip.Addr) bool {
	if at.IsLoopback() {
		return true
	}
	list, err := hostAddresses()
	return err != nil || slices.Contains(list, at.Unmap().WithZone(""))
}
