package discovery

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// forget is how long an app that is gone is still reported as down.
const forget = time.Hour

// app is what is kept of an app between refreshes. It outlives its processes:
// its counters go on when it is restarted.
type app struct {
	name string
	id   appID    // of a discovered one
	last *process // the root that it last had; nil: none yet
	conf int      // index of the configured match, −1 if discovered

	owner       procfs.Account  // whose it is; of a configured one, as of the roots it last had
	former      *procfs.Account // of a configured one: whose it was before, for long
	unit        string          // the service it ran in; "": none
	tier        tier
	since       time.Time // when it was first seen to run without a break, or of a discovered one at all
	established bool      // it has run for a while: its name, and its place, are kept for it
	strangers   []uint32  // users of other processes that match, listen and are left out; at most 8
	matchErr    error     // why what the match names is not believed

	roots   []*process
	workers []*process
	members []*process
	sockets []sockdiag.Listener
	net     *conns.Namespace

	purposes purposes // of its listening sockets

	slotSet
	cpu      cpuTime // ticks
	rate     rate
	searched time.Time // when the holder of its listener was last looked for
	lost     time.Time // when its last process was gone; zero: it runs
	cut      int       // processes over a bound, which are not looked at
	cutMost  int       // the most there were at once
}

// memberOf returns the app that a process belongs to; nil: none.
func memberOf(p *process) *app {
	a, _ := p.member.(*app)
	return a
}

func newApp(name string, conf int) *app {
	return &app{name: name, conf: conf, slotSet: newSlotSet()}
}

// root is the process that speaks for the app: the oldest of its roots.
func (a *app) root() *process {
	if len(a.roots) == 0 {
		return nil
	}
	return a.roots[0]
}

// count adds the CPU time that each member used since it was last read. What
// a process used between the last reading and its end is not known and not
// counted; what it used before the first one is.
func (a *app) count(now time.Time, bySlot map[*process]*slot) {
	for _, p := range a.members {
		d := p.newCPU()
		a.cpu.user += d.user
		a.cpu.system += d.system
		if s := bySlot[p]; s != nil {
			s.cpu.user += d.user
			s.cpu.system += d.system
			s.rate.add(now, float64(s.cpu.user+s.cpu.system)/procfs.TicksPerSecond)
		}
	}
	a.rate.add(now, float64(a.cpu.user+a.cpu.system)/procfs.TicksPerSecond)
}
