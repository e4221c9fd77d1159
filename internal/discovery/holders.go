package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/listeners"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// maxListeners bounds the listening sockets of one process.
const maxListeners = 1024

// holds returns the listening sockets that a process has open, in the order of
// their inodes, without those that are known to take no requests.
func (w *Watcher) holds(p *table.Process) []sockdiag.Listener {
	d := p.Opened
	if d != nil && d.Held.Look == w.look+1 {
		return d.Held.List
	}
	n := w.netOf(p)
	if d == nil {
		return nil
	}
	out, dirty := d.Held.List[:0], false
	for ino := range d.Sockets {
		l, ok := n.Listeners[ino]
		switch {
		case !ok:
		case listeners.Internal(l.Path) || listeners.IsControl(p, l):
			dirty = dirty || strings.Contains(l.Path, listeners.DirtySocket)
		default:
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y sockdiag.Listener) int { return cmp.Compare(x.Inode, y.Inode) })
	d.Held = table.Holding{Look: w.look + 1, List: out[:min(len(out), maxListeners)], Dirty: dirty}
	return d.Held.List
}

// share reports whether two processes have a listening socket in common, as a
// server and its forks do.
func (w *Watcher) share(p, q *table.Process) bool {
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool {
		_, ok := q.FDs().Sockets[l.Inode]
		return ok
	})
}

// serves reports whether a process could be part of an app that listens: it
// holds a listening socket, or we may not look and its command line says so.
func (w *Watcher) serves(p *table.Process) bool {
	if p.FDs().Err != nil {
		return procfs.Denied(p.FDs().Err) && p.Program.Known() && !p.Program.Aux && w.at.Sub(w.table.StartTime(p)) > unseenAge
	}
	return len(w.holds(p)) > 0
}

// unseenAge is how old a server must be whose sockets we may not see: one that
// only prints its version is gone by then.
const unseenAge = 3 * time.Second

// netOf returns the network namespace of a process, and notes it.
func (w *Watcher) netOf(p *table.Process) *conns.Namespace {
	n := w.sockets.Get(p.PID, p.NetNS, p.Owner.Account)
	p.NetNS = n.Inode
	return n
}

// where returns where a process listens for good, by the first of its labels.
func (w *Watcher) where(p *table.Process) string {
	held := w.holds(p)
	mine := held
	if len(held) > 1 { // a control socket is the master's alone
		for _, kid := range w.table.Children[p.PID] {
			w.table.ReadOnce(kid)
			if common := slices.DeleteFunc(slices.Clone(held), func(l sockdiag.Listener) bool { return !kid.Holds(l) }); len(common) > 0 {
				mine = common
				break
			}
		}
	}
	return naming.LastingBind(p, mine)
}
