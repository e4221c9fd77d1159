package collectors

import (
	"slices"
	"time"
)

// accountIdleLimit is how long an unwatched app keeps its account without an event,
// and minIdleBeforeEviction how long before the account may be evicted for another.
const (
	accountIdleLimit      = time.Hour
	minIdleBeforeEviction = 10 * time.Minute
)

// accountTable has the accounts of the apps.
type accountTable struct {
	maxNames int // maximum number of accounts without those of watched apps
	apps     map[string]*account
	// epoch grows when a cachedAccount may be out of date.
	epoch  uint64
	opened uint64 // accounts opened so far
	full   bool   // no account could be opened since the last expireAccounts
}

// open puts an account into the table and returns it. The caller has checked the limit.
func (p *accountTable) open(a *account) *account {
	p.opened++
	a.serial = p.opened
	p.apps[a.name] = a
	p.epoch++
	return a
}

// remove removes an account from the table, and its pairs from the counts of the limits.
func (p *accountTable) remove(a *account, l *limits) {
	l.pairs[a.class] -= a.pairs
	delete(p.apps, a.name)
	p.epoch++
}

// sharedAccount returns the account "other" or "unknown", whichever name says, which it
// makes if there is none: that of a watched or trusted app if one has that name.
func (p *accountTable) sharedAccount(name string) *account {
	if a := p.apps[name]; a != nil {
		return a
	}
	return p.open(&account{name: name, class: classClaimed})
}

// isShared reports whether an account is "other" or "unknown", which several apps share;
// false for that of a watched or trusted app of such a name.
func (a *account) isShared() bool {
	return a.class == classClaimed && (a.name == other || a.name == unknown)
}

// setWatchedApps sets which apps are watched, by the user ids of their processes. If
// another user has claimed the name of one, what was reported under it is dropped.
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

// setUsers sets the users of a watched app. An empty list is ignored: an app that is down
// keeps its last users.
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

// watchApp makes the account of an app one of a watched app. It keeps the counts of a if
// a trusted sender or the app's own user reported them, else it begins with none. a may
// be nil.
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

// mayReport reports whether a sender may report for the app of an account: any for a
// shared account, a trusted one for all; else a proven user of a watched app, or the user
// that has claimed the name.
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

// isTrusted reports whether a sender may report for every app, by the configuration; each
// may if Trusts is nil.
func (r *Requests) isTrusted(s *sender) bool { return r.o.Trusts == nil || r.o.Trusts(s.source) }

// accountForSender returns the account of an app for a sender, which it makes if the limits
// allow it. folded: they do not, and it is "other". nil: the sender may not report for that
// app. The names "other" and "unknown" are not folded. A name that another user has claimed
// gets a new account if the sender is trusted.
func (r *Requests) accountForSender(s *sender, name string) (a *account, folded bool) {
	if a = r.accounts.apps[name]; a != nil {
		if !r.mayReport(s, a) {
			return nil, false
		}
		if a.class != classClaimed || a.isShared() || a.owner == s.user() {
			return a, false
		}
		r.accounts.remove(a, &r.limits) // a trusted sender uses a name that another user claimed
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

// mayClaim reports whether a user that is not trusted may claim one more name: each user
// a fifth of maxNames, the unproven senders together and all users together a half. It
// evicts an idle claimed account if that makes room.
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

// makeRoom reports whether one more account of a class may be made, and evicts another one
// if that is needed. A watched app always gets one, trusted senders up to maxNames,
// untrusted ones what is left of maxNames; after a trusted one was refused, none but
// watched apps until the next expireAccounts.
//
// Of apps that are not watched any more, the maxNames with the newest events are kept.
func (r *Requests) makeRoom(class accountClass) bool {
	n, most := r.countAccounts(), r.accounts.maxNames
	isClaimed := func(a *account) bool { return a.class == classClaimed }
	isIdle := func(a *account) bool {
		return (a.class != classWatched || a.unwatched) && r.idleTime(a) > minIdleBeforeEviction
	}
	if class == classWatched {
		if n.all >= most && !r.evict(isClaimed) && !r.evict(isIdle) && n.unwatched >= most {
			r.evict(func(a *account) bool { return a.unwatched })
		}
		return true
	}
	if r.accounts.full {
		return false
	}
	switch {
	case n.all < most:
		return true
	case class != classClaimed && r.evict(isClaimed), r.evict(isIdle):
		return true
	case class != classClaimed && n.named < most:
		return true
	}
	r.accounts.full = class != classClaimed // until the next expireAccounts
	return false
}

// accountCounts has the number of accounts but the shared ones.
type accountCounts struct {
	all       int
	named     int // not of a watched app
	unwatched int // of an app that is not watched any more
}

// countAccounts returns how many accounts there are: all, those of no watched app, and
// those of apps that were watched and are not any more. Shared ones do not count.
func (r *Requests) countAccounts() (n accountCounts) {
	for _, a := range r.accounts.apps {
		if a.isShared() {
			continue
		}
		n.all++
		if a.class != classWatched {
			n.named++
		}
		if a.unwatched {
			n.unwatched++
		}
	}
	return n
}

// idleTime returns the time since the last event of an account, as of the last call of
// expireAccounts that found one.
func (r *Requests) idleTime(a *account) time.Duration { return r.o.Now().Sub(a.lastEvent) }

// evict removes the account that has been idle for longest, among those that are not shared
// and for which allowed returns true. false: there was none.
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

// expireAccounts sets lastEvent and heardAt of the accounts that had events since the last call, and
// removes those that are idle for longer than accountIdleLimit, unless they are watched
// or shared.
func (r *Requests) expireAccounts(now time.Time) {
	r.accounts.full = false
	for _, a := range r.accounts.apps {
		if a.heard {
			a.heard, a.heardAt = false, now
		}
		switch {
		case a.dirty:
			a.dirty, a.lastEvent = false, now
		case a.isShared(), a.class == classWatched && !a.unwatched:
		case now.Sub(a.lastEvent) > accountIdleLimit:
			r.accounts.remove(a, &r.limits)
		}
	}
}

// Names returns the names under which requests are reported, "other" and "unknown"
// included, in no order; nil for a nil r.
func (r *Requests) Names() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.accounts.apps))
	for _, a := range r.accounts.apps {
		out = append(out, a.name)
	}
	return out
}
