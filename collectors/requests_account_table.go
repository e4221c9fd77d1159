package collectors

import (
	"slices"
	"time"
)

// placeFor is how long an app that is not watched keeps its place without an
// event, and placeAtLeast how long before another may have it.
const (
	accountIdleLimit      = time.Hour
	minIdleBeforeEviction = 10 * time.Minute
)

// claimant is for whom a name that no watched app has is kept: one user, or all
// whose user cannot be proven.
type userKey struct {
	uid    uint32
	proven bool
}

// places are the accounts of apps, and who may report for them.
type accountTable struct {
	maxNames int // names, beside those of watched apps
	apps     map[string]*account
	// epoch grows when a judgement of before may not hold any more.
	epoch  uint64
	opened uint64 // accounts that were opened
	full   bool   // there was no place for one more, since the last look
}

// open adds an account. The caller has made sure of its place.
func (p *accountTable) open(a *account) *account {
	p.opened++
	a.serial = p.opened
	p.apps[a.name] = a
	p.epoch++
	return a
}

// drop removes an account with all that it counted.
func (p *accountTable) remove(a *account, l *limits) {
	l.pairs[a.class] -= a.pairs
	delete(p.apps, a.name)
	p.epoch++
}

// shared returns the account of a name that stands for many.
func (p *accountTable) sharedAccount(name string) *account {
	if a := p.apps[name]; a != nil {
		return a
	}
	return p.open(&account{name: name, class: classClaimed})
}

// common reports whether an account stands for many.
func (a *account) isShared() bool {
	return a.class == classClaimed && (a.name == other || a.name == unknown)
}

// learn takes over which apps are watched, with the user ids of their processes.
// What strangers reported under a name that turns out to be a watched app's is
// dropped: it was never that app's.
func (r *Requests) setWatchedApps(users map[string][]uint32) {
	for name, uids := range users {
		if a := r.accounts.apps[name]; a != nil && a.class == classWatched {
			r.accounts.setUsers(a, uids)
		} else if len(uids) > 0 { // else it has not run here yet
			r.watchApp(a, name, uids)
		}
	}
	for name, a := range r.accounts.apps {
		if _, still := users[name]; !still && a.class == classWatched {
			a.unwatched = true
		}
	}
}

// renew notes the users of a watched app; one that is down keeps those that it had.
func (p *accountTable) setUsers(a *account, uids []uint32) {
	if !a.unwatched && (len(uids) == 0 || slices.Equal(a.users, uids)) {
		return
	}
	a.unwatched = false
	if len(uids) > 0 {
		a.users = uids
	}
	p.epoch++
}

// adopt makes the account of an app that is watched from now on. What its own
// user or somebody trusted reported before is kept.
func (r *Requests) watchApp(a *account, name string, uids []uint32) {
	if a != nil && (a.class == classTrusted || a.owner.proven && slices.Contains(uids, a.owner.uid)) {
		r.limits.pairs[a.class] -= a.pairs
		r.limits.pairs[classWatched] += a.pairs
		a.class, a.users = classWatched, uids
		r.accounts.epoch++
		return
	}
	if a != nil {
		r.accounts.remove(a, &r.limits)
	}
	r.makeRoom(classWatched)
	r.accounts.open(&account{name: name, class: classWatched, users: uids, lastEvent: r.o.Now()})
}

// may reports whether a sender may report for an app.
func (r *Requests) mayReport(s *sender, a *account) bool {
	switch {
	case a.isShared(), r.isTrusted(s):
		return true
	case a.class == classWatched:
		return s.source.Proven && slices.Contains(a.users, s.source.UID)
	default:
		return a.class == classClaimed && a.owner == s.user()
	}
}

func (r *Requests) isTrusted(s *sender) bool { return r.o.Trusts == nil || r.o.Trusts(s.source) }

