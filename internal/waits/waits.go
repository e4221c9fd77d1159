package waits

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
)

const (
	// waitAfter is how long a worker is in one request until what it waits for is
	// read.
	waitAfter = time.Second
	// computesShare is the part of the time that a worker that computes has run,
	// or been ready to run on a busy host.
	computesShare = 0.5
	// maxWaitFDs is how many descriptors of one call are read.
	maxWaitFDs = 64
)

// unresolvedWait is a wait for sockets whose other ends are not named yet.
type unresolvedWait struct {
	wait    *discovery.Wait
	app     string // by name
	sockets []conns.WaitSocket
}

// waitOf returns what a worker waits for that has been busy or stuck for at least a
// second, with OnOther if that is not known; nil for any other worker. [Inspector.Finish]
// names the peers.
func (w *Inspector) waitOf(a *discovery.InspectedApp, p *table.Process, s *tracker, l *sample, x *discovery.Worker, now time.Time) *discovery.Wait {
	if x.State != discovery.Busy && x.State != discovery.Stuck || x.For < waitAfter {
		return nil
	}
	k := l.representative(p.Program.Threads)
	if k == nil {
		return &discovery.Wait{On: conns.OnOther}
	}
	wait := &discovery.Wait{On: conns.OnOther, Call: now.Sub(k.since)}
	computes := l.cpuShare() >= computesShare
	switch {
	case k.call.Running && computes:
		wait.On = discovery.OnCPU
		return wait
	case k.call.Running, computes && isLock(k.call.NR) && wait.Call == 0: // it waits for the interpreter's lock, in turns
		return wait
	}
	if wait.On = waitOfSyscall(k.call.NR); wait.On != conns.OnOther {
		return wait
	}
	if !w.table.Budget.TrySpend(a.Owner, table.CostLink, 2) {
		w.table.SkippedProcesses++
		return wait
	}
	var sockets []conns.WaitSocket
	if wait.On, sockets = w.threads.waitFor(p, k, a.Owner); len(sockets) > 0 {
		for i := range sockets {
			sockets[i].Accepted = s.sockets[sockets[i].Inode] == socketAccepted
		}
		w.unresolved = append(w.unresolved, unresolvedWait{wait, a.Name, sockets})
	}
	return wait
}

// representative returns the thread that stands for a busy worker; nil if none works. It is
// the main one if that works (not for uWSGI with several threads), else the one that is
// longest in its call. Threads in a lock count only if more requests are in flight than the
// others work on: a pool's idle threads wait for a lock, too.
func (l *sample) representative(threads int) *thread {
	all := l.workingThreads()
	moving := slices.DeleteFunc(slices.Clone(all), func(k *thread) bool { return isLock(k.call.NR) })
	pooled := l.server == cmdline.UWSGI && threads > 1
	switch {
	case len(all) == 0:
		return nil
	case !pooled && slices.Contains(moving, &l.main):
		return &l.main
	case len(moving) > 0 && l.inflight.n <= len(moving):
		all = moving
	case !pooled && all[0] == &l.main && len(moving) == 0:
		return &l.main
	}
	return slices.MinFunc(all, func(x, y *thread) int {
		switch d := x.since.Compare(y.since); {
		case d != 0, isLock(x.call.NR) == isLock(y.call.NR):
			return d
		case isLock(x.call.NR): // it may wait for the other one
			return 1
		default:
			return -1
		}
	})
}

// cpuShare returns the part of the last time in which the threads ran or were ready to
// run, summed up; more than 1 for several busy ones.
func (l *sample) cpuShare() float64 {
	n := l.main.share
	for i := range l.others {
		n += l.others[i].share
	}
	return n
}

// workingThreads returns the threads that neither wait for a connection nor are parked,
// the main one first; nil if there is none.
func (l *sample) workingThreads() []*thread {
	var out []*thread
	for _, k := range append([]*thread{&l.main}, pointersTo(l.others)...) {
		if !k.accepts && !k.parked {
			out = append(out, k)
		}
	}
	return out
}

