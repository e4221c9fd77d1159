package proc

import (
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is one entry of the table. What never changes is read once, when
// the process is first seen; what may change (a program replaced by exec, a
// title set) is read again a few times while it is young, see due.
type process struct {
	pid    int
	ino    uint64 // of /proc/PID: another number means another process
	start  uint64 // clock ticks since the boot
	uid    uint32
	stat   stat
	argv   []string
	ident  identity
	match  uint64    // bit i: the fixed parts of the i-th configured match hold
	celery *celeryID // nil: no worker of Celery
	own    ownership
	unit   string // systemd unit of its control group; set with own.placed

	firstSeen time.Time
	checks    int  // how often it was read
	settled   bool // it was old already when it was first seen

	fds    descriptors
	stale  bool    // fds is to be read again
	held   holding // the listeners among fds, as of one look
	netns  uint64  // inode of its network namespace; 0: not known
	member *app    // the app it belongs to, as of the last refresh
	router bool    // a uWSGI gateway: it passes requests on and serves none
	heir   *bool   // whether it is a gunicorn master that took over; nil: not looked at
	first  bool    // a uWSGI process that serves, and forked the others that do
	over   bool    // it was left out because there are too many apps
	spent  cpuTime // what has been counted of its CPU time, in ticks
	files  fileLimit
	open   int // descriptors at the last count; −1 unknown
}

// Ages since the first sight at which a process is read again: "sh -c" becomes
// gunicorn by exec, and gunicorn sets its title once the app is loaded.
func recheckAges() [4]time.Duration {
	return [...]time.Duration{time.Second, 4 * time.Second, 15 * time.Second, 60 * time.Second}
}

// due tells whether a process should be read again.
func (p *process) due(now time.Time) bool {
	if p.settled {
		return false
	}
	ages := recheckAges()
	return p.checks > 0 && p.checks <= len(ages) && now.Sub(p.firstSeen) >= ages[p.checks-1]
}

func (p *process) python() bool { return p.ident.server != "" }

// table is every process of the host, kept between refreshes. A process that
// is known and no app's costs nothing but its line in one directory listing.
type table struct {
	r     *reader
	procs map[int]*process
	kids  map[int][]*process // by parent's pid; rebuilt when the table changed
	gen   int                // grows with each change
	list  []entry            // scratch
	fresh []entry            // scratch: what this look has to read
	late  map[int]waiting    // by pid: what no allowance was left for, and is read first in the next look
	costs *budget
	held  map[account]int // sockets that are kept in memory

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

func newTable(r *reader) *table {
	t := &table{r: r, procs: make(map[int]*process), late: make(map[int]waiting), costs: newBudget(), held: make(map[account]int), euid: uint32(os.Geteuid())}
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
	t.list, err = t.r.entries(t.r.root, t.list[:0])
	if err != nil { // half a listing would make the other half look ended
		return err
	}
	t.costs.begin(len(t.procs) == 0)
	changed := len(t.list) != len(t.procs)
	t.fresh = t.fresh[:0]
	for _, e := range t.list {
		if p := t.procs[e.n]; p != nil && p.ino == e.ino && !p.due(now) {
			continue
		}
		t.fresh = append(t.fresh, e)
	}
	changed = t.readFresh(now, matchOf) || changed
	t.forget(&changed)
	if changed {
		t.link()
	}
	return nil
}

// readFresh reads what is new or due, within the allowance of each user: what
// waits since the last look comes first.
func (t *table) readFresh(now time.Time, matchOf func(*process) uint64) (changed bool) {
	waited, there := t.late, 0
	t.late = make(map[int]waiting)
	for _, e := range t.fresh {
		if late, ok := waited[e.n]; ok && late.ino == e.ino {
			there++
			changed = t.inTurn(e, late.uid, now, matchOf) || changed
		}
	}
	t.unread += uint64(len(waited) - there) // they ended before their turn
	for _, e := range t.fresh {
		if late, ok := waited[e.n]; ok && late.ino == e.ino {
			continue
		}
		uid, err := t.r.owner(e.n)
		if err != nil { // it ended between the listing and the read
			t.drop(e.n)
			changed = true
			continue
		}
		changed = t.inTurn(e, uid, now, matchOf) || changed
	}
	return changed
}

// inTurn reads a process, or notes that it is to be read in the next look.
func (t *table) inTurn(e entry, uid uint32, now time.Time, matchOf func(*process) uint64) (changed bool) {
	if !t.costs.take(account(uid), costLoad, 1) {
		t.late[e.n] = waiting{e.ino, uid}
		return false
	}
	return t.meet(e, now, matchOf)
}

// meet reads a process that is new, or due to be read again; it tells whether
// the table has changed.
func (t *table) meet(e entry, now time.Time, matchOf func(*process) uint64) bool {
	known := t.procs[e.n]
	p := known
	if known == nil || known.ino != e.ino {
		p = &process{pid: e.n, ino: e.ino, firstSeen: now}
	}
	if !t.load(p) { // it ended between the listing and the read
		t.drop(e.n)
		return true
	}
	if known != nil && known != p && known.start == p.start { // the kernel only dropped its cached entry
		known.ino = e.ino
		return false
	}
	p.match = matchOf(p)
	if known != nil && known != p {
		t.drop(e.n)
	}
	t.procs[e.n] = p
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
		alive[e.n] = struct{}{}
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
	b, err := t.r.pid(p.pid, "stat")
	if err != nil {
		return false
	}
	st, err := parseStat(b)
	if err != nil {
		return false
	}
	if p.checks > 0 && p.start != st.start {
		return false
	}
	p.stat, p.start = st, st.start
	p.checks++
	if p.checks == 1 {
		ages := recheckAges()
		p.settled = p.firstSeen.Sub(t.started(p)) > ages[len(ages)-1]
	}
	if p.uid, err = t.r.owner(p.pid); err != nil { // a worker changes its user after it was forked
		return false
	}
	p.own = ownership{}
	if st.kernel { // kernel threads have no command line
		return true
	}
	b, err = t.r.pid(p.pid, "cmdline")
	if err != nil {
		return !gone(err)
	}
	p.argv = parseCmdline(b)
	p.celery = celeryOf(p.argv)
	id := classify(p.argv)
	if (id.server != "" || p.celery != nil) && (p.pid == t.self || t.owns(p).changed) {
		id, p.celery = identity{}, nil
	}
	if id.server != p.ident.server {
		t.dropDescriptors(p)
	}
	p.ident = keepClass(id, p.ident)
	if p.ident.server == Flask && p.ident.name == "" {
		p.ident.name = flaskName(t.variable(p.pid, "FLASK_APP"))
	}
	return true
}

// started is when a process began: its start is counted from the boot.
func (t *table) started(p *process) time.Time {
	return t.boot.Add(time.Duration(p.start) * (time.Second / ticksPerSecond))
}

// keepClass keeps what the command line told before a title replaced it.
func keepClass(id, before identity) identity {
	if id.title && before.server == id.server && id.class == "" {
		id.class = before.class
	}
	if id.title && before.server == id.server && id.threads == 0 {
		id.threads = before.threads
	}
	return id
}

// variable returns one variable of the environment a program was started
// with, or "". Nothing else of /proc/PID/environ is kept.
func (t *table) variable(pid int, name string) string {
	b, err := t.r.pid(pid, "environ")
	if err != nil {
		return ""
	}
	for kv := range strings.SplitSeq(string(b), "\x00") {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// link rebuilds the index of children.
func (t *table) link() {
	t.gen++
	t.kids = make(map[int][]*process, len(t.kids))
	for _, p := range t.procs {
		t.kids[p.stat.ppid] = append(t.kids[p.stat.ppid], p)
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
		if p.member != nil || p.stat.kernel || !of.concern(p) || !t.costs.take(account(p.uid), costLoad, 1) {
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
