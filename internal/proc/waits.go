package proc

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The values of [Wait.On] beside those of a socket: OnMySQL, OnRedis, OnUpstream,
// OnClient and OnOther.
const (
	OnLock  = "lock"
	OnDisk  = "disk"
	OnSleep = "sleep"
	OnChild = "child"
	OnCPU   = "cpu"
)

// Wait is what a worker waits for.
type Wait struct {
	On string // one of the values above
	// Peer is who has to answer: "mysql:main" for a configured server, "app:NAME"
	// for another watched app on this host, else an address, or the path of a UNIX
	// socket, followed by the kind of server in brackets where that is known; ""
	// where it is not known, or not one.
	Peer string
	Call time.Duration // how long the thread has been in this one call, at least
}

const (
	// waitAfter is how long a worker is in one request until what it waits for is read.
	waitAfter = time.Second
	// cpuShare is how much of the time a worker that computes has run, or been
	// ready to run on a busy host.
	cpuShare = 0.5
	// maxWaitFDs bounds the descriptors of one call that are looked at.
	maxWaitFDs = 64
)

// unnamed is a wait for sockets whose other ends are still to be read.
type unnamed struct {
	wait    *Wait
	app     *app
	sockets []waitSocket
}

// waitOf returns what a worker waits for that has been busy or stuck for a
// while; nil: it has not. Peers are set by [Watcher.namePeers].
func (w *Watcher) waitOf(a *app, p *process, s *stateTracker, l *look, x *Worker, now time.Time) *Wait {
	if x.State != Busy && x.State != Stuck || x.For < waitAfter {
		return nil
	}
	k := l.speaker(p.ident.threads)
	if k == nil {
		return &Wait{On: OnOther}
	}
	wait := &Wait{On: OnOther, Call: now.Sub(k.since)}
	computes := l.share() >= cpuShare
	switch {
	case k.call.running && computes:
		wait.On = OnCPU
		return wait
	case k.call.running, computes && locks(k.call.nr) && wait.Call == 0: // it waits for the interpreter's lock, in turns
		return wait
	}
	if wait.On = plainWait(k.call.nr); wait.On != OnOther {
		return wait
	}
	if !w.table.costs.take(a.owner, costLink, 2) {
		w.table.unread++
		return wait
	}
	var sockets []waitSocket
	if wait.On, sockets = w.caller.waitsFor(p, k, a.owner); len(sockets) > 0 {
		for i := range sockets {
			sockets[i].accepted = s.kinds[sockets[i].inode] == kindAccepted
		}
		w.unnamed = append(w.unnamed, unnamed{wait, a, sockets})
	}
	return wait
}

// speaker returns the thread that stands for a worker that is busy: the main one
// if it works, else the one that is longest in its call; nil: none works.
//
// A thread of a pool that has no work waits for a lock, and so does one that
// waits for another. Threads in a lock count only if more requests are in hand
// than the other threads work on. The main thread of uWSGI is one of its pool.
func (l *look) speaker(threads int) *thread {
	all := l.workingThreads()
	moving := slices.DeleteFunc(slices.Clone(all), func(k *thread) bool { return locks(k.call.nr) })
	pooled := l.server == UWSGI && threads > 1
	switch {
	case len(all) == 0:
		return nil
	case !pooled && slices.Contains(moving, &l.main):
		return &l.main
	case len(moving) > 0 && l.hands.n <= len(moving):
		all = moving
	case !pooled && all[0] == &l.main && len(moving) == 0:
		return &l.main
	}
	return slices.MinFunc(all, func(x, y *thread) int {
		switch d := x.since.Compare(y.since); {
		case d != 0, locks(x.call.nr) == locks(y.call.nr):
			return d
		case locks(x.call.nr): // it may wait for the other one
			return 1
		default:
			return -1
		}
	})
}

// share returns for how much of the time lately the threads have run, or been
// ready to run, together.
func (l *look) share() float64 {
	n := l.main.share
	for i := range l.others {
		n += l.others[i].share
	}
	return n
}

