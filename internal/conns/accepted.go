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

// AppListeners is the listening sockets of one app, by which the sockets of
// others are named.
type AppListeners struct {
	Name      string
	Up        bool
	Namespace *Namespace
	Listeners []sockdiag.Listener
}

// Scan is the apps at the time of one scan of the host. Numbers of scans grow.
type Scan struct {
	Number uint64
	Apps   []AppListeners
}

const (
	// acceptedShare is the divisor of the part of one core that queries for
	// accepted connections may use: a query of CPU time t is followed by a pause
	// of 100 t, at most acceptedPause.
	acceptedShare = 100
	acceptedPause = time.Second
	// acceptedOverdraft is how much of that pause may be left when a socket has
	// appeared that only a query can classify. The pause after that query begins
	// when the one before would have ended.
	acceptedOverdraft = 2 * time.Second
)

// Accepted is the connections that were accepted from the listeners of the apps
// in one network namespace.
type Accepted struct {
	ByInode   map[uint64]sockdiag.Accepted
	Listening map[uint64]bool // inodes of listeners
	scan      uint64          // the number of the scan of the query, plus 1
	Fresh     bool            // queried in this scan
	next      time.Time       // no query before: by the clock, not by the time of the scan
}

// pause returns when the kernel may be queried again after this query; the zero time if
// at once.
func (f *Accepted) pause() time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.next
}

// Accepted returns the accepted connections of a namespace; nil if the kernel cannot be
// queried or does not answer. After an answer it queries at most once a scan, and not within
// a pause that grows with the CPU time of the queries: until then it returns that answer, not
// Fresh. lacks reports whether that lacks what the caller needs, which shortens the pause.
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
	runtime.LockOSThread() // the kernel's work is charged to the calling thread
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

// served returns the ports, each once, and the socket paths at which the apps of a
// namespace listen.
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
