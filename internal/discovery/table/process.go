package table

import (
	"cmp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Process is one entry of the table. What never changes is read once, when the
// process is first seen; what may change (a program replaced by exec, a title) is
// read again a few times while it is young, see rereadAges. Other packages read
// and write it under the watcher's lock.
type Process struct {
	PID       int
	ino       uint64 // of /proc/PID: another number means another process
	FirstSeen time.Time
	UID       uint32
	checks    uint8 // how often it was read, at most 1 + the number of rereadAges
	old       bool  // it was older than the last of rereadAges when it was first seen

	FDsStale bool // the descriptors are to be read again
	Router   bool // a uWSGI gateway: it passes requests on and serves none
	Accepts  bool // it was seen waiting for a connection
	Rejected bool // it was left out because there are too many apps

	Start   uint64 // clock ticks since the boot
	Stat    procfs.Stat
	Argv    []string
	Program cmdline.Program
	Match   uint64          // bit i: the fixed parts of the i-th configured match hold
	Celery  *cmdline.Celery // nil: no worker of Celery
	Watches *Watches        // of uWSGI; nil: it was not seen watching a listening socket
	Owner   Ownership
	Unit    string // systemd unit of its control group; set by OwnerWithUnit

	// Of most processes of a host nothing more is kept.
	Descriptors *Descriptors    // nil: not read; see FDs
	NetNS       uint64          // inode of its network namespace; 0: not known
	Member      any             // the app it belongs to, as of the last refresh; nil: none
	names       *appname.Found  // see Names
	TookOver    *bool           // whether it is a server that took over from its parent; nil: not known
	HandedOn    map[uint64]bool // its listening sockets that servers which it started have or had
	counts      *Usage          // see Usage
	largeEpoll  time.Time       // when an epoll set was too large, see EpollTargets
}

// Usage is what is kept of a process of an app.
type Usage struct {
	spent  CPUTime // what has been counted of its CPU time, in ticks
	Files  FileLimit
	Open   int       // descriptors at the last count; −1 unknown
	Reread time.Time // when its descriptors were read again because it lacks something
}

// Usage returns what is kept of a process that belongs to an app. It is made at the first
// call.
func (p *Process) Usage() *Usage {
	if p.counts == nil {
		p.counts = new(Usage)
	}
	return p.counts
}

// rereadAges returns the ages since the first sight at which a process is read
// again: "sh -c" becomes gunicorn by exec, and gunicorn sets its title once the
// app is loaded.
func rereadAges() [4]time.Duration {
	return [...]time.Duration{time.Second, 4 * time.Second, 15 * time.Second, 60 * time.Second}
}

// due reports whether a process must be read again at its present age; false for one that
// was already older than all of these when first seen.
func (p *Process) due(now time.Time) bool {
	if p.old {
		return false
	}
	ages := rereadAges()
	return p.checks > 0 && int(p.checks) <= len(ages) && now.Sub(p.FirstSeen) >= ages[p.checks-1]
}

// IsPython reports whether a process runs a Python server or script, by its
// command line.
func (p *Process) IsPython() bool { return p.Program.Server != "" }

// CPUTime is time on a CPU in clock ticks of 1/100 s, outside of the kernel and
// inside of it.
type CPUTime struct{ User, System uint64 }

// NewCPU returns the CPU time, in ticks, since the last call; at the first call since its start. It
// is 0 where the kernel's count has fallen.
func (p *Process) NewCPU() CPUTime {
	spent := &p.Usage().spent
	d := CPUTime{User: p.Stat.UTime - min(p.Stat.UTime, spent.User), System: p.Stat.STime - min(p.Stat.STime, spent.System)}
	*spent = CPUTime{User: p.Stat.UTime, System: p.Stat.STime}
	return d
}

// RereadStat sets p.Stat from /proc/PID/stat. It returns false if that cannot be read, as
// when the process has gone, or another one has its pid.
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

// Ended reports whether a process has ended and its parent has not waited for it
// yet (state Z or X).
func (p *Process) Ended() bool { return p.Stat.State == 'Z' || p.Stat.State == 'X' }

// Holds reports whether a process has a listening socket open, as of the last reading of
// its descriptors; false also if they were not or could not be read.
func (p *Process) Holds(l sockdiag.Listener) bool {
	_, ok := p.FDs().Sockets[l.Inode]
	return ok
}

// Oldest compares two processes by their start, then by pid, as slices.SortFunc
// takes it.
func Oldest(x, y *Process) int {
	return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.PID, y.PID))
}

// FileLimit is a process' limit of open files, read once a minute.
type FileLimit struct {
	Max  uint64 // 0: unlimited or unknown
	read time.Time
}

// MaxFiles returns the soft limit of open files of a process (/proc/PID/limits),
// at most a minute old; 0: unlimited or unknown.
func (t *Table) MaxFiles(p *Process, now time.Time) uint64 {
	c := p.Usage()
	if now.Sub(c.Files.read) > time.Minute {
		c.Files = FileLimit{read: now}
		if b, err := t.FS.Read(p.PID, "limits"); err == nil {
			c.Files.Max, _ = procfs.ParseMaxFiles(b)
		}
	}
	return c.Files.Max
}

// Names returns what is known of the names of a process. The caller may change it.
func (p *Process) Names() *appname.Found {
	if p.names == nil {
		p.names = new(appname.Found)
	}
	return p.names
}

// FDs returns what is known of the descriptors of a process; an empty value if they were
// never read.
func (p *Process) FDs() *Descriptors {
	if p.Descriptors == nil {
		return &Descriptors{}
	}
	return p.Descriptors
}
