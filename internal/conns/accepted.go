package conns

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// AppListeners is an app as far as the sockets of others are told by it.
type AppListeners struct {
	Name      string
	Up        bool
	Namespace *Namespace
	Listeners []sockdiag.Listener
}

// Scan is one look at the host: its number, and the apps at that time.
type Scan struct {
	Number uint64
	Apps   []AppListeners
}

const (
	// acceptedShare is the part of one core that asking for accepted connections
	// may use: after a question that took t of processor time there is none for
	// 100 t, at most acceptedPause.
	acceptedShare = 100
	acceptedPause = time.Second
	// acceptedOverdraft is how much of that pause may be left when a socket has
	// appeared of which only a question can tell what it is. The pause after that
	// question begins when the one before it would have ended.
	acceptedOverdraft = 2 * time.Second
)

// Accepted are the connections that were accepted from the listeners of
// the apps of one network namespace.
type Accepted struct {
	ByInode   map[uint64]sockdiag.Accepted
	Listening map[uint64]bool // inodes of listeners
	scan      uint64          // the look that asked, plus 1
	Fresh     bool            // asked in this look
	next      time.Time       // not before: by the clock, not by the look
}

// pause returns the end of the pause after the question; zero: none was asked.
func (f *Accepted) pause() time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.next
}

// Accepted returns the accepted connections of a namespace. It asks the kernel
// at most once a look; nil: the kernel does not answer. lacks reports whether a
// list of an earlier look lacks something that the caller needs.
func (n *Namespace) Accepted(ctx context.Context, at Scan, lacks func(*Accepted) bool) *Accepted {
	old := n.lastAccepted
	if old != nil && old.scan == at.Number+1 {
		return old
	}
	if n.conn == nil {
		return nil
	}
	if left := time.Until(old.pause()); left > acceptedOverdraft || left > 0 && !lacks(old) {
		old.Fresh = false
		return old
	}
	runtime.LockOSThread() // the kernel's work is charged to the thread that asks
	defer runtime.UnlockOSThread()
	began := procfs.ThreadTime()
	ports, paths := at.served(n)
	found := &Accepted{scan: at.Number + 1, Fresh: true, ByInode: make(map[uint64]sockdiag.Accepted), Listening: make(map[uint64]bool)}
	n.lastAccepted = nil
	list, err := n.conn.Accepted(ctx, ports)
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: the kernel has no such module
		return nil
	}
	if len(paths) > 0 {
		local, err := n.conn.UnixAccepted(ctx, func(path string) bool { return slices.Contains(paths, path) })
		if err != nil {
			return nil
		}
		list = append(list, local...)
	}
	for _, a := range list {
		found.ByInode[a.Inode] = a
	}
	for ino := range n.Listeners {
		found.Listening[ino] = true
	}
	found.next = time.Now()
	if old.pause().After(found.next) {
		found.next = old.next
	}
	found.next = found.next.Add(min(acceptedShare*(procfs.ThreadTime()-began), acceptedPause))
	n.lastAccepted = found
	return found
}

// served returns the ports and the paths at which the apps of a namespace listen.
func (at Scan) served(n *Namespace) (ports []uint16, paths []string) {
	for i := range at.Apps {
		a := &at.Apps[i]
		if a.Namespace != n {
			continue
		}
		for i := range a.Listeners {
			if l := &a.Listeners[i]; l.Network == sockdiag.Unix {
				paths = append(paths, l.Path)
			} else if !slices.Contains(ports, l.Addr.Port()) {
				ports = append(ports, l.Addr.Port())
			}
		}
	}
	return ports, paths
}
