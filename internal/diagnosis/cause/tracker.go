// Package cause finds the one cause that explains most of the time that the workers of
// an app lose now, or none. It is pure: no clock, no I/O. Its rules read what the threads
// were seen waiting for, who holds that, and what is usual for the app.
package cause

import (
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxApps is how many apps are judged. Those beyond it are counted.
	maxApps = 200
	// forgetAfter is how long the past of an app is kept that is not seen.
	forgetAfter = time.Hour
	// confirmLooks is in how many consecutive looks a cause must be found before it is
	// reported; changeLooks is the same while another one is reported.
	confirmLooks = 2
	changeLooks  = 3
	// strongShare is the share of the lost time at which one look is enough, if a queue or
	// stuck workers are seen beyond their thresholds.
	strongShare = 0.8
	// calmLooks is for how many looks without harm a cause is kept, and silentLooks the
	// same of looks with harm that do not show it.
	calmLooks   = 3
	silentLooks = 4
	// unreadFor is for how long a judgement is kept of an app that cannot be read.
	unreadFor = 30 * time.Second
)

// All returns every cause, in the order of the label's values.
func All() []model.Cause {
	return []model.Cause{
		model.CauseCPU, model.CauseCPUThrottled, model.CauseDBDown, model.CauseDBLock, model.CauseDBSlow, model.CauseDisk, model.CauseGC, model.CauseGIL,
		model.CauseLock, model.CauseLoopBlocked, model.CauseMemory, model.CausePool, model.CauseRedis, model.CauseSlowClients, model.CauseTasks,
		model.CauseUpstream, model.CauseWorkers,
	}
}

// Limits returns the thresholds in force for an app.
type Limits func(app string) config.Thresholds

// Tracker judges apps look by look. The zero value is for the first one. It is not safe
// for concurrent use. What it keeps of an app is a few hundred bytes.
type Tracker struct {
	apps    map[string]*app
	leftOut uint64
}

// LeftOut returns how many judgements were left out so far because there were too many
// apps.
func (t *Tracker) LeftOut() uint64 { return t.leftOut }

// app is what is kept of one app.
type app struct {
	seen     time.Time
	spent    map[string]float64
	blocked  *float64
	requests counters
	usual    usual
	harm     harmState
	servers  map[string]time.Time // that it had a connection to
	polled   map[string]time.Time // those at which it was seen to wait for data by design

	cause   model.Cause
	since   time.Time
	told    verdict // the last one that found cause
	missing int     // looks since then
	calm    int     // looks without harm
	pending verdict
	found   int // looks in a row that found pending
	began   time.Time
	last    model.Bottleneck
}

// Next returns the bottleneck of each app in a state that was read at now, in the order
// of the state; its cause is "" until one is confirmed. It skips apps that are down, whose
// workers' waits are not known, and those beyond a limit (see [Tracker.LeftOut]). An app
// that could not be read keeps its last one for 30 s, behind the others, by name. The
// caller calls it for each state in turn.
func (t *Tracker) Next(s *model.State, now time.Time, limits Limits) []model.Bottleneck {
	if t.apps == nil {
		t.apps = make(map[string]*app)
	}
	for name, a := range t.apps {
		if now.Sub(a.seen) > forgetAfter {
			delete(t.apps, name)
		}
	}
	out := make([]model.Bottleneck, 0, len(s.Waits))
	for i := range s.Workers {
		name := s.Workers[i].App
		if !isJudged(s, name) {
			continue
		}
		a := t.apps[name]
		if a == nil {
			if len(t.apps) >= maxApps {
				t.leftOut++
				continue
			}
			a = &app{servers: make(map[string]time.Time), polled: make(map[string]time.Time)}
			t.apps[name] = a
		}
		l := newLook(s, &s.Workers[i], now, a)
		a.last = a.next(l, limits(name))
		out = append(out, a.last)
	}
	return t.addUnread(s, now, out)
}

// addUnread appends to out the last bottleneck of each app that could not be read this
// time: for 30 s, unless the app is known to have ended.
func (t *Tracker) addUnread(s *model.State, now time.Time, out []model.Bottleneck) []model.Bottleneck {
	for _, name := range slices.Sorted(maps.Keys(t.apps)) {
		a := t.apps[name]
		ended := slices.ContainsFunc(s.Apps, func(x model.App) bool { return x.Name == name && !x.Up })
		if a.seen.Before(now) && now.Sub(a.seen) <= unreadFor && !ended {
			out = append(out, a.last)
		}
	}
	return out
}

// isJudged reports whether an app runs and it is known what its workers spent their time
// on.
func isJudged(s *model.State, name string) bool {
	up := slices.ContainsFunc(s.Apps, func(a model.App) bool { return a.Name == name && a.Up })
	return up && slices.ContainsFunc(s.Waits, func(w model.AppWaits) bool { return w.App == name && w.Spent != nil })
}

// next judges one more look and returns the app's bottleneck: the harm of this look, and the
// cause only once it is confirmed ("" until then). The evidence is that of the cause, of the
// last look that showed it, else that of the harm.
func (a *app) next(l *look, limits config.Thresholds) model.Bottleneck {
	losses := a.losses(l)
	harm, beyond := a.harm.next(l, limits, &a.usual)
	v := a.judge(l, losses, harm)
	a.usual.observe(l, harm.Any())
	a.confirm(v, harm.Any(), beyond, l.now)
	a.remember(l)
	out := model.Bottleneck{App: l.workers.App, Harm: harm}
	if harm.Any() {
		out.Evidence = losses.evidence(l)
	}
	if a.cause != "" {
		v := &a.told
		out.Cause, out.Since, out.Share, out.Peer, out.Chain, out.Evidence = a.cause, a.since, v.share, v.peer, v.chain, v.evidence
	}
	return out
}

// confirm updates the app's cause by the verdict v of one look. A cause is reported once
// enough looks in a row have found it. It ends when enough looks in a row had no harm, or
// another one is found as often.
func (a *app) confirm(v verdict, harm, beyond bool, now time.Time) {
	switch v.cause {
	case "":
		a.pending, a.found = verdict{}, 0
	case a.pending.cause:
		a.pending = v
		a.found++
	default:
		a.pending, a.found, a.began = v, 1, now
	}
	if a.cause != "" && v.cause == a.cause {
		a.told, a.missing = v, 0
	} else {
		a.missing++
	}
	if !harm {
		if a.calm++; a.calm >= calmLooks || a.cause == "" {
			a.cause = ""
		}
		return
	}
	a.calm = 0
	need := confirmLooks
	switch {
	case a.cause != "":
		need = changeLooks
	case beyond && v.share >= strongShare:
		need = 1
	}
	if a.pending.cause != "" && a.pending.cause != a.cause && a.found >= max(need, a.pending.looks) {
		a.cause, a.told, a.since, a.missing = a.pending.cause, a.pending, a.began, 0
	}
	if a.missing >= silentLooks {
		a.cause = ""
	}
}

// remember stores in a the values with which the next look is compared.
func (a *app) remember(l *look) {
	a.seen, a.spent, a.blocked = l.now, l.totals.Spent, l.totals.Blocked
	a.requests.add(l)
}
