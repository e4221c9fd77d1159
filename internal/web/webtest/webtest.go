// Package webtest has made-up apps and a made-up past, for tests of the page.
package webtest

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// App adds a healthy app of n workers to a state.
func App(s *model.State, name string, n int, now time.Time) {
	started := float64(now.Add(-4 * time.Hour).Unix())
	a := model.App{Name: name, Up: true, Server: "gunicorn", Class: "sync", Started: &started, CPU: model.Known(0.12), Threads: model.Known(float64(n)), OpenFDs: model.Known(31), MaxFDs: model.Known(1024)}
	w := model.AppWorkers{App: name, Counts: &model.WorkerCounts{Idle: float64(n - 1), Busy: 1}}
	m := model.AppMemory{App: name, PSS: model.Known(46e6 * float64(n)), Usage: model.Known(0.2)}
	for i := range n {
		slot, state, seconds := strconv.Itoa(i), "idle", 13.0
		if i == 0 {
			state, seconds = "busy", 0.2
		}
		a.Workers = append(a.Workers, model.WorkerProcess{Slot: slot, CPU: model.Known(0.03), Started: started})
		w.Workers = append(w.Workers, model.Worker{Slot: slot, PID: 4710 + i, State: state, Seconds: seconds, Heartbeat: model.Known(0.4)})
		m.Workers = append(m.Workers, model.WorkerMemory{Slot: slot, RSS: 61e6, Sampled: true, PSS: 46e6, USS: 39e6})
	}
	s.Apps, s.Workers, s.Memory = append(s.Apps, a), append(s.Workers, w), append(s.Memory, m)
	s.Listeners = append(s.Listeners, model.AppListeners{App: name, Listeners: []model.Listener{{Name: ":8000", Length: model.Known(0), Limit: model.Known(2048), Fullness: model.Known(0)}}})
	s.Requests = append(s.Requests, model.AppRequests{App: name, Rate: model.Known(12.4), ErrorRatio: model.Known(0.001), P50: model.Known(0.012), P95: model.Known(0.082), P99: model.Known(0.3)})
}

// Many returns n apps of four workers, of which the first ones, so many, wait for a lock.
func Many(n, sick int, now time.Time) *model.State {
	s := &model.State{Host: model.Host{Memory: model.Known(0.61), CPU: model.Known(0.23)}}
	for i := range n {
		App(s, fmt.Sprintf("app%02d", n-1-i), 4, now)
	}
	for i := range sick {
		Lock(s, fmt.Sprintf("app%02d", i), float64(42-i), now)
	}
	return s
}

// Workers returns one app of n workers, all of which wait for the lock of worker 2.
func Workers(n int, now time.Time) *model.State {
	s := &model.State{Host: model.Host{Memory: model.Known(0.61), CPU: model.Known(0.23)}}
	App(s, "shop", n, now)
	Lock(s, "shop", 42, now)
	return s
}

