package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// MaxApps is how many discovered apps of one host are reported, those that
	// have ended included.
	MaxApps = 200
	// rootQuota is how many apps of root are always reported.
	rootQuota = MaxApps / 2
	// accountQuota is how many apps of one other account are reported.
	accountQuota = MaxApps / 2
	// establishedAfter is how long an app must have run for its name to be kept
	// while it is down.
	establishedAfter = time.Minute
	// forgetYoungAfter is how long an app that ended before that is reported as
	// down.
	forgetYoungAfter = 5 * time.Minute
)

// admit makes apps of new roots, as far as MaxApps permits.
//
// An early start, a restart or many forks do not help a user to be first. Apps
// are admitted in rounds: each account's first one before any account's second.
// Within a round root's come first, then those of system users and services, then
// the others; within one account the apps that are known.
func (w *Watcher) admit(roots []*table.Process, now time.Time) {
	w.rejectedBy = make(map[procfs.Account]int)
	if len(roots) == 0 {
		return
	}
	for _, p := range roots {
		w.table.OwnerWithUnit(p)
		if !p.Rejected || p.Names().ID.Base == "" {
			p.Names().ID = w.idOf(p)
		}
	}
	roots = slices.DeleteFunc(roots, func(p *table.Process) bool { return p.Names().Pending() }) // the next scan names them
	slices.SortFunc(roots, func(x, y *table.Process) int {
		return cmp.Or(cmp.Compare(x.Owner.Tier, y.Owner.Tier), cmp.Compare(x.Owner.Account, y.Owner.Account), appname.CompareIDs(&x.Names().ID, &y.Names().ID), table.Oldest(x, y))
	})
	if slices.ContainsFunc(w.apps, func(a *app) bool { return len(a.roots) == 0 }) {
		roots = slices.DeleteFunc(roots, func(p *table.Process) bool { return w.resume(p, p.Names().ID) })
		roots = slices.DeleteFunc(roots, func(p *table.Process) bool {
			return w.joinRunning(p, p.Names().ID) || w.resumeElsewhere(p, p.Names().ID)
		})
	}
	type group struct {
		account procfs.Account
		tier    table.Tier
	}
	full := make(map[group]bool)
	for _, p := range roots {
		g := group{p.Owner.Account, p.Owner.Tier}
		if !p.Rejected && w.joinRunning(p, p.Names().ID) {
			continue
		}
		if full[g] || !w.createApp(p, p.Names().ID, now) {
			full[g] = true
			w.countRejected(p)
		}
	}
}

// createApp adds a new app with p as its root; false: there is no room or no name for it.
// true without an app if p was rejected before and has ended.
func (w *Watcher) createApp(p *table.Process, id appname.ID, now time.Time) bool {
	if p.Rejected && w.table.RereadStat(p) && p.Ended() {
		return true
	}
	name := w.newName(p, id, now)
	if name == "" || !w.evictFor(p, now) {
		return false
	}
	delete(w.reserved, name)
	a := newApp(name, -1)
	a.id, a.owner, a.unit, a.since, a.tier = id, p.Owner.Account, p.Owner.Unit, now, p.Owner.Tier
	a.roots = []*table.Process{p}
	w.apps = append(w.apps, a)
	w.namesChanged = true
	return true
}

// evictFor reports whether there is room for a new app of p's account, if need be after it has
// removed the app that has to make room. False: none has to.
func (w *Watcher) evictFor(p *table.Process, now time.Time) bool {
	held := 0
	for _, a := range w.apps {
		if a.matchIndex < 0 && a.owner == p.Owner.Account {
			held++
		}
	}
	over := p.Owner.Account != 0 && held >= accountQuota
	if len(w.apps) < MaxApps && !over {
		return true
	}
	last := w.evictionCandidate(p, held, over)
	if last == nil {
		return false
	}
	w.reserve(last, now)
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool { return a == last })
	for _, m := range last.members {
		m.Member = nil
	}
	return true
}

// evictionCandidate returns the app that makes room for p: the last of the same account if it has
// ended, else, unless own, the last of an account with more apps than held and p, or as many of a
// lower tier; nil for none. Configured apps never do, those of root only beyond rootQuota.
func (w *Watcher) evictionCandidate(p *table.Process, held int, own bool) *app {
	byAccount := make(map[procfs.Account][]*app)
	for _, a := range w.apps {
		if a.matchIndex < 0 {
			byAccount[a.owner] = append(byAccount[a.owner], a)
		}
	}
	for _, list := range byAccount {
		slices.SortFunc(list, precedence)
	}
	if mine := byAccount[p.Owner.Account]; len(mine) > 0 && len(mine[len(mine)-1].roots) == 0 {
		return mine[len(mine)-1]
	}
	if own {
		return nil
	}
	delete(byAccount, p.Owner.Account)
	if len(byAccount[0]) <= rootQuota {
		delete(byAccount, 0)
	}
	last, round := lastAdmitted(byAccount)
	if last == nil || held > round || held == round && p.Owner.Tier >= last.tier {
		return nil
	}
	return last
}

// lastAdmitted returns the app that was admitted last in the latest round, and that round
// from 0: the last one of the account with the most apps. nil: there is no app.
func lastAdmitted(byAccount map[procfs.Account][]*app) (last *app, lastRound int) {
	for owner, list := range byAccount {
		round, a := len(list)-1, list[len(list)-1]
		if last == nil || cmp.Or(cmp.Compare(round, lastRound), cmp.Compare(a.tier, last.tier), precedence(a, last), cmp.Compare(owner, last.owner)) > 0 {
			last, lastRound = a, round
		}
	}
	return last, lastRound
}

// precedence compares two apps of one account: established ones come first, then those that
// run, then the older.
func precedence(x, y *app) int {
	ended := func(a *app) int {
		if len(a.roots) == 0 {
			return 1
		}
		return 0
	}
	young := func(a *app) int {
		if !a.established {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(young(x), young(y)), cmp.Compare(ended(x), ended(y)), x.since.Compare(y.since), cmp.Compare(x.name, y.name))
}

// countRejected counts a root that was not admitted, once.
func (w *Watcher) countRejected(p *table.Process) {
	w.rejectedBy[p.Owner.Account]++
	if !p.Rejected {
		p.Rejected = true
		w.rejectedApps++
	}
}

// LeftOut is a user whose apps were not admitted.
type LeftOut struct {
	UID  uint32
	Apps int
}

// maxLeftOut is how many such users are reported.
const maxLeftOut = 8

// rejectedUsers returns how many apps of each user were not admitted, the smallest user
// id first, for at most 8 users.
func (w *Watcher) rejectedUsers() []LeftOut {
	var out []LeftOut
	for a, n := range w.rejectedBy {
		out = append(out, LeftOut{UID: uint32(a), Apps: n})
	}
	slices.SortFunc(out, func(x, y LeftOut) int { return cmp.Compare(x.UID, y.UID) })
	return out[:min(len(out), maxLeftOut)]
}
