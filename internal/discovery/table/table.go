package table

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Table is every process of the host, kept between refreshes. A process that
// is known and no app's costs nothing but its line in one directory listing.
type Table struct {
	FS         *procfs.FS
	Processes  map[int]*Process
	Children   map[int][]*Process // by parent's pid; rebuilt when the table changed
	Generation int                // grows with each change
	list       []procfs.Entry     // scratch
	Deferred   map[int]waiting    // by pid: what no allowance was left for, and is read first in the next look
	Budget     *budget
	held       map[procfs.Account]int // sockets that are kept in memory

	Listens func(p *Process, ino uint64) bool // whether a socket is known to listen

	Self int
	Boot time.Time

	EUID             uint32 // of the exporter
	userNS           uint64 // inode of our user namespace; 0: not known
	SkippedFDs       uint64 // descriptors that were not looked at, since the start
	SkippedProcesses uint64 // processes over a bound or an allowance that were not read, since the start
}

// waiting is a process that is to be read in the next look.
type waiting struct {
	ino uint64
	uid uint32
}

func New(r *procfs.FS) *Table {
	t := &Table{FS: r, Processes: make(map[int]*Process), Deferred: make(map[int]waiting), Budget: newBudget(), held: make(map[procfs.Account]int), EUID: uint32(os.Geteuid())}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) == nil {
		t.userNS = st.Ino
	}
	return t
}

// Refresh lists /proc, reads what is new, and forgets what is gone. matchOf
// gives the bits of the configured matches for a process.
func (t *Table) Refresh(now time.Time, matchOf func(*Process) uint64) error {
	var err error
	t.list, err = t.FS.Entries(t.FS.Root, t.list[:0])
	if err != nil { // half a listing would make the other half look ended
		return err
	}
	t.Budget.Begin(len(t.Processes) == 0)
	changed := len(t.list) != len(t.Processes)
	changed = t.readFresh(now, matchOf) || changed
	t.forget(&changed)
	if changed {
		t.Link()
	}
	return nil
}

// fresh reports whether an entry of the list is new or due to be read again.
func (t *Table) fresh(e procfs.Entry, now time.Time) bool {
	p := t.Processes[e.N]
	return p == nil || p.ino != e.Inode || p.due(now)
}

// readFresh reads what is new or due, within the allowance of each user: what
// waits since the last look comes first.
func (t *Table) readFresh(now time.Time, matchOf func(*Process) uint64) (changed bool) {
	var waited map[int]waiting
	if len(t.Deferred) > 0 {
		waited, t.Deferred = t.Deferred, make(map[int]waiting)
		changed = t.readWaiting(waited, now, matchOf)
	}
	for _, e := range t.list {
		if late, ok := waited[e.N]; ok && late.ino == e.Inode || !t.fresh(e, now) {
			continue
		}
		uid, err := t.chargedTo(e)
		if err != nil { // it ended between the listing and the read
			t.drop(e.N)
			changed = true
			continue
		}
		changed = t.inTurn(e, uid, now, matchOf) || changed
	}
	return changed
}

// chargedTo returns the user whose allowance the reading of a process is of. That
// of a known one is the user as of its last reading.
func (t *Table) chargedTo(e procfs.Entry) (uid uint32, err error) {
	if p := t.Processes[e.N]; p != nil && p.ino == e.Inode {
		return p.UID, nil
	}
	return t.FS.EffectiveUID(e.N)
}

// readWaiting reads what waits since the last look.
func (t *Table) readWaiting(waited map[int]waiting, now time.Time, matchOf func(*Process) uint64) (changed bool) {
	there := 0
	for _, e := range t.list {
		if late, ok := waited[e.N]; ok && late.ino == e.Inode && t.fresh(e, now) {
			there++
			changed = t.inTurn(e, late.uid, now, matchOf) || changed
		}
	}
	t.SkippedProcesses += uint64(len(waited) - there) // they ended before their turn
	return changed
}

// inTurn reads a process, or notes that it is to be read in the next look.
func (t *Table) inTurn(e procfs.Entry, uid uint32, now time.Time, matchOf func(*Process) uint64) (changed bool) {
	if !t.Budget.Take(procfs.Account(uid), costLoad, 1) {
		t.Deferred[e.N] = waiting{e.Inode, uid}
		return false
	}
	return t.meet(e, now, matchOf)
}

// meet reads a process that is new, or due to be read again; it tells whether
// the table has changed.
func (t *Table) meet(e procfs.Entry, now time.Time, matchOf func(*Process) uint64) bool {
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

// drop forgets a process and what it is charged for.
func (t *Table) drop(pid int) {
	if p := t.Processes[pid]; p != nil {
		t.DropDescriptors(p)
		delete(t.Processes, pid)
	}
}

// forget drops the processes that the listing no longer has.
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

// load reads what identifies a process; false: it ended.
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
	ages := recheckAges()
	p.checks = min(p.checks+1, uint8(len(ages)+1))
	if p.checks == 1 {
		p.settled = p.FirstSeen.Sub(t.StartTime(p)) > ages[len(ages)-1]
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
	}
	p.become(cmdline.KeepClass(id, p.Program, p.Argv))
	if p.Program.Server == cmdline.Flask && p.Program.Name == "" {
		p.Program.Name = cmdline.FlaskName(t.FS.Getenv(p.PID, "FLASK_APP"))
	}
	return true
}

// StartTime is when a process began: its start is counted from the boot.
func (t *Table) StartTime(p *Process) time.Time {
	return t.Boot.Add(time.Duration(p.Start) * (time.Second / procfs.TicksPerSecond))
}

// become sets what a process is; what named it before no longer counts.
func (p *Process) become(id cmdline.Program) {
	if id != p.Program {
		p.named = nil
	}
	p.Program = id
}

// Link rebuilds the index of children.
func (t *Table) Link() {
	t.Generation++
	t.Children = make(map[int][]*Process, len(t.Children))
	for _, p := range t.Processes {
		t.Children[p.Stat.PPID] = append(t.Children[p.Stat.PPID], p)
	}
	for _, kids := range t.Children {
		if len(kids) > MaxWorkers { // which ones a bound leaves out must not change from look to look
			slices.SortFunc(kids, Oldest)
		}
	}
}

// RereadAll reads every process without an app once more that belongs to one
// of these users (root: every process): a listening socket of theirs has
// appeared that nobody known holds, so one of them became a server.
func (t *Table) RereadAll(of Users, matchOf func(*Process) uint64) {
	for pid, p := range t.Processes {
		if p.Member != nil || p.Stat.Kernel || !of.Concern(p) || !t.Budget.Take(procfs.Account(p.UID), costLoad, 1) {
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

// CountFDs returns how many descriptors a process has open.
func (t *Table) CountFDs(pid int) (int, error) { return t.FS.CountFDs(pid, t.list) }
