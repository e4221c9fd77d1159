// Package table keeps the processes of the host between scans. A known process
// that belongs to no app costs one entry of a directory listing a scan. What a
// scan spends on the processes of one user is bounded.
package table

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Table is the processes of the host as of the last scan. Its fields are read and
// written under the watcher's lock.
type Table struct {
	FS          *procfs.FS
	Processes   map[int]*Process
	Children    map[int][]*Process // by parent's pid; see Link
	Generation  int                // grows with each change
	list        []procfs.Entry     // scratch
	Deferred    map[int]deferral   // by pid: what is read first in the next scan, as no allowance was left
	Budget      *Budgets
	keptSockets map[procfs.Account]int // sockets that are kept in memory

	Listens func(p *Process, ino uint64) bool // whether a socket is known to listen

	Self int
	Boot time.Time

	EUID             uint32 // of the exporter
	userNS           uint64 // inode of the exporter's user namespace; 0: not known
	SkippedFDs       uint64 // descriptors beyond a bound, which were not read, since the start
	SkippedProcesses uint64 // processes over a bound or an allowance that were not read, since the start
}

// deferral is a process that is to be read in the next scan.
type deferral struct {
	ino uint64
	uid uint32
}

// New returns an empty Table that reads /proc by r.
func New(r *procfs.FS) *Table {
	t := &Table{FS: r, Processes: make(map[int]*Process), Deferred: make(map[int]deferral), Budget: newBudgets(), keptSockets: make(map[procfs.Account]int), EUID: uint32(os.Geteuid())}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) == nil {
		t.userNS = st.Ino
	}
	return t
}

// Refresh lists /proc, reads what is new or due, and removes what has ended. matchOf
// returns the bits of the configured matches for a process. An error means that /proc
// could not be listed; then nothing has changed.
func (t *Table) Refresh(now time.Time, matchOf func(*Process) uint64) error {
	var err error
	t.list, err = t.FS.Entries(t.FS.Root, t.list[:0])
	if err != nil { // half a listing would make the other half seem ended
		return err
	}
	t.Budget.Begin(len(t.Processes) == 0)
	changed := len(t.list) != len(t.Processes)
	changed = t.readDue(now, matchOf) || changed
	t.forget(&changed)
	if changed {
		t.Link()
	}
	return nil
}

// isDue reports whether an entry of the listing is new or due to be read again.
func (t *Table) isDue(e procfs.Entry, now time.Time) bool {
	p := t.Processes[e.N]
	return p == nil || p.ino != e.Inode || p.due(now)
}

// readDue reads what is new or due, within the allowance of each user; what was
// deferred by the last scan comes first. It reports whether the table has
// changed.
func (t *Table) readDue(now time.Time, matchOf func(*Process) uint64) (changed bool) {
	var waited map[int]deferral
	if len(t.Deferred) > 0 {
		waited, t.Deferred = t.Deferred, make(map[int]deferral)
		changed = t.readDeferred(waited, now, matchOf)
	}
	for _, e := range t.list {
		if late, ok := waited[e.N]; ok && late.ino == e.Inode || !t.isDue(e, now) {
			continue
		}
		uid, err := t.chargedTo(e)
		if err != nil { // it ended between the listing and the read
			t.drop(e.N)
			changed = true
			continue
		}
		changed = t.readOrDefer(e, uid, now, matchOf) || changed
	}
	return changed
}

// chargedTo returns the user to whom the reading of a process is charged: for a known
// process its user as of the last reading, else its effective user. An error: it has ended,
// or its user cannot be read.
func (t *Table) chargedTo(e procfs.Entry) (uid uint32, err error) {
	if p := t.Processes[e.N]; p != nil && p.ino == e.Inode {
		return p.UID, nil
	}
	return t.FS.EffectiveUID(e.N)
}

// readDeferred reads the processes that the last scan deferred, within the allowances. It
// reports whether the table has changed. Those that have ended since are counted as
// skipped.
func (t *Table) readDeferred(waited map[int]deferral, now time.Time, matchOf func(*Process) uint64) (changed bool) {
	there := 0
	for _, e := range t.list {
		if late, ok := waited[e.N]; ok && late.ino == e.Inode && t.isDue(e, now) {
			there++
			changed = t.readOrDefer(e, late.uid, now, matchOf) || changed
		}
	}
	t.SkippedProcesses += uint64(len(waited) - there) // they ended before they were read
	return changed
}

// readOrDefer reads a process, or if its user's allowance is used up defers it to the
// next scan. It reports whether the table has changed.
func (t *Table) readOrDefer(e procfs.Entry, uid uint32, now time.Time, matchOf func(*Process) uint64) (changed bool) {
	if !t.Budget.TrySpend(procfs.Account(uid), costLoad, 1) {
		t.Deferred[e.N] = deferral{e.Inode, uid}
		return false
	}
	return t.readEntry(e, now, matchOf)
}

