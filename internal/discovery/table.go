package discovery

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// table is every process of the host, kept between refreshes. A process that
// is known and no app's costs nothing but its line in one directory listing.
type table struct {
	r     *procfs.FS
	procs map[int]*process
	kids  map[int][]*process // by parent's pid; rebuilt when the table changed
	gen   int                // grows with each change
	list  []procfs.Entry     // scratch
	late  map[int]waiting    // by pid: what no allowance was left for, and is read first in the next look
	costs *budget
	held  map[procfs.Account]int // sockets that are kept in memory

	listens func(p *process, ino uint64) bool // whether a socket is known to listen

	self int
	boot time.Time

	euid   uint32 // of the exporter
	userNS uint64 // inode of our user namespace; 0: not known
	left   uint64 // descriptors that were not looked at, since the start
	unread uint64 // processes over a bound or an allowance that were not read, since the start
}

// waiting is a process that is to be read in the next look.
type waiting struct {
	ino uint64
	uid uint32
}

func newTable(r *procfs.FS) *table {
	t := &table{r: r, procs: make(map[int]*process), late: make(map[int]waiting), costs: newBudget(), held: make(map[procfs.Account]int), euid: uint32(os.Geteuid())}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) == nil {
		t.userNS = st.Ino
	}
	return t
}

// refresh lists /proc, reads what is new, and forgets what is gone. matchOf
// gives the bits of the configured matches for a process.
func (t *table) refresh(now time.Time, matchOf func(*process) uint64) error {
	var err error
	t.list, err = t.r.Entries(t.r.Root, t.list[:0])
	if err != nil { // half a listing would make the other half look ended
		return err
	}
	t.costs.begin(len(t.procs) == 0)
	changed := len(t.list) != len(t.procs)
	changed = t.readFresh(now, matchOf) || changed
	t.forget(&changed)
	if changed {
		t.link()
	}
	return nil
}

// fresh reports whether an entry of the list is new or due to be read again.
func (t *table) fresh(e procfs.Entry, now time.Time) bool {
	p := t.procs[e.N]
	return p == nil || p.ino != e.Inode || p.due(now)
}

