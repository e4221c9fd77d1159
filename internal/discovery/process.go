package discovery

import (
	"cmp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// process is one entry of the table. What never changes is read once, when
// the process is first seen; what may change (a program replaced by exec, a
// title set) is read again a few times while it is young, see due.
type process struct {
	pid       int
	ino       uint64 // of /proc/PID: another number means another process
	firstSeen time.Time
	uid       uint32
	checks    uint8 // how often it was read, at most 1 + the number of recheckAges
	settled   bool  // it was old already when it was first seen

	stale   bool // opened is to be read again
	router  bool // a uWSGI gateway: it passes requests on and serves none
	first   bool // a uWSGI process that serves, and forked the others that do
	accepts bool // it was seen to wait for a connection
	over    bool // it was left out because there are too many apps

	start  uint64 // clock ticks since the boot
	stat   procfs.Stat
	argv   []string
	ident  cmdline.Program
	match  uint64          // bit i: the fixed parts of the i-th configured match hold
	celery *cmdline.Celery // nil: no worker of Celery
	own    ownership
	unit   string // systemd unit of its control group; set with own.placed

	// Of most processes of a host nothing more is kept.
	opened *descriptors    // nil: not read; see fds
	netns  uint64          // inode of its network namespace; 0: not known
	member any             // the app it belongs to, as of the last refresh; nil: none
	named  *named          // what names its app; see names
	heir   *bool           // whether it is a gunicorn master that took over; nil: not looked at
	handed map[uint64]bool // listening sockets of its that servers which it started have or had
	use    *counts         // see counts
}

// counts is what is kept of a process that is one of an app's.
type counts struct {
	spent  cpuTime // what has been counted of its CPU time, in ticks
	files  fileLimit
	open   int       // descriptors at the last count; −1 unknown
	reread time.Time // when its descriptors were read again because it lacks something
}

// counts returns what is kept of a process of an app.
func (p *process) counts() *counts {
	if p.use == nil {
		p.use = new(counts)
	}
	return p.use
}

// Ages since the first sight at which a process is read again: "sh -c" becomes
// gunicorn by exec, and gunicorn sets its title once the app is loaded.
func recheckAges() [4]time.Duration {
	return [...]time.Duration{time.Second, 4 * time.Second, 15 * time.Second, 60 * time.Second}
}

// due reports whether a process should be read again.
func (p *process) due(now time.Time) bool {
	if p.settled {
		return false
	}
	ages := recheckAges()
	return p.checks > 0 && int(p.checks) <= len(ages) && now.Sub(p.firstSeen) >= ages[p.checks-1]
}

func (p *process) python() bool { return p.ident.Server != "" }

// seconds of CPU, in and out of the kernel.
type cpuTime struct{ user, system uint64 }

// newCPU returns the ticks that were used since the last call.
func (p *process) newCPU() cpuTime {
	spent := &p.counts().spent
	d := cpuTime{user: p.stat.UTime - min(p.stat.UTime, spent.user), system: p.stat.STime - min(p.stat.STime, spent.system)}
	*spent = cpuTime{user: p.stat.UTime, system: p.stat.STime}
	return d
}

// fresher reads the stat of a member again; false: it is no longer that process.
func (t *table) fresher(p *process) bool {
	b, err := t.r.Read(p.pid, "stat")
	if err != nil {
		return false
	}
	st, err := procfs.ParseStat(b)
	if err != nil || st.Start != p.start {
		return false
	}
	p.stat = st
	return true
}

// ended reports whether a process has ended and is only waited for by its parent.
func (p *process) ended() bool { return p.stat.State == 'Z' || p.stat.State == 'X' }

func (p *process) holds(l sockdiag.Listener) bool {
	_, ok := p.fds().sockets[l.Inode]
	return ok
}

func oldest(x, y *process) int {
	return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pid, y.pid))
}

// know reads the descriptors of a process if that was never done, and its
// account's allowance permits.
func (t *table) know(p *process) {
	if !p.fds().known {
		t.readWithin(p)
	}
}

// fileLimit is a process' limit of open files, read once a minute.
type fileLimit struct {
	max  uint64 // 0: unlimited or unknown
	read time.Time
}

func (t *table) maxFiles(p *process, now time.Time) uint64 {
	c := p.counts()
	if now.Sub(c.files.read) > time.Minute {
		c.files = fileLimit{read: now}
		if b, err := t.r.Read(p.pid, "limits"); err == nil {
			c.files.max, _ = procfs.ParseMaxFiles(b)
		}
	}
	return c.files.max
}

// names returns what is known of the names of a process.
func (p *process) names() *named {
	if p.named == nil {
		p.named = new(named)
	}
	return p.named
}