// readEntry reads a process that is new or due, and reports whether the table has changed:
// true also if it has ended, false only if it is a known one with a new inode.
func (t *Table) readEntry(e procfs.Entry, now time.Time, matchOf func(*Process) uint64) bool {
	known := t.Processes[e.N]
	p := known
	if known == nil || known.ino != e.Inode {
		p = &Process{PID: e.N, ino: e.Inode, FirstSeen: now}
	}
	if !t.load(p) { // it ended between the listing and the read
		t.drop(e.N)
		return true
	}
	if known != nil && known != p && known.Start == p.Start { // the kernel only dropped its cached entry
		known.ino = e.Inode
		return false
	}
	p.Match = matchOf(p)
	if known != nil && known != p {
		t.drop(e.N)
	}
	t.Processes[e.N] = p
	return true
}

// drop removes a process from the table, and what it counts for its account.
func (t *Table) drop(pid int) {
	if p := t.Processes[pid]; p != nil {
		t.DropDescriptors(p)
		delete(t.Processes, pid)
	}
}

// forget removes the processes that the listing no longer has, and sets changed if there
// are some.
func (t *Table) forget(changed *bool) {
	if len(t.Processes) <= len(t.list) && !*changed {
		return
	}
	alive := make(map[int]struct{}, len(t.list))
	for _, e := range t.list {
		alive[e.N] = struct{}{}
	}
	for pid := range t.Processes {
		if _, ok := alive[pid]; !ok {
			t.drop(pid)
			*changed = true
		}
	}
}

// load sets what identifies a process: stat, user, command line. It returns false if the
// process has ended or another one has its pid, or its stat or user cannot be read; true
// also if its command line cannot.
func (t *Table) load(p *Process) bool {
	b, err := t.FS.Read(p.PID, "stat")
	if err != nil {
		return false
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		return false
	}
	if p.checks > 0 && p.Start != st.Start {
		return false
	}
	p.Stat, p.Start = st, st.Start
	ages := rereadAges()
	p.checks = min(p.checks+1, uint8(len(ages)+1))
	if p.checks == 1 {
		p.old = p.FirstSeen.Sub(t.StartTime(p)) > ages[len(ages)-1]
	}
	if p.UID, err = t.FS.EffectiveUID(p.PID); err != nil { // a worker changes its user after it was forked
		return false
	}
	p.Owner = Ownership{}
	if st.Kernel { // kernel threads have no command line
		return true
	}
	b, err = t.FS.Read(p.PID, "cmdline")
	if err != nil {
		return !procfs.Gone(err)
	}
	t.Budget.Spend(procfs.Account(p.UID), costLoad, len(b)/cmdline.MaxLine) // what is made of it costs by the byte
	p.Argv = procfs.ParseCmdline(b)
	p.Celery = cmdline.ParseCelery(p.Argv)
	id := cmdline.Classify(p.Argv)
	if (id.Server != "" || p.Celery != nil) && (p.PID == t.Self || t.Owner(p).Changed) {
		id, p.Celery = cmdline.Program{}, nil
	}
	if id.Server != p.Program.Server {
		t.DropDescriptors(p)
		p.Watches, p.Router = nil, false
	}
	p.become(cmdline.KeepClass(id, p.Program, p.Argv))
	if p.Program.Server == cmdline.Flask && p.Program.Name == "" {
		p.Program.Name = cmdline.FlaskName(t.FS.Getenv(p.PID, "FLASK_APP"))
	}
	return true
}

// StartTime returns when a process began: its start in ticks counts from the
// boot.
func (t *Table) StartTime(p *Process) time.Time {
	return t.Boot.Add(time.Duration(p.Start) * (time.Second / procfs.TicksPerSecond))
}

// become sets what program a process runs. If that is another one than before, its names
// are found anew.
func (p *Process) become(id cmdline.Program) {
	if id != p.Program {
		p.names = nil
	}
	p.Program = id
}

// Link makes the index of children anew, and a new generation of the table.
func (t *Table) Link() {
	t.Generation++
	t.Children = make(map[int][]*Process, len(t.Children))
	for _, p := range t.Processes {
		t.Children[p.Stat.PPID] = append(t.Children[p.Stat.PPID], p)
	}
	for _, kids := range t.Children {
		if len(kids) > MaxWorkers { // which ones a bound leaves out must not change from scan to scan
			slices.SortFunc(kids, Oldest)
		}
	}
}

// RereadAll reads once more every process without an app that may hold a socket of one of
// these users, as far as the allowances permit. A listening socket has appeared that no
// known process holds, so one of them became a server.
func (t *Table) RereadAll(of Users, matchOf func(*Process) uint64) {
	for pid, p := range t.Processes {
		if p.Member != nil || p.Stat.Kernel || !of.MayHold(p) || !t.Budget.TrySpend(procfs.Account(p.UID), costLoad, 1) {
			continue
		}
		if !t.load(p) {
			t.drop(pid)
			continue
		}
		p.Match = matchOf(p)
	}
	t.Link()
}

// CountFDs returns how many descriptors a process has open. An error means that it has ended, or
// that they may not be counted.
func (t *Table) CountFDs(pid int) (int, error) { return t.FS.CountFDs(pid, t.list) }
