package discovery

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/listeners"
	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// forget is how long an app that is gone is still reported as down.
const forget = time.Hour

// app is what is kept of an app between refreshes. It outlives its processes:
// its counters go on when it is restarted.
type app struct {
	name string
	id   appname.ID     // of a discovered one
	last *table.Process // the root that it last had; nil: none yet
	conf int            // index of the configured match, −1 if discovered

	owner       procfs.Account  // whose it is; of a configured one, as of the roots it last had
	former      *procfs.Account // of a configured one: whose it was before, for long
	unit        string          // the service it ran in; "": none
	tier        table.Tier
	since       time.Time // when it was first seen to run without a break, or of a discovered one at all
	established bool      // it has run for a while: its name, and its place, are kept for it
	strangers   []uint32  // users of other processes that match, listen and are left out; at most 8
	matchErr    error     // why what the match names is not believed

	roots   []*table.Process
	workers []*table.Process
	members []*table.Process
	sockets []sockdiag.Listener
	net     *conns.Namespace

	purposes listeners.Purposes // of its listening sockets

	slots.Set
	cpu      table.CPUTime // ticks
	rate     slots.Rate
	searched time.Time // when the holder of its listener was last looked for
	lost     time.Time // when its last process was gone; zero: it runs
	cut      int       // processes over a bound, which are not looked at
	cutMost  int       // the most there were at once
}

// memberOf returns the app that a process belongs to; nil: none.
func memberOf(p *table.Process) *app {
	a, _ := p.Member.(*app)
	return a
}

func newApp(name string, conf int) *app {
	return &app{name: name, conf: conf, Set: slots.New()}
}

// root is the process that speaks for the app: the oldest of its roots.
func (a *app) root() *table.Process {
	if len(a.roots) == 0 {
		return nil
	}
	return a.roots[0]
}

// count adds the CPU time that each member used since it was last read. What
// a process used between the last reading and its end is not known and not
// counted; what it used before the first one is.
func (a *app) count(now time.Time, bySlot map[*table.Process]*slots.Slot) {
	for _, p := range a.members {
		d := p.NewCPU()
		a.cpu.User += d.User
		a.cpu.System += d.System
		if s := bySlot[p]; s != nil {
			s.CPU.User += d.User
			s.CPU.System += d.System
			s.Rate.Add(now, float64(s.CPU.User+s.CPU.System)/procfs.TicksPerSecond)
		}
	}
	a.rate.Add(now, float64(a.cpu.User+a.cpu.System)/procfs.TicksPerSecond)
}