// Lock makes the workers of an app wait for a lock in MySQL that its worker 2 holds while
// it waits for another service, the first one for so many seconds.
func Lock(s *model.State, app string, seconds float64, now time.Time) {
	open := seconds + 16
	root := &model.Stack{View: "refund", Own: model.Frame{Function: "refund", File: "/srv/shop/billing.py", Line: 131}}
	victim := &model.Stack{View: "checkout", Method: "POST", Route: "/checkout", Own: model.Frame{Function: "pay", File: "/srv/shop/billing.py", Line: 88}}
	c := model.Chain{
		App: app, On: "mysql", Peer: "mysql:main", Kind: "row", Object: "shop.orders", Seconds: seconds,
		Links: []model.Link{{App: app, Slot: "2", PID: 4712, Server: "mysql:main", Connection: 812, On: "upstream", Peer: "10.0.0.9:443", Seconds: seconds + 15, Transaction: &open, Stack: root}},
	}
	for i := range s.Workers {
		if s.Workers[i].App != app {
			continue
		}
		w := s.Workers[i].Workers
		for k := range w {
			w[k].State, w[k].Seconds = "stuck", max(11, seconds-float64(k))
			w[k].Wait = &model.Wait{On: "mysql", Peer: "mysql:main"}
			t := model.Thread{TID: w[k].PID, Main: true, On: "mysql", Peer: "mysql:main", Seconds: w[k].Seconds, Stack: victim}
			if k == 2 {
				w[k].Wait = &model.Wait{On: "upstream", Peer: "10.0.0.9:443"}
				t.On, t.Peer, t.Stack = "upstream", "10.0.0.9:443", root
			} else {
				c.Victims = append(c.Victims, model.Link{App: app, Slot: w[k].Slot, PID: w[k].PID, TID: t.TID, Server: "mysql:main", Connection: uint64(900 + k), On: "mysql", Peer: "mysql:main", Seconds: t.Seconds, Stack: victim}) //nolint:gosec // k is small
			}
			w[k].Threads = []model.Thread{t}
		}
		c.Workers = len(w)
		s.Workers[i].Counts = &model.WorkerCounts{Stuck: float64(len(w))}
	}
	s.Chains = append(s.Chains, c)
	s.Bottlenecks = append(s.Bottlenecks, model.Bottleneck{App: app, Cause: model.CauseDBLock, Peer: "mysql:main", Since: now.Add(-75 * time.Second), Harm: model.Harm{Stuck: model.Known(float64(c.Workers))}, Share: 1, Chain: &c})
	s.Waits = append(s.Waits, model.AppWaits{App: app, Utilization: model.Known(0.92), Saturation: model.Known(27.2)})
}

// Totals returns the seconds of the 14 views of an app at a number of seconds after their
// start.
func Totals(app string, after float64) []ledger.AppTotals {
	a := ledger.AppTotals{App: app}
	for i := range 14 {
		v := ledger.View{Name: fmt.Sprintf("view_%02d", i)}
		if i == 0 {
			v.Name = "checkout"
		}
		v.Seconds[ledger.MySQL], v.Seconds[ledger.CPU] = after*2.9/float64(1+i*i), after*0.4/float64(1+i)
		v.Seconds[ledger.Redis], v.Seconds[ledger.Upstream] = after*0.1/float64(1+i), after*0.3/float64(1+i)
		a.Views = append(a.Views, v)
	}
	return []ledger.AppTotals{a}
}

// Past is a made-up past up to a time: an hour of one app in which MySQL held it up for
// ten minutes. It has the methods that the page asks for.
type Past struct {
	Now time.Time
	App string
}

func payLine() model.Frame {
	return model.Frame{Function: "pay", File: "/srv/shop/billing.py", Line: 88}
}

// Strip returns buckets over any time: in those of the app MySQL holds up requests between
// the 38th and the 50th, and the first six are gaps; those of other apps have no samples.
func (p Past) Strip(app string, from, to time.Time, buckets int) history.Strip {
	s := history.Strip{App: app, From: from, To: to, Step: (to.Sub(from) + time.Second) / time.Duration(buckets), On: []string{"mysql", "cpu", "upstream", "redis", "sleep"}}
	for i := range buckets {
		b := history.Bucket{At: from.Add(time.Duration(i) * s.Step), Samples: 60}
		x := float64(i)
		b.Requests = []float64{0.2 + 0.1*math.Sin(x/3), 0.3 + 0.1*math.Cos(x/5), 0.1, 0.05, 0}
		switch {
		case app != p.App:
			b.Samples, b.Requests = 0, nil
		case i > 38 && i < 50:
			b.Requests = []float64{2.9, 0.1, 1, 0, 0}
		case i < 6:
			b.Samples, b.Requests = 0, nil
		case i == 20:
			b.Requests = nil
		}
		s.Buckets = append(s.Buckets, b)
	}
	return s
}