// pointersTo returns a pointer to each thread.
func pointersTo(list []thread) []*thread {
	out := make([]*thread, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// waitOfSyscall returns what a system call waits for if its number alone tells that; else
// OnOther.
func waitOfSyscall(nr int) string {
	switch nr {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP:
		return discovery.OnSleep
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return discovery.OnChild
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_OPENAT:
		return discovery.OnDisk
	}
	if isLock(nr) {
		return discovery.OnLock
	}
	return conns.OnOther
}

// waitFor returns what a thread waits for in a call on descriptors: a kind, or with OnOther
// the sockets whose other ends decide. OnOther without sockets: it is not known, e.g.
// because the thread has gone on, a link cannot be read, or the call has more than 64
// descriptors.
func (c *threadReader) waitFor(p *table.Process, k *thread, owner procfs.Account) (on string, sockets []conns.WaitSocket) {
	if path := c.calls.ConnectPath(p.PID, k.call); path != "" {
		return conns.OnOther, []conns.WaitSocket{{Path: path}}
	}
	fds, known := c.calls.FDs(p.PID, k.call)
	switch {
	case known && len(fds) == 0:
		return discovery.OnSleep, nil
	case len(fds) > maxWaitFDs:
		c.table.SkippedFDs += uint64(len(fds) - maxWaitFDs)
		return conns.OnOther, nil
	}
	c.table.Budget.Spend(owner, table.CostLink, len(fds))
	file := false
	for _, fd := range fds {
		link, err := c.table.FS.FDLink(p.PID, fd)
		if err != nil {
			return conns.OnOther, nil
		}
		if inode, ok := procfs.ParseSocketLink(link); ok {
			sockets = append(sockets, conns.WaitSocket{Inode: inode})
		}
		file = file || strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "/dev/")
	}
	state, same := c.unchanged(p, k)
	switch {
	case !same:
		return conns.OnOther, nil
	case state == 'D' && len(sockets) == 0, file && len(fds) == 1 && c.calls.FileOffset(p.PID, fds[0]) > 0:
		return discovery.OnDisk, nil // what has a path and no offset may be a pipe
	}
	return conns.OnOther, sockets
}

// unchanged returns the state of a thread (proc_pid_stat(5)), and whether it still is in
// the call of the sample; false too if it cannot be read.
func (c *threadReader) unchanged(p *table.Process, k *thread) (state byte, same bool) {
	b, err := c.table.FS.Read(p.PID, "task/"+strconv.Itoa(k.tid)+"/stat")
	if err != nil {
		return 0, false
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		return 0, false
	}
	again, err := c.now.Now(p.PID, p.Start, k.tid)
	return st.State, err == nil && again.Call == k.call
}

// clearUnresolved removes all unresolved waits.
func (w *Inspector) clearUnresolved() {
	clear(w.unresolved)
	w.unresolved = w.unresolved[:0]
}

// Finish names the unresolved waits, and the sockets that the sampler wants named, by
// their other ends; see [discovery.Inspector].
func (w *Inspector) Finish(ctx context.Context, scan conns.Scan) {
	appOf := func(name string) int {
		return slices.IndexFunc(scan.Apps, func(a conns.AppListeners) bool { return a.Name == name })
	}
	// Of a scan that panicked there may be waits of apps that are gone.
	w.unresolved = slices.DeleteFunc(w.unresolved, func(u unresolvedWait) bool { return appOf(u.app) < 0 })
	var wanted []sampling.Socket
	if w.sampler != nil {
		wanted = slices.DeleteFunc(w.sampler.Unnamed(), func(s sampling.Socket) bool { return appOf(s.App) < 0 })
	}
	waits := make([]conns.SocketWait, 0, len(w.unresolved)+len(wanted))
	for i := range w.unresolved {
		u := &w.unresolved[i]
		waits = append(waits, conns.SocketWait{App: &scan.Apps[appOf(u.app)], Sockets: u.sockets})
	}
	for _, s := range wanted {
		waits = append(waits, conns.SocketWait{App: &scan.Apps[appOf(s.App)], Sockets: []conns.WaitSocket{{Inode: s.Inode}}})
	}
	w.namespaces.NamePeers(ctx, scan, waits, w.connections)
	for i := range w.unresolved {
		w.unresolved[i].wait.On, w.unresolved[i].wait.Peer = waits[i].On, waits[i].Peer
	}
	if w.sampler != nil {
		w.sampler.SetNames(waits[len(w.unresolved):])
	}
	w.clearUnresolved()
}
