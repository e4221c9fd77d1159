package proc

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// holds gives the listening sockets that a process has open. The private ones
// of Python's multiprocessing serve no request.
func (w *Watcher) holds(p *process) []sockdiag.Listener {
	n := w.sockets.of(p)
	var out []sockdiag.Listener
	for ino := range p.fds.sockets {
		if l, ok := n.listeners[ino]; ok && !strings.Contains(l.Path, "/pymp-") {
			out = append(out, l)
		}
	}
	return out
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
		roots[p] = true
	}
	ordered := make([]*process, 0, len(roots))
	for p := range roots {
		ordered = append(ordered, p)
	}
	slices.SortFunc(ordered, oldest)
	for _, a := range w.apps {
		a.roots = slices.DeleteFunc(a.roots, func(p *process) bool { return !roots[p] })
	}
	for _, p := range ordered {
		if p.member == nil || !slices.Contains(p.member.roots, p) {
			w.name(p)
		}
	}
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool {
		return len(a.roots) == 0 && !a.lost.IsZero() && now.Sub(a.lost) > forget
	})
}

func oldest(x, y *process) int {
	return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pid, y.pid))
}

// name gives a new root to the app of its name. If that app still runs, this
// is a second one: it is told apart by where it listens, and known again by
// that when it comes back.
func (w *Watcher) name(p *process) {
	name := cleanName(cmp.Or(p.ident.name, unitOf(w.groups(p.pid)), p.ident.script, "app"))
	where := w.where(p)
	for _, a := range w.apps {
		if len(a.roots) == 0 && a.base == name && a.at == where {
			a.roots = []*process{p}
			return
		}
	}
	for _, try := range []string{name, name + "@" + where, name + "@" + itoa(p.pid)} {
		try = cleanName(try)
		a := w.byName(try)
		if a == nil {
			if len(w.apps) >= maxApps {
				w.leftOut(p)
				return
			}
			a = newApp(try, -1)
			a.base = name
			w.apps = append(w.apps, a)
		}
		if len(a.roots) == 0 {
			a.roots = []*process{p}
			return
		}
	}
}

// leftOut counts a root that is one too many, once.
func (w *Watcher) leftOut(p *process) {
	if !p.over {
		p.over = true
		w.overflow++
	}
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

// findConfigured finds the processes of the configured apps.
func (w *Watcher) findConfigured(now time.Time) {
	for i := range w.matchers {
		m := &w.matchers[i]
		a := w.byName(m.name)
		if a == nil {
			continue
		}
		found := w.matching(a, m, 1<<i, now)
		a.roots = a.roots[:0]
		for _, p := range found {
			if !slices.Contains(found, w.table.procs[p.stat.ppid]) {
				a.roots = append(a.roots, p)
			}
		}
		slices.SortFunc(a.roots, oldest)
	}
}

// matching gives the processes for which all of a match holds; bit is the
// match's in process.match.
func (w *Watcher) matching(a *app, m *matcher, bit uint64, now time.Time) []*process {
	var among []*process
	switch {
	case m.pidFile != "":
		if p := w.table.procs[m.pidOf()]; p != nil {
			among = []*process{p}
		}
	case m.alone():
		return w.holders(a, m, now)
	default:
		among = w.candidates()
	}
	var out []*process
	for _, p := range among {
		if p.match&bit != 0 && w.listens(p, m.listen) {
			out = append(out, p)
		}
	}
	return out
}

// listens tells whether a process listens where the match says; a match that
// says nothing is content.
func (w *Watcher) listens(p *process, want string) bool {
	if want == "" {
		return true
	}
	w.know(p)
	if p.fds.err != nil {
		return slices.ContainsFunc(bindLabels(p.argv), func(l string) bool { return listensOn(want, l) })
	}
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool { return listensOn(want, sockdiag.Label(l)) })
}

