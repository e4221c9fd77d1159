package proc

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// holding is the listening sockets that a process has open, as of one look.
type holding struct {
	look uint64 // its number plus 1
	list []sockdiag.Listener
}

// maxListeners bounds the listening sockets of one process.
const maxListeners = 1024

// holds returns the listening sockets that a process has open, in the order of
// their inodes. The private ones of Python's multiprocessing serve no request.
func (w *Watcher) holds(p *process) []sockdiag.Listener {
	if p.held.look == w.look+1 {
		return p.held.list
	}
	n := w.sockets.of(p)
	out := p.held.list[:0]
	for ino := range p.fds.sockets {
		if l, ok := n.listeners[ino]; ok && !strings.Contains(l.Path, "/pymp-") {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y sockdiag.Listener) int { return cmp.Compare(x.Inode, y.Inode) })
	p.held = holding{look: w.look + 1, list: out[:min(len(out), maxListeners)]}
	return p.held.list
}

// share tells whether two processes have a listening socket in common, as a
// server and its forks do.
func (w *Watcher) share(p, q *process) bool {
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool {
		_, ok := q.fds.sockets[l.Inode]
		return ok
	})
}

// serves tells whether a process could be part of an app that listens: it
// holds a listening socket, or we may not look and its command line says so.
func (w *Watcher) serves(p *process) bool {
	if p.fds.err != nil {
		return denied(p.fds.err) && p.ident.known() && !p.ident.aux && w.at.Sub(w.table.started(p)) > unseenAge
	}
	return len(w.holds(p)) > 0
}

// unseenAge is how old a server must be whose sockets we may not see: one that
// only prints its version is gone by then.
const unseenAge = 3 * time.Second

// above gives the parent of p if it belongs to the same app. A known server
// does not belong to a script that started it.
func (w *Watcher) above(p *process) *process {
	q := w.table.procs[p.stat.ppid]
	if q == nil || !w.candidate(q) || p.ident.known() && !q.ident.known() {
		return nil
	}
	if p.fds.err != nil || q.fds.err != nil {
		if p.ident.server == q.ident.server {
			return q
		}
		return nil
	}
	if w.share(p, q) {
		return q
	}
	return nil
}

// undecided reports whether the parent of p may turn out to be its master once
// its turn to be read has come.
func (w *Watcher) undecided(p *process) bool {
	q := w.table.procs[p.stat.ppid]
	if q == nil {
		_, late := w.table.late[p.stat.ppid]
		return late
	}
	return w.candidate(q) && !q.fds.known
}

// discover finds the apps of a host without a configuration: every tree of
// processes that listens and runs a known Python server.
func (w *Watcher) discover(now time.Time) {
	roots := make(map[*process]bool)
	for _, p := range w.candidates() {
		if !w.serves(p) {
			continue
		}
		for q := w.above(p); q != nil; q = w.above(p) {
			p = q
		}
		if !w.undecided(p) {
			roots[p] = true
		}
	}
	for _, a := range w.apps {
		a.roots = slices.DeleteFunc(a.roots, func(p *process) bool { return !roots[p] })
	}
	var unplaced []*process
	for p := range roots {
		if p.member == nil || !slices.Contains(p.member.roots, p) {
			unplaced = append(unplaced, p)
		}
	}
	w.admit(unplaced, now)
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool {
		return len(a.roots) == 0 && !a.lost.IsZero() && (now.Sub(a.lost) > forget || !a.established && now.Sub(a.lost) > forgetYoung) && w.reserve(a, now)
	})
}

func oldest(x, y *process) int {
	return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pid, y.pid))
}

// where names the first of a process' listeners.
func (w *Watcher) where(p *process) string {
	var labels []string
	for _, l := range w.holds(p) {
		labels = append(labels, sockdiag.Label(l))
	}
	if len(labels) == 0 {
		return itoa(p.pid)
	}
	return slices.Min(labels)
}

// know reads the descriptors of a process if that was never done, and its
// account's allowance permits.
func (w *Watcher) know(p *process) {
	if !p.fds.known {
		w.table.readWithin(p)
	}
}

// fileLimit is a process' limit of open files, read once a minute.
type fileLimit struct {
	max  uint64 // 0: unlimited or unknown
	read time.Time
}

func (w *Watcher) maxFiles(p *process, now time.Time) uint64 {
	if now.Sub(p.files.read) > time.Minute {
		p.files = fileLimit{read: now}
		if b, err := w.r.pid(p.pid, "limits"); err == nil {
			p.files.max, _ = parseMaxFiles(b)
		}
	}
	return p.files.max
}

// bootTime is the time of the host's boot, to which the start times in
// /proc/PID/stat are relative.
func bootTime() (time.Time, error) {
	var now, up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return time.Time{}, err
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, now.Nano()-up.Nano()), nil
}
