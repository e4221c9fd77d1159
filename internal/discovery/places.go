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
	// MaxApps bounds the discovered apps of one host, the ended ones that are still
	// reported included. Each has a place.
	MaxApps = 200
	// settledShare is how many places root's apps keep whoever else waits.
	settledShare = MaxApps / 2
	// othersShare is how many places one other account may hold at all.
	othersShare = MaxApps / 2
	// establishedAfter is how long an app must have run until its place and its
	// name are kept for it while it is down.
	establishedAfter = time.Minute
	// forgetYoung is how long an app that ended before that is reported as down.
	forgetYoung = 5 * time.Minute
)

// admit gives new roots a place and a name.
//
// Who comes first cannot be had by an early start, a restart or many forks.
// Places are given in rounds: each account's first app comes before any
// account's second. Within a round root's come first, then those of system users
// and services, then the others; within one account the apps that are known.
func (w *Watcher) admit(roots []*table.Process, now time.Time) {
	w.without = make(map[procfs.Account]int)
	if len(roots) == 0 {
		return
	}
	for _, p := range roots {
		w.table.OwnerWithUnit(p)
		if !p.Over || p.Names().ID.Base == "" {
			p.Names().ID = w.idOf(p)
		}
	}
	slices.SortFunc(roots, func(x, y *table.Process) int {
		return cmp.Or(cmp.Compare(x.Owner.Tier, y.Owner.Tier), cmp.Compare(x.Owner.Account, y.Owner.Account), appname.CompareIDs(&x.Names().ID, &y.Names().ID), table.Oldest(x, y))
	})
	if slices.ContainsFunc(w.apps, func(a *app) bool { return len(a.roots) == 0 }) {
		roots = slices.DeleteFunc(roots, func(p *table.Process) bool { return w.resume(p, p.Names().ID) })
		roots = slices.DeleteFunc(roots, func(p *table.Process) bool { return w.join(p, p.Names().ID) || w.move(p, p.Names().ID) })
	}
	type group struct {
		account procfs.Account
		tier    table.Tier
	}
	full := make(map[group]bool)
	for _, p := range roots {
		g := group{p.Owner.Account, p.Owner.Tier}
		if !p.Over && w.join(p, p.Names().ID) {
			continue
		}
		if full[g] || !w.found(p, p.Names().ID, now) {
			full[g] = true
			w.leftOut(p)
		}
	}
}

// found makes a new app of a root; false: there is no place for it.
func (w *Watcher) found(p *table.Process, id appname.ID, now time.Time) bool {
	if p.Over && w.table.RereadStat(p) && p.Ended() {
		return true
	}
	name := w.newName(p, id, now)
	if name == "" || !w.makeRoom(p, now) {
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

// makeRoom makes sure that there is a place for a new app of p's account.
func (w *Watcher) makeRoom(p *table.Process, now time.Time) bool {
	held := 0
	for _, a := range w.apps {
		if a.conf < 0 && a.owner == p.Owner.Account {
			held++
		}
	}
	over := p.Owner.Account != 0 && held >= othersShare
	if len(w.apps) < MaxApps && !over {
		return true
	}
	last := w.lastInLine(p, held, over)
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

// lastInLine returns the app whose place p takes: one that has ended of its own
// account, else the last one of those that hold more places than p's account
// would, or as many with less reason.
func (w *Watcher) lastInLine(p *table.Process, held int, own bool) *app {
	byAccount := make(map[procfs.Account][]*app)
	for _, a := range w.apps {
		if a.conf < 0 {
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
	if len(byAccount[0]) <= settledShare {
		delete(byAccount, 0)
	}
	last, round := lastOf(byAccount)
	if last == nil || held > round || held == round && p.Owner.Tier >= last.tier {
		return nil
	}
	return last
}

// lastOf returns the last app of the account with the most, and its round.
func lastOf(byAccount map[procfs.Account][]*app) (last *app, lastRound int) {
	for owner, list := range byAccount {
		round, a := len(list)-1, list[len(list)-1]
		if last == nil || cmp.Or(cmp.Compare(round, lastRound), cmp.Compare(a.tier, last.tier), precedence(a, last), cmp.Compare(owner, last.owner)) > 0 {
			last, lastRound = a, round
		}
	}
	return last, lastRound
}

// precedence orders the apps of one account: those that are known first, those
// that have ended last.
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

// leftOut counts a root that is one too many, once.
func (w *Watcher) leftOut(p *table.Process) {
	w.without[p.Owner.Account]++
	if !p.Over {
		p.Over = true
		w.overflow++
	}
}

// LeftOut is a user whose apps have no place.
type LeftOut struct {
	UID  uint32
	Apps int
}

// maxLeftOut bounds the users that are named.
const maxLeftOut = 8

// withoutPlace returns the users whose apps have no place, the smallest user id
// first, at most 8.
func (w *Watcher) withoutPlace() []LeftOut {
	var out []LeftOut
	for a, n := range w.without {
		out = append(out, LeftOut{UID: uint32(a), Apps: n})
	}
	slices.SortFunc(out, func(x, y LeftOut) int { return cmp.Compare(x.UID, y.UID) })
	return out[:min(len(out), maxLeftOut)]
}