// readFresh reads what is new or due, within the allowance of each user: what
// waits since the last look comes first.
func (t *table) readFresh(now time.Time, matchOf func(*process) uint64) (changed bool) {
	var waited map[int]waiting
	if len(t.late) > 0 {
		waited, t.late = t.late, make(map[int]waiting)
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
func (t *table) chargedTo(e procfs.Entry) (uid uint32, err error) {
	if p := t.procs[e.N]; p != nil && p.ino == e.Inode {
		return p.uid, nil
	}
	return t.r.Owner(e.N)
}

// readWaiting reads what waits since the last look.
func (t *table) readWaiting(waited map[int]waiting, now time.Time, matchOf func(*process) uint64) (changed bool) {
	there := 0
	for _, e := range t.list {
		if late, ok := waited[e.N]; ok && late.ino == e.Inode && t.fresh(e, now) {
			there++
			changed = t.inTurn(e, late.uid, now, matchOf) || changed
		}
	}
	t.unread += uint64(len(waited) - there) // they ended before their turn
	return changed
}

// inTurn reads a process, or notes that it is to be read in the next look.
func (t *table) inTurn(e procfs.Entry, uid uint32, now time.Time, matchOf func(*process) uint64) (changed bool) {
	if !t.costs.take(procfs.Account(uid), costLoad, 1) {
		t.late[e.N] = waiting{e.Inode, uid}
		return false
	}
	return t.meet(e, now, matchOf)
}

// meet reads a process that is new, or due to be read again; it tells whether
// the table has changed.
func (t *table) meet(e procfs.Entry, now time.Time, matchOf func(*process) uint64) bool {
	known := t.procs[e.N]
	p := known
	if known == nil || known.ino != e.Inode {
		p = &process{pid: e.N, ino: e.Inode, firstSeen: now}
	}
	if !t.load(p) { // it ended between the listing and the read
		t.drop(e.N)
		return true
	}
	if known != nil && known != p && known.start == p.start { // the kernel only dropped its cached entry
		known.ino = e.Inode
		return false
	}
	p.match = matchOf(p)
	if known != nil && known != p {
		t.drop(e.N)
	}
	t.procs[e.N] = p
	return true
}

// drop forgets a process and what it is charged for.
func (t *table) drop(pid int) {
	if p := t.procs[pid]; p != nil {
		t.dropDescriptors(p)
		delete(t.procs, pid)
	}
}

// forget drops the processes that the listing no longer has.
func (t *table) forget(changed *bool) {
	if len(t.procs) <= len(t.list) && !*changed {
		return
	}
	alive := make(map[int]struct{}, len(t.list))
	for _, e := range t.list {
		alive[e.N] = struct{}{}
	}
	for pid := range t.procs {
		if _, ok := alive[pid]; !ok {
			t.drop(pid)
			*changed = true
		}
	}
}

// load reads what identifies a process; false: it ended.
func (t *table) load(p *process) bool {
	b, err := t.r.Read(p.pid, "stat")
	if err != nil {
		return false
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		return false
	}
	if p.checks > 0 && p.start != st.Start {
		return false
	}
	p.stat, p.start = st, st.Start
	ages := recheckAges()
	p.checks = min(p.checks+1, uint8(len(ages)+1))
	if p.checks == 1 {
		p.settled = p.firstSeen.Sub(t.started(p)) > ages[len(ages)-1]
	}
	if p.uid, err = t.r.Owner(p.pid); err != nil { // a worker changes its user after it was forked
		return false
	}
	p.own = ownership{}
	if st.Kernel { // kernel threads have no command line
		return true
	}
	b, err = t.r.Read(p.pid, "cmdline")
	if err != nil {
		return !procfs.Gone(err)
	}
	t.costs.spend(procfs.Account(p.uid), costLoad, len(b)/cmdline.MaxLine) // what is made of it costs by the byte
	p.argv = procfs.ParseCmdline(b)
	p.celery = cmdline.ParseCelery(p.argv)
	id := cmdline.Classify(p.argv)
	if (id.Server != "" || p.celery != nil) && (p.pid == t.self || t.owns(p).Changed) {
		id, p.celery = cmdline.Program{}, nil
	}
	if id.Server != p.ident.Server {
		t.dropDescriptors(p)
	}
	p.become(cmdline.KeepClass(id, p.ident, p.argv))
	if p.ident.Server == cmdline.Flask && p.ident.Name == "" {
		p.ident.Name = cmdline.FlaskName(t.r.Variable(p.pid, "FLASK_APP"))
	}
	return true
}

// started is when a process began: its start is counted from the boot.
func (t *table) started(p *process) time.Time {
	return t.boot.Add(time.Duration(p.start) * (time.Second / procfs.TicksPerSecond))
}

// become sets what a process is; what named it before no longer counts.
func (p *process) become(id cmdline.Program) {
	if id != p.ident {
		p.named = nil
	}
	p.ident = id
}

// link rebuilds the index of children.
func (t *table) link() {
	t.gen++
	t.kids = make(map[int][]*process, len(t.kids))
	for _, p := range t.procs {
		t.kids[p.stat.PPID] = append(t.kids[p.stat.PPID], p)
	}
	for _, kids := range t.kids {
		if len(kids) > maxWorkers { // which ones a bound leaves out must not change from look to look
			slices.SortFunc(kids, oldest)
		}
	}
}

// recheckAll reads every process without an app once more that belongs to one
// of these users (root: every process): a listening socket of theirs has
// appeared that nobody known holds, so one of them became a server.
func (t *table) recheckAll(of users, matchOf func(*process) uint64) {
	for pid, p := range t.procs {
		if p.member != nil || p.stat.Kernel || !of.concern(p) || !t.costs.take(procfs.Account(p.uid), costLoad, 1) {
			continue
		}
		if !t.load(p) {
			t.drop(pid)
			continue
		}
		p.match = matchOf(p)
	}
	t.link()
}

// countFDs returns how many descriptors a process has open.
func (t *table) countFDs(pid int) (int, error) { return t.r.CountFDs(pid, t.list) }
