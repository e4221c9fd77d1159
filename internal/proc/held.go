package proc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// HeldNow reads now the proven TCP connections of these apps to the servers whose
// component is wanted, for an action that is about to end some; without a name,
// those of all apps. It waits for the kernel, and is not for a scrape. Why the
// connections of an app are not known, or not all of them, is in
// [Connections.Errs]. Connections to other places count for no bound: any user
// can have any number of them.
func (w *Watcher) HeldNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*Connections, error) {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil, err
	}
	w.heldMu.Lock()
	defer w.heldMu.Unlock()
	from := w.connections
	from.mu.Lock()
	houses, places := from.houses, from.places
	from.mu.Unlock()
	if w.heldOf != places { // the configuration's servers are others now
		w.heldOf, w.heldPlaces = places, newDirectory(places.services)
	}
	s := newConnectionSampler(from.r.root, time.Hour, from.log)
	defer s.nets.close()
	w.heldPlaces.resolve(ctx, s.now())
	out := &Connections{Taken: s.now(), Errs: make(map[string]error)}
	byNet := make(map[uint64]*foundSockets)
	spent := make(map[account]*share)
	for i := range houses {
		h := &houses[i]
		if len(apps) > 0 && !slices.Contains(apps, h.name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if byNet[h.net] == nil {
			byNet[h.net] = s.socketsOf(ctx, h, w.heldPlaces)
			byNet[h.net].keep(wanted)
		}
		if spent[h.owner] == nil {
			spent[h.owner] = newShare(h.owner)
		}
		s.join(h, byNet[h.net], spent[h.owner], out)
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
func (f *foundSockets) keep(wanted func(component string) bool) {
	maps.DeleteFunc(f.byInode, func(_ uint64, s storeSocket) bool {
		return !f.proof.proves(s.Local) || !wanted(s.component)
	})
}

// Held is what a process holds of connections to one server.
type Held struct {
	List   []sockdiag.Connection // those whose ends prove something
	OurNet bool                  // the process is in our own network namespace

	Unproven int // connections that were left out: their namespace may have any addresses
}

// Endpoints are the places at which a server may be reached.
type Endpoints struct {
	Ports []uint16 // at most 256
	Paths []string // of UNIX sockets
}

// HeldBy reads the established connections of a process to a remote port or a
// UNIX socket of a server. It needs the right to read the descriptors of the
// process. A process with more than 65,536 descriptors is an error. In a network
// namespace that another user namespace owns no connection proves anything, and
// in one that ours owns none from a loopback or from an address of this host.
func HeldBy(ctx context.Context, root string, pid int, at Endpoints) (Held, error) {
	c := &connectionSampler{r: newReader(root), now: time.Now}
	c.nets = newSockets(c.r)
	defer c.nets.close()
	var st unix.Stat_t
	if err := unix.Stat(c.r.path(pid, "ns/net"), &st); err != nil {
		return Held{}, &os.PathError{Op: "stat", Path: c.r.path(pid, "ns/net"), Err: err}
	}
	n := c.nets.of(&process{pid: pid, netns: st.Ino})
	list, err := c.connected(ctx, n, at.Ports)
	if err != nil {
		list, err = c.fromProc(n, at.Ports)
	}
	if len(at.Paths) > 0 && n.conn != nil {
		local, unixErr := n.conn.UnixConnections(ctx, func(p string) bool { return slices.Contains(at.Paths, p) })
		list, err = append(list, local...), errors.Join(err, unixErr)
	}
	if err != nil && len(list) == 0 {
		return Held{}, err
	}
	inodes, err := c.r.sockets(pid)
	if err != nil {
		return Held{}, err
	}
	list = slices.DeleteFunc(list, func(s sockdiag.Connection) bool { return !inodes[s.Inode] })
	held, p := len(list), c.nets.proof(n)
	list = slices.DeleteFunc(list, func(s sockdiag.Connection) bool {
		return p.standing == strange || s.Path == "" && !p.proves(s.Local)
	})
	return Held{List: list, OurNet: p.standing == ours, Unproven: held - len(list)}, nil
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

// sockets reads the inodes of the sockets that a process holds, all of them or
// an error.
func (r *reader) sockets(pid int) (map[uint64]bool, error) {
	list, err := r.entries(r.path(pid, "fd"), nil)
	if err != nil {
		return nil, err
	}
	list, left := r.lookedAt(list)
	if left > 0 {
		return nil, errDescriptors // what is not looked at may be the one
	}
	held := make(map[uint64]bool)
	for _, e := range list {
		link, err := r.link(pid, "fd/"+itoa(e.n))
		if err != nil {
			continue // it was closed
		}
		if ino, ok := parseSocket(link); ok {
			held[ino] = true
		}
	}
	return held, nil
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
