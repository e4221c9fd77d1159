package conns

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// serviceSocket is an app's end of a connection to a server.
type serviceSocket struct {
	sockdiag.Connection

	component string
}

// netnsSockets is the connections to servers in one network namespace.
type netnsSockets struct {
	byInode map[uint64]serviceSocket
	unix    bool // those over UNIX sockets were read; /proc/PID/net has TCP alone
	trust   addressTrust
	err     error // why some or all are not known
}

// local returns how many connections over UNIX sockets lead to each configured server; nil
// if that is not known.
func (f *netnsSockets) local() map[string]int {
	if f == nil || f.err != nil || !f.unix {
		return nil
	}
	out := make(map[string]int)
	for _, s := range f.byInode {
		if s.Path != "" && strings.Contains(s.component, ":") {
			out[s.component]++
		}
	}
	return out
}

// socketsOf returns the connections to servers in the namespace of an app: by sock_diag or,
// TCP only and without an error for the others, from /proc/PID/net. If what is read there
// cannot be read, or not all, err of the result is set.
func (c *Sampler) socketsOf(ctx context.Context, h *AppProcesses, services *serviceIndex) *netnsSockets {
	found := &netnsSockets{byInode: make(map[uint64]serviceSocket)}
	n := c.nets.Get(h.Members[0].PID, h.NetNS, 0)
	found.trust = c.nets.trustOf(n)
	ports := services.ports()
	list, err := c.queryKernel(ctx, n, ports)
	if err != nil {
		list, err = c.readNetFiles(n, ports)
		found.err = err
	}
	for _, s := range list {
		if component := services.component(s.Remote); component != "" {
			found.byInode[s.Inode] = serviceSocket{s, component}
		}
	}
	if n.conn == nil {
		return found
	}
	found.unix = true
	local, err := n.conn.UnixConnections(ctx, func(path string) bool { return services.pathComponent(path) != "" })
	if err != nil {
		found.err = cmp.Or(found.err, err)
	}
	for _, s := range local {
		found.byInode[s.Inode] = serviceSocket{s, services.pathComponent(s.Path)}
	}
	return found
}

// queryKernel returns the established TCP connections to any of ports in a namespace, by
// sock_diag. If some were listed, an error of the rest is dropped.
func (c *Sampler) queryKernel(ctx context.Context, n *Namespace, ports []uint16) ([]sockdiag.Connection, error) {
	if err := c.nets.open(n, c.now()); err != nil {
		return nil, err
	}
	list, err := n.conn.Connections(ctx, ports)
	if len(list) > 0 {
		err = nil // one family without the other: the kernel has no such module
	}
	return list, err
}

// readNetFiles returns the TCP connections to any of ports in a namespace, from
// /proc/PID/net; those of one file without an error if the other cannot be read. It is an
// error if the process has left the namespace meanwhile, as one without privileges cannot
// come back to it.
func (c *Sampler) readNetFiles(n *Namespace, ports []uint16) ([]sockdiag.Connection, error) {
	list, err := c.netFiles(n, func(r io.Reader) ([]sockdiag.Connection, error) { return sockdiag.ParseProcNetConnections(r, ports) })
	if len(list) > 0 {
		return list, nil // what one file has, where the other cannot be parsed
	}
	return list, err
}

// localFromFiles returns the TCP connections of a namespace from these local ports, also
// those that one end has closed, from /proc/PID/net. With an error it returns what was read
// until then, which may be nothing.
func (c *Sampler) localFromFiles(n *Namespace, ports []uint16) ([]sockdiag.Connection, error) {
	return c.netFiles(n, func(r io.Reader) ([]sockdiag.Connection, error) { return sockdiag.ParseProcNetLocal(r, ports) })
}

// maxQueryPorts is how many ports one query of the kernel has.
const maxQueryPorts = 256

// atPorts returns the TCP connections of a namespace from these local ports, also those that
// one end has closed. Any error means that some may be missing.
func (c *Sampler) atPorts(ctx context.Context, n *Namespace, ports []uint16) (out []sockdiag.Connection, err error) {
	if n.conn == nil {
		return c.localFromFiles(n, ports)
	}
	for some := range slices.Chunk(ports, maxQueryPorts) {
		list, err := n.conn.AtLocalPorts(ctx, some)
		switch {
		case errors.Is(err, sockdiag.ErrTooMany):
			return nil, err
		case err != nil:
			return c.localFromFiles(n, ports)
		}
		out = append(out, list...)
	}
	return out, nil
}