// admit returns the account of an app for a sender who may report for it, and
// opens one if there is a place; folded: it is that of all for whom there is
// none. nil: the sender may not.
func (r *Requests) accountForSender(s *sender, name string) (a *account, folded bool) {
	if a = r.accounts.apps[name]; a != nil {
		if !r.mayReport(s, a) {
			return nil, false
		}
		if a.class != classClaimed || a.isShared() || a.owner == s.user() {
			return a, false
		}
		r.accounts.remove(a, &r.limits) // somebody to be believed uses the name that a stranger claimed
	}
	if name == other || name == unknown {
		return r.accounts.sharedAccount(name), false
	}
	a = &account{name: name, class: classTrusted, lastEvent: r.o.Now()}
	if !r.isTrusted(s) {
		a.class, a.owner = classClaimed, s.user()
		if !r.mayClaim(a.owner) {
			return r.accounts.sharedAccount(other), true
		}
	}
	if !r.makeRoom(a.class) {
		return r.accounts.sharedAccount(other), true
	}
	return r.accounts.open(a), false
}

// mayClaim reports whether a stranger may have one more name: each user a fifth
// of the places, those who are not proven, and all of them together, the half.
func (r *Requests) mayClaim(user userKey) bool {
	own, all := 0, 0
	for _, a := range r.accounts.apps {
		if a.class != classClaimed || a.isShared() {
			continue
		}
		all++
		if a.owner == user {
			own++
		}
	}
	limit := max(1, r.accounts.maxNames/5)
	if !user.proven {
		limit = max(1, r.accounts.maxNames/2)
	}
	if own < limit && all < max(1, r.accounts.maxNames/2) {
		return true
	}
	return r.evict(func(a *account) bool {
		return a.class == classClaimed && (own < limit || a.owner == user) && r.idleTime(a) > minIdleBeforeEviction
	})
}

// makeRoom reports whether one more account may be opened, and closes another
// one for it if need be. A watched app always has a place, before those of
// strangers. The names of trusted senders have places.max beside the watched
// apps, those of strangers what both leave of it. Of apps that were watched and
// are gone, the places.max heard of last are kept.
func (r *Requests) makeRoom(class accountClass) bool {
	all, named, gone := 0, 0, 0
	for _, a := range r.accounts.apps {
		if a.isShared() {
			continue
		}
		all++
		if a.class != classWatched {
			named++
		}
		if a.unwatched {
			gone++
		}
	}
	stranger := func(a *account) bool { return a.class == classClaimed }
	silent := func(a *account) bool {
		return (a.class != classWatched || a.unwatched) && r.idleTime(a) > minIdleBeforeEviction
	}
	if class == classWatched {
		if all >= r.accounts.maxNames && !r.evict(stranger) && !r.evict(silent) && gone >= r.accounts.maxNames {
			r.evict(func(a *account) bool { return a.unwatched })
		}
		return true
	}
	if r.accounts.full {
		return false
	}
	switch {
	case all < r.accounts.maxNames:
		return true
	case class != classClaimed && r.evict(stranger), r.evict(silent):
		return true
	case class != classClaimed && named < r.accounts.maxNames:
		return true
	}
	r.accounts.full = class != classClaimed // until the next look
	return false
}

func (r *Requests) idleTime(a *account) time.Duration { return r.o.Now().Sub(a.lastEvent) }

// evict closes the account that was silent for longest, of those that may be.
func (r *Requests) evict(allowed func(*account) bool) bool {
	var oldest *account
	for _, a := range r.accounts.apps {
		if !a.isShared() && allowed(a) && (oldest == nil || a.lastEvent.Before(oldest.lastEvent)) {
			oldest = a
		}
	}
	if oldest == nil {
		return false
	}
	r.accounts.remove(oldest, &r.limits)
	return true
}

// age notes which apps were heard of, and closes those that have long been silent.
func (r *Requests) expireAccounts(now time.Time) {
	r.accounts.full = false
	for _, a := range r.accounts.apps {
		switch {
		case a.dirty:
			a.dirty, a.lastEvent = false, now
		case a.isShared(), a.class == classWatched && !a.unwatched:
		case now.Sub(a.lastEvent) > accountIdleLimit:
			r.accounts.remove(a, &r.limits)
		}
	}
}
