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

// maxListeners is how many listening sockets of one process are kept.
const maxListeners = 1024

// listenersOf returns the listening sockets that a process has open, by inode, without those for
// control, by path or command line; at most 1,024, until the next scan. nil also if not read.
func (w *Watcher) listenersOf(p *table.Process) []sockdiag.Listener {
	d := p.Descriptors
	if d != nil && d.Held.Scan == w.scanNumber+1 {
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
	d.Held = table.HeldListeners{Scan: w.scanNumber + 1, List: out[:min(len(out), maxListeners)], Dirty: dirty}
	return d.Held.List
}

// shareListener reports whether two processes have a listening socket, other than for control, in
// common, as a server and its forks do; false also if the descriptors of one are not known.
func (w *Watcher) shareListener(p, q *table.Process) bool {
	return slices.ContainsFunc(w.listenersOf(p), func(l sockdiag.Listener) bool {
		_, ok := q.FDs().Sockets[l.Inode]
		return ok
	})
}

// mayServe reports whether a process may be part of an app that listens: it has a listening socket,
// other than for control, open. If its descriptors may not be read, it must run a known server, not an
// auxiliary process, and be older than minUnseenAge; false if they cannot be read for another reason.
func (w *Watcher) mayServe(p *table.Process) bool {
	if p.FDs().Err != nil {
		return procfs.Denied(p.FDs().Err) && p.Program.Known() && !p.Program.Aux && w.scanTime.Sub(w.table.StartTime(p)) > minUnseenAge
	}
	return len(w.listenersOf(p)) > 0
}

// minUnseenAge is how old a server must be whose sockets may not be read: one
// that only prints its version has ended by then.
const minUnseenAge = 3 * time.Second

// netOf returns the network namespace of a process by [conns.Namespaces.Get], and sets its number in p.NetNS.
func (w *Watcher) netOf(p *table.Process) *conns.Namespace {
	n := w.namespaces.Get(p.PID, p.NetNS, p.Owner.Account)
	p.NetNS = n.Inode
	return n
}

// bindOf returns where a process listens, by those of its listeners that a child holds too, else by
// all, as the text of an app's identity; "" if there is none or it may change, see naming.StableBind.
func (w *Watcher) bindOf(p *table.Process) string {
	held := w.listenersOf(p)
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
	return naming.StableBind(p, mine)
}
