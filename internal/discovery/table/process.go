package table

import (
	"cmp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Process is one entry of the table. What never changes is read once, when
// the process is first seen; what may change (a program replaced by exec, a
// title set) is read again a few times while it is young, see due.
type Process struct {
	PID       int
	ino       uint64 // of /proc/PID: another number means another process
	FirstSeen time.Time
	UID       uint32
	checks    uint8 // how often it was read, at most 1 + the number of recheckAges
	settled   bool  // it was old already when it was first seen

	Stale   bool // opened is to be read again
	Router  bool // a uWSGI gateway: it passes requests on and serves none
	First   bool // a uWSGI process that serves, and forked the others that do
	Accepts bool // it was seen to wait for a connection
	Over    bool // it was left out because there are too many apps

	Start   uint64 // clock ticks since the boot
	Stat    procfs.Stat
	Argv    []string
	Program cmdline.Program
	Match   uint64          // bit i: the fixed parts of the i-th configured match hold
	Celery  *cmdline.Celery // nil: no worker of Celery
	Owner   Ownership
	Unit    string // systemd unit of its control group; set with own.placed

	// Of most processes of a host nothing more is kept.
	Opened *Descriptors    // nil: not read; see fds
	NetNS  uint64          // inode of its network namespace; 0: not known
	Member any             // the app it belongs to, as of the last refresh; nil: none
	named  *appname.Found  // what names its app; see names
	Heir   *bool           // whether it is a gunicorn master that took over; nil: not looked at
	Handed map[uint64]bool // listening sockets of its that servers which it started have or had
	use    *counts         // see counts
}

// counts is what is kept of a process that is one of an app's.
type counts struct {
	spent  CPUTime // what has been counted of its CPU time, in ticks
	Files  fileLimit
	Open   int       // descriptors at the last count; −1 unknown
	Reread time.Time // when its descriptors were read again because it lacks something
}

// Counts returns what is kept of a process of an app.
func (p *Process) Counts() *counts {
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
func (p *Process) due(now time.Time) bool {
	if p.settled {
		return false
	}
	ages := recheckAges()
	return p.checks > 0 && int(p.checks) <= len(ages) && now.Sub(p.FirstSeen) >= ages[p.checks-1]
}

func (p *Process) IsPython() bool { return p.Program.Server != "" }

// seconds of CPU, in and out of the kernel.
type CPUTime struct{ User, System uint64 }

// NewCPU returns the ticks that were used since the last call.
func (p *Process) NewCPU() CPUTime {
	spent := &p.Counts().spent
	d := CPUTime{User: p.Stat.UTime - min(p.Stat.UTime, spent.User), System: p.Stat.STime - min(p.Stat.STime, spent.System)}
	*spent = CPUTime{User: p.Stat.UTime, System: p.Stat.STime}
	return d
}

// RereadStat reads the stat of a member again; false: it is no longer that process.
func (t *Table) RereadStat(p *Process) bool {
	b, err := t.FS.Read(p.PID, "stat")
	if err != nil {
		return false
	}
	st, err := procfs.ParseStat(b)
	if err != nil || st.Start != p.Start {
		return false
	}
	p.Stat = st
	return true
}

// Ended reports whether a process has ended and is only waited for by its parent.
func (p *Process) Ended() bool { return p.Stat.State == 'Z' || p.Stat.State == 'X' }

func (p *Process) Holds(l sockdiag.Listener) bool {
	_, ok := p.FDs().Sockets[l.Inode]
	return ok
}

func Oldest(x, y *Process) int {
	return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.PID, y.PID))
}

// fileLimit is a process' limit of open files, read once a minute.
type fileLimit struct {
	Max  uint64 // 0: unlimited or unknown
	read time.Time
}

func (t *Table) MaxFiles(p *Process, now time.Time) uint64 {
	c := p.Counts()
	if now.Sub(c.Files.read) > time.Minute {
		c.Files = fileLimit{read: now}
		if b, err := t.FS.Read(p.PID, "limits"); err == nil {
			c.Files.Max, _ = procfs.ParseMaxFiles(b)
		}
	}
	return c.Files.Max
}

// Names returns what is known of the names of a process.
func (p *Process) Names() *appname.Found {
	if p.named == nil {
		p.named = new(appname.Found)
	}
	return p.named
}

// FDs returns what is known of the descriptors of a process.
func (p *Process) FDs() *Descriptors {
	if p.Opened == nil {
		return &Descriptors{}
	}
	return p.Opened
}