// Top returns three rows of any time, or the first limit of them; none of another app.
func (p Past) Top(app string, from, to time.Time, limit int) history.Top {
	t := history.Top{App: app, From: from, To: to, Samples: 60, Seconds: 230, Left: 3}
	if app != p.App {
		return history.Top{App: app, From: from, To: to}
	}
	blocker := &history.Blocker{App: app, Slot: "2", PID: 4712, Server: "mysql:main", Connection: 812, View: "refund", Line: model.Frame{Function: "refund", File: "/srv/shop/billing.py", Line: 131}}
	t.Rows = []history.Row{
		{App: app, View: "checkout", Line: payLine(), On: "mysql", Peer: "mysql:main", Digest: "UPDATE orders SET paid = ? WHERE id = ?", Blocker: blocker, Seconds: 170, Share: 170.0 / 230, Longest: 42, Workers: 3},
		{App: app, View: "refund", Line: blocker.Line, On: "upstream", Peer: "10.0.0.9:443", Kind: "https", Seconds: 58, Share: 58.0 / 230, Longest: 57, Workers: 1},
		{App: app, On: "cpu", Seconds: 2, Share: 2.0 / 230, Longest: 0.2, Workers: 1},
	}
	t.Rows = t.Rows[:min(limit, len(t.Rows))]
	return t
}

// At returns two requests of any time; none of another app. limit must be 2 or more.
func (p Past) At(app string, at time.Time, limit int) history.Moment {
	if app != p.App {
		return history.Moment{}
	}
	m := history.Moment{At: at.Add(400 * time.Millisecond), Left: 1}
	for i, row := range p.Top(app, at, at, limit).Rows[:2] {
		m.Requests = append(m.Requests, history.Request{App: app, Slot: strconv.Itoa(2 * i), PID: 4710 + 2*i, View: row.View, On: row.On, Peer: row.Peer, Line: row.Line, Digest: row.Digest, Blocker: row.Blocker, Seconds: row.Longest})
	}
	return m
}

// Kept returns an hour.
func (p Past) Kept() history.Kept {
	return history.Kept{From: p.Now.Add(-time.Hour), To: p.Now, Bytes: 1_300_000, MaxBytes: 16 << 20, Stored: true}
}

// Incidents returns two, the newest first: that one is open.
func (p Past) Incidents(int) []model.Incident {
	s := Workers(4, p.Now)
	return []model.Incident{
		{ID: "i-2", App: p.App, Start: p.Now.Add(-75 * time.Second), Cause: model.CauseDBLock, Peer: "mysql:main", Worst: model.Harm{Stuck: model.Known(4), Queue: model.Known(31)}, Chain: &s.Chains[0]},
		{
			ID: "i-1", App: p.App, Start: p.Now.Add(-21 * time.Minute), End: p.Now.Add(-10 * time.Minute), Cause: model.CauseUpstream, Peer: "10.0.0.9:443", Interrupted: true,
			Worst: model.Harm{Latency: model.Known(8.2), Errors: model.Known(0.12)}, Ends: map[string]int{"timeout": 3, "signal": 1}, Actions: []string{"01J8", "01J9"},
		},
	}
}

// LastWords returns those of two workers, the newest first, whatever the limit.
func (p Past) LastWords(int) []model.LastWords {
	stack := &model.Stack{View: "checkout", Method: "POST", Route: "/checkout", Own: payLine()}
	return []model.LastWords{
		{
			App: p.App, Slot: "1", PID: 4711, Ended: p.Now.Add(-12 * time.Minute), Reason: "timeout", Digest: "UPDATE orders SET paid = ? WHERE id = ?",
			Thread: model.Thread{TID: 4711, On: "mysql", Peer: "mysql:main", Seconds: 30, Stack: stack}, Blocker: &model.Link{App: p.App, Slot: "2", Server: "mysql:main", Connection: 812},
		},
		{App: p.App, Slot: "3", PID: 4690, Ended: p.Now.Add(-40 * time.Minute), Reason: "oom", Thread: model.Thread{TID: 4690, On: "cpu", Seconds: 3.2}},
	}
}