// workingThreads returns the threads that neither wait for a connection nor
// rest, the main one first.
func (l *look) workingThreads() []*thread {
	var out []*thread
	for _, k := range append([]*thread{&l.main}, pointers(l.others)...) {
		if !k.waits && !k.rests {
			out = append(out, k)
		}
	}
	return out
}

func pointers(list []thread) []*thread {
	out := make([]*thread, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// plainWait returns what a system call waits for whatever its arguments are;
// OnOther: that depends on them, or it is none of these.
func plainWait(nr int) string {
	switch nr {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP:
		return OnSleep
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return OnChild
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_OPENAT:
		return OnDisk
	}
	if locks(nr) {
		return OnLock
	}
	return OnOther
}

// waitsFor returns what a thread waits for in a call on descriptors: a kind, or
// the sockets whose other ends decide. What a thread that has gone on meanwhile
// waits for is not known.
func (c *caller) waitsFor(p *process, k *thread, owner account) (on string, sockets []waitSocket) {
	if path := c.calls.connecting(p.pid, k.call); path != "" {
		return OnOther, []waitSocket{{path: path}}
	}
	fds, known := c.calls.descriptors(p.pid, k.call)
	switch {
	case known && len(fds) == 0:
		return OnSleep, nil
	case len(fds) > maxWaitFDs:
		c.t.left += uint64(len(fds) - maxWaitFDs)
		return OnOther, nil
	}
	c.t.costs.spend(owner, costLink, len(fds))
	file := false
	for _, fd := range fds {
		link, err := c.t.r.fdLink(p.pid, fd)
		if err != nil {
			return OnOther, nil
		}
		if inode, ok := parseSocket(link); ok {
			sockets = append(sockets, waitSocket{inode: inode})
		}
		file = file || strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "/dev/")
	}
	state, same := c.still(p, k)
	switch {
	case !same:
		return OnOther, nil
	case state == 'D' && len(sockets) == 0, file && len(fds) == 1 && c.calls.offset(p.pid, fds[0]) > 0:
		return OnDisk, nil // what has a path and no offset may be a pipe
	}
	return OnOther, sockets
}

// still returns the state of a thread (proc_pid_stat(5)), and whether it is in
// the same call as when it was looked at.
func (c *caller) still(p *process, k *thread) (state byte, same bool) {
	dir := "task/" + strconv.Itoa(k.tid) + "/"
	b, err := c.t.r.pid(p.pid, dir+"stat")
	if err != nil {
		return 0, false
	}
	st, err := parseStat(b)
	if err != nil {
		return 0, false
	}
	if b, err = c.t.r.pid(p.pid, dir+"syscall"); err != nil {
		return 0, false
	}
	again, err := parseSyscall(b)
	return st.state, err == nil && again == k.call
}

// forgetUnnamed drops the waits that are still to be named.
func (w *Watcher) forgetUnnamed() {
	clear(w.unnamed)
	w.unnamed = w.unnamed[:0]
}

// namePeers sets what the waits of this look for sockets are for.
func (w *Watcher) namePeers(ctx context.Context) {
	at := w.peerLook()
	waits := make([]socketWait, 0, len(w.unnamed))
	for i := range w.unnamed {
		u := &w.unnamed[i]
		j := slices.IndexFunc(at.apps, func(a peerApp) bool { return a.name == u.app.name })
		waits = append(waits, socketWait{app: &at.apps[j], sockets: u.sockets})
	}
	w.sockets.namePeers(ctx, at, waits, w.connections)
	for i := range waits {
		w.unnamed[i].wait.On, w.unnamed[i].wait.Peer = waits[i].on, waits[i].peer
	}
	w.forgetUnnamed()
}

// peerLook returns the apps of this look as far as sockets are told by them.
func (w *Watcher) peerLook() peerLook {
	if w.peersOf != w.look+1 {
		w.peersOf, w.peerApps = w.look+1, w.peerApps[:0]
		for _, a := range w.apps {
			w.peerApps = append(w.peerApps, peerApp{name: a.name, up: len(a.roots) > 0, net: a.net, listeners: a.sockets})
		}
	}
	return peerLook{number: w.look, apps: w.peerApps}
}