// netFiles returns what parse returns for net/tcp and net/tcp6 of a namespace; if one of them
// cannot be read, the rest with the error. It is an error, without any, if the process that is
// read has left the namespace.
func (c *Sampler) netFiles(n *Namespace, parse func(io.Reader) ([]sockdiag.Connection, error)) ([]sockdiag.Connection, error) {
	if n.Inode == c.nets.own {
		return parseNetDir("/proc/self", parse)
	}
	fd, err := c.nets.enter(n)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // until then its inode number is not reused
	list, err := parseNetDir(c.r.Path(n.pid, ""), parse)
	if again, moved := c.nets.enter(n); moved != nil {
		return nil, moved
	} else if unix.Close(again) != nil {
		return nil, unix.EBADF
	}
	return list, err
}

// parseNetDir returns what parse returns for net/tcp and net/tcp6 in the directory of one
// process. With an error it returns what was read. A kernel without IPv6 has the first
// file only.
func parseNetDir(dir string, parse func(io.Reader) ([]sockdiag.Connection, error)) ([]sockdiag.Connection, error) {
	var all []sockdiag.Connection
	var errs []error
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			if name == "net/tcp" || !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		list, err := parse(f)
		f.Close()
		all, errs = append(all, list...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// join appends to out the connections of found that the processes of an app hold, each
// with its holder. What is beyond the quota is counted in out.
func (c *Sampler) join(h *AppProcesses, found *netnsSockets, left *quota, out *Sample) {
	holders := make(map[uint64]int) // pid; 0: several
	order := make([]uint64, 0, len(found.byInode))
	for _, m := range h.Members {
		inodes, cut, err := c.socketsHeld(m, found.byInode, left)
		if cut > 0 {
			out.DroppedFDs += uint64(cut)
			out.Errs[h.Name] = procfs.ErrTooManyFDs
		}
		if procfs.Denied(err) {
			out.Errs[h.Name] = err
		}
		for _, ino := range inodes {
			before, shared := holders[ino]
			if !shared {
				order = append(order, ino)
			}
			holders[ino] = h.holder(before, shared, m.PID)
		}
	}
	if found.err != nil && out.Errs[h.Name] == nil {
		out.Errs[h.Name] = found.err
	}
	n := max(0, min(len(order), maxConnections-len(out.List), left.connections))
	out.Dropped += len(order) - n
	left.connections -= n
	for _, ino := range order[:n] {
		s := found.byInode[ino]
		out.List = append(out.List, Connection{App: h.Name, PID: holders[ino], Component: s.component, Local: s.Local, Remote: s.Remote,
			Proven: found.trust.proves(s.Local), Vouched: found.trust.owner != ownerForeign, Inode: ino})
	}
}

// holder returns the holder of a connection that was known to be held by before (if shared)
// and is held by pid too; 0 for several. Of processes that share one, as forks do what their
// master opened, it is the one worker among them; none if two others came before it.
func (h *AppProcesses) holder(before int, shared bool, pid int) int {
	switch {
	case !shared:
		return pid
	case before == 0 || h.Workers[before] == h.Workers[pid]:
		return 0
	case h.Workers[pid]:
		return pid
	default:
		return before
	}
}

// socketsHeld returns the inodes of the wanted sockets that a process holds, each once,
// and how many of its descriptors the quota left unread. There are none, and no error, if
// another process has taken the pid.
func (c *Sampler) socketsHeld(m ProcessKey, wanted map[uint64]serviceSocket, of *quota) (out []uint64, left int, err error) {
	b, err := c.r.Read(m.PID, "stat")
	if err != nil {
		return nil, 0, err
	}
	if st, err := procfs.ParseStat(b); err != nil || st.Start != m.Start {
		return nil, 0, err // another process has taken the pid: it is no app's
	}
	path := c.r.Path(m.PID, "fd")
	if len(wanted) == 0 {
		return nil, 0, procfs.CheckReadable(path)
	}
	list, err := c.r.Entries(path, nil)
	if err != nil {
		return nil, 0, err
	}
	list, left = c.r.BoundFDs(list)
	if over := len(list) - max(of.fds, 0); over > 0 {
		list, left = list[:len(list)-over], left+over
	}
	of.fds -= len(list)
	seen := make(map[uint64]bool)
	for _, e := range list {
		link, err := c.r.FDLink(m.PID, e.N)
		if procfs.Denied(err) { // CAP_DAC_READ_SEARCH alone lists the directory, but reads no link in it
			return nil, 0, err
		}
		if err != nil {
			continue // closed meanwhile
		}
		ino, ok := procfs.ParseSocketLink(link)
		if _, wants := wanted[ino]; ok && wants && !seen[ino] {
			seen[ino] = true
			out = append(out, ino)
		}
	}
	return out, left, nil
}
