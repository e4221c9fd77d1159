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

// forgetAfter is how long an app that has ended is reported as down.
const forgetAfter = time.Hour

// app is what is kept of an app between scans. It outlives its processes: its
// counters continue when it is restarted.
type app struct {
	name       string
	id         appname.ID     // of a discovered one
	last       *table.Process // the root that it last had; nil: none yet
	matchIndex int            // index of the configured match, −1 if discovered

	owner       procfs.Account  // its owner; of a configured one that of its last roots
	formerOwner *procfs.Account // of a configured one: its owner before, if it was established
	unit        string          // the service it ran in; "": none
	tier        table.Tier
	since       time.Time // when it was first seen to run without a break, or of a discovered one at all
	established bool      // it has run for establishedAfter: its name is kept for it
	strangers   []uint32  // users of other processes that match and listen, which are no part of it; at most 8
	matchErr    error     // why its pid file is not trusted

	roots     []*table.Process
	workers   []*table.Process
	members   []*table.Process
	listeners []sockdiag.Listener
	namespace *conns.Namespace

	purposes listeners.Purposes // of its listening sockets

	slots.Set
	cpu         table.CPUTime // ticks
	rate        slots.Rate
	searchedAt  time.Time // when the holder of its listener was last searched for
	downSince   time.Time // when its last process ended; zero: it runs
	skipped     int       // processes beyond a bound, which are not read
	skippedMost int       // the most there were at once
}

// memberOf returns the app that a process belongs to; nil if it belongs to none.
func memberOf(p *table.Process) *app {
	a, _ := p.Member.(*app)
	return a
}

// newApp returns an app without processes; conf is the index of its configured
// match, −1 for a discovered one.
func newApp(name string, conf int) *app {
	return &app{name: name, matchIndex: conf, Set: slots.New()}
}

// root returns the main process of an app, the oldest of its roots; nil while it
// is down.
func (a *app) root() *table.Process {
	if len(a.roots) == 0 {
		return nil
	}
	return a.roots[0]
}

// countCPU adds to an app and its slots the CPU time that each member used since it was last
// read. What a process used between the last reading and its end is not counted; what it used
// before the first one is.
func (a *app) countCPU(now time.Time, bySlot map[*table.Process]*slots.Slot) {
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
