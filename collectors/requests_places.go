package collectors

import (
	"slices"
	"time"
)

// placeFor is how long an app that is not watched keeps its place without an
// event, and placeAtLeast how long before another may have it.
const (
	placeFor     = time.Hour
	placeAtLeast = 10 * time.Minute
)

// places are the accounts of apps, and who may report for them.
type places struct {
	max  int // names, beside those of watched apps
	apps map[string]*account
	// epoch grows when a judgement of before may not hold any more.
	epoch uint64
	began uint64 // accounts that were opened
	full  bool   // there was no place for one more, since the last look
}

// open adds an account. The caller has made sure of its place.
func (p *places) open(a *account) *account {
	p.began++
	a.began = p.began
	p.apps[a.name] = a
	p.epoch++
	return a
}

// drop removes an account with all that it counted.
func (p *places) drop(a *account, l *limits) {
	l.pairs[a.standing] -= a.pairs
	delete(p.apps, a.name)
	p.epoch++
}

// shared returns the account of a name that stands for many.
func (p *places) shared(name string) *account {
	if a := p.apps[name]; a != nil {
		return a
	}
	return p.open(&account{name: name, standing: claimed})
}

// common reports whether an account stands for many.
func (a *account) common() bool {
	return a.standing == claimed && (a.name == other || a.name == unknown)
}

// learn takes over which apps are watched, with the user ids of their processes.
// What strangers reported under a name that turns out to be a watched app's is
// dropped: it was never that app's.
func (r *Requests) learn(users map[string][]uint32) {
	for name, uids := range users {
		if a := r.places.apps[name]; a != nil && a.standing == watched {
			r.places.renew(a, uids)
		} else if len(uids) > 0 { // else it has not run here yet
			r.adopt(a, name, uids)
		}
	}
	for name, a := range r.places.apps {
		if _, still := users[name]; !still && a.standing == watched {
			a.gone = true
		}
	}
}

// renew notes the users of a watched app; one that is down keeps those that it had.
func (p *places) renew(a *account, uids []uint32) {
	if !a.gone && (len(uids) == 0 || slices.Equal(a.users, uids)) {
		return
	}
	a.gone = false
	if len(uids) > 0 {
		a.users = uids
	}
	p.epoch++
}

// adopt makes the account of an app that is watched from now on. What its own
// user or somebody trusted reported before is kept.
func (r *Requests) adopt(a *account, name string, uids []uint32) {
	if a != nil && (a.standing == trusted || a.owner.proven && slices.Contains(uids, a.owner.uid)) {
		r.limits.pairs[a.standing] -= a.pairs
		r.limits.pairs[watched] += a.pairs
		a.standing, a.users = watched, uids
		r.places.epoch++
		return
	}
	if a != nil {
		r.places.drop(a, &r.limits)
	}
	r.makeRoom(watched)
	r.places.open(&account{name: name, standing: watched, users: uids, seen: r.o.Now()})
}

// may reports whether a sender may report for an app.
func (r *Requests) may(s *sender, a *account) bool {
	switch {
	case a.common(), r.trusts(s):
		return true
	case a.standing == watched:
		return s.source.Proven && slices.Contains(a.users, s.source.UID)
	default:
		return a.standing == claimed && a.owner == s.claimant()
	}
}

func (r *Requests) trusts(s *sender) bool { return r.o.Trusts == nil || r.o.Trusts(s.source) }

// admit returns the account of an app for a sender who may report for it, and
// opens one if there is a place; folded: it is that of all for whom there is
// none. nil: the sender may not.
func (r *Requests) admit(s *sender, name string) (a *account, folded bool) {
	if a = r.places.apps[name]; a != nil {
		if !r.may(s, a) {
			return nil, false
		}
		if a.standing != claimed || a.common() || a.owner == s.claimant() {
			return a, false
		}
		r.places.drop(a, &r.limits) // somebody to be believed uses the name that a stranger claimed
	}
	if name == other || name == unknown {
		return r.places.shared(name), false
	}
	a = &account{name: name, standing: trusted, seen: r.o.Now()}
	if !r.trusts(s) {
		a.standing, a.owner = claimed, s.claimant()
		if !r.mayClaim(a.owner) {
			return r.places.shared(other), true
		}
	}
	if !r.makeRoom(a.standing) {
		return r.places.shared(other), true
	}
	return r.places.open(a), false
}

// mayClaim reports whether a stranger may have one more name: each user a fifth
// of the places, those who are not proven, and all of them together, the half.
func (r *Requests) mayClaim(who claimant) bool {
	own, all := 0, 0
	for _, a := range r.places.apps {
		if a.standing != claimed || a.common() {
			continue
		}
		all++
		if a.owner == who {
			own++
		}
	}
	limit := max(1, r.places.max/5)
	if !who.proven {
		limit = max(1, r.places.max/2)
	}
	if own < limit && all < max(1, r.places.max/2) {
		return true
	}
	return r.evict(func(a *account) bool {
		return a.standing == claimed && (own < limit || a.owner == who) && r.idle(a) > placeAtLeast
	})
}

// makeRoom reports whether one more account may be opened, and closes another
// one for it if need be. A watched app always has a place, before those of
// strangers. The names of trusted senders have places.max beside the watched
// apps, those of strangers what both leave of it. Of apps that were watched and
// are gone, the places.max heard of last are kept.
func (r *Requests) makeRoom(class standing) bool {
	all, named, gone := 0, 0, 0
	for _, a := range r.places.apps {
		if a.common() {
			continue
		}
		all++
		if a.standing != watched {
			named++
		}
		if a.gone {
			gone++
		}
	}
	stranger := func(a *account) bool { return a.standing == claimed }
	silent := func(a *account) bool { return (a.standing != watched || a.gone) && r.idle(a) > placeAtLeast }
	if class == watched {
		if all >= r.places.max && !r.evict(stranger) && !r.evict(silent) && gone >= r.places.max {
			r.evict(func(a *account) bool { return a.gone })
		}
		return true
	}
	if r.places.full {
		return false
	}
	switch {
	case all < r.places.max:
		return true
	case class != claimed && r.evict(stranger), r.evict(silent):
		return true
	case class != claimed && named < r.places.max:
		return true
	}
	r.places.full = class != claimed // until the next look
	return false
}

func (r *Requests) idle(a *account) time.Duration { return r.o.Now().Sub(a.seen) }

// evict closes the account that was silent for longest, of those that may be.
func (r *Requests) evict(may func(*account) bool) bool {
	var oldest *account
	for _, a := range r.places.apps {
		if !a.common() && may(a) && (oldest == nil || a.seen.Before(oldest.seen)) {
			oldest = a
		}
	}
	if oldest == nil {
		return false
	}
	r.places.drop(oldest, &r.limits)
	return true
}

// age notes which apps were heard of, and closes those that have long been silent.
func (r *Requests) age(now time.Time) {
	r.places.full = false
	for _, a := range r.places.apps {
		switch {
		case a.dirty:
			a.dirty, a.seen = false, now
		case a.common(), a.standing == watched && !a.gone:
		case now.Sub(a.seen) > placeFor:
			r.places.drop(a, &r.limits)
		}
	}
}