// holders looks through all processes for those that hold a listener that is
// all a match names. While its holder lives there is nothing to look for, and
// a search that finds nobody is not repeated for half a minute.
func (w *Watcher) holders(a *app, m *matcher, now time.Time) []*process {
	var alive []*process
	for _, p := range a.roots {
		if w.table.procs[p.pid] == p && w.listens(p, m.listen) {
			alive = append(alive, p)
		}
	}
	if len(alive) > 0 || now.Sub(a.searched) < 30*time.Second && !w.news {
		return alive
	}
	a.searched = now
	for _, p := range w.table.procs {
		if p.stat.ppid == 2 || p.pid == 2 {
			continue
		}
		w.table.readDescriptors(p)
		if w.listens(p, m.listen) {
			alive = append(alive, p)
		}
	}
	return alive
}

// know reads the descriptors of a process if that was never done.
func (w *Watcher) know(p *process) {
	if !p.fds.known {
		w.table.readDescriptors(p)
	}
}

// serving gives the processes that answer the requests of one root: its
// children that hold its listening sockets; a server without such children
// answers itself, unless it is one that always forks.
func (w *Watcher) serving(root *process) []*process {
	var out []*process
	for _, kid := range w.table.kids[root.pid] {
		w.know(kid)
		switch {
		case kid.ident.aux, kid.stat.state == 'Z':
		case w.successor(root, kid):
			out = append(out, w.serving(kid)...)
		case kid.ident.worker, w.works(root, kid):
			out = append(out, kid)
		}
	}
	if root.ident.server == UWSGI {
		out = w.withoutRouters(out)
		if len(out) > 0 && w.servesToo(root) {
			out = append(out, root)
		}
	}
	if len(out) == 0 && root.ident.server != Gunicorn && !root.ident.master {
		out = append(out, root)
	}
	return out
}

func (w *Watcher) works(root, kid *process) bool {
	if kid.fds.err != nil || root.fds.err != nil {
		return kid.ident.server == root.ident.server && root.ident.known()
	}
	return w.share(kid, root)
}

// successor tells whether a gunicorn child is the new master of an upgrade
// (USR2): it was started by exec with the old one's pid in its environment,
// which a worker, being a mere fork, is not.
func (w *Watcher) successor(root, kid *process) bool {
	if root.ident.server != Gunicorn || kid.ident.worker {
		return false
	}
	if kid.ident.master {
		return true
	}
	if len(w.table.kids[kid.pid]) == 0 {
		return false
	}
	if kid.heir == nil {
		is := w.table.variable(kid.pid, "GUNICORN_PID") == itoa(root.pid)
		kid.heir = &is
	}
	return *kid.heir
}

// withoutRouters leaves out uWSGI's gateways. They are forks of the same
// program with the same command line, but each holds other sockets, and waits
// for up to 64 events at once where a worker waits for one.
func (w *Watcher) withoutRouters(kids []*process) []*process {
	if len(kids) < 2 {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *process) bool {
		if !p.router && slices.ContainsFunc(kids, func(q *process) bool { return !w.share(p, q) }) {
			if b, err := w.r.pid(p.pid, "syscall"); err == nil {
				k, err := parseSyscall(b)
				p.router = err == nil && k.nr == sysEpollWait && k.args[2] > 1
			}
		}
		return p.router
	})
}

// servesToo tells whether a uWSGI process that has workers below it is no
// master but a worker itself, as it is without --master: then it waits for
// connections too. Once seen it is known.
func (w *Watcher) servesToo(root *process) bool {
	if root.first || root.ident.master {
		return root.first
	}
	if b, err := w.r.pid(root.pid, "syscall"); err == nil {
		if k, err := parseSyscall(b); err == nil {
			var listening []int
			for _, l := range w.holds(root) {
				listening = append(listening, root.fds.sockets[l.Inode]...)
			}
			root.first = w.caller.waitsForConnection(root, k, listening)
		}
	}
	return root.first
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
