package killblockingtransaction

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// criteria select the connections at the root of a chain of locks that may be ended, and
// bound how many.
type criteria struct {
	dbconn.Sleepers

	minBlocked int
	maxVictims int
	onlyWait   map[uint64]string // what those wait for that are not to blame, by their ids
}

// obstacle is why a root may not be ended; "": it may.
type obstacle string

// The obstacles, in the order in which they are looked for.
const (
	unknownRoot   obstacle = "unknown"   // the server does not say who it is, or it has gone
	protectedUser obstacle = "user"      // not one of the users that may be touched
	notOwn        obstacle = "not_own"   // not proved to be held by the app
	working       obstacle = "working"   // it runs a statement, commits or rolls back
	tooYoung      obstacle = "too_young" // it has not slept for longer than min_idle
	tooManyRows   obstacle = "rows"      // its transaction has changed more than max_trx_rows
	victim        obstacle = "victim"    // its worker only waits because of a fault elsewhere
	shared        obstacle = "shared"    // who waits for it also waits for a root that may not be ended
	tooFew        obstacle = "too_few"   // fewer connections than min_blocked wait for it
)

// root is a connection for which others wait, and that waits for none itself.
type root struct {
	mysql.Connection // its ID is 0 if the server does not say who it is

	blocked  []uint64 // the connections that wait for it, directly or behind others
	obstacle obstacle
}

// chains are the waits of a server, from the waiters to the roots.
type chains struct {
	waiting int    // connections that wait for a lock
	circles int    // of them, those that wait in a circle, which has no root
	roots   []root // the one that blocks most first, then the one that has slept longest
}

// find returns how many connections wait, how many of them in a circle, and the roots, those
// that block the most first, each with its obstacle: what forbids to end it, or "".
func (r *criteria) find(list []mysql.Connection, waits []mysql.ConnectionWait) chains {
	rootsOf := rootsByWaiter(waits)
	out := chains{waiting: len(rootsOf)}
	at := make(map[uint64]*root)
	for waiter, roots := range rootsOf {
		if len(roots) == 0 {
			out.circles++
		}
		for _, id := range roots {
			if at[id] == nil {
				at[id] = &root{}
			}
			at[id].blocked = append(at[id].blocked, waiter)
		}
	}
	for _, c := range list {
		if x := at[c.ID]; x != nil && c.ID != 0 {
			x.Connection = c
		}
	}
	for _, x := range at {
		slices.Sort(x.blocked)
		if x.obstacle = r.obstacleOf(x.Connection); x.obstacle == "" {
			x.obstacle = r.obstacleOfWaiters(x, rootsOf, at)
		}
		out.roots = append(out.roots, *x)
	}
	slices.SortFunc(out.roots, func(a, b root) int {
		return cmp.Or(cmp.Compare(len(b.blocked), len(a.blocked)), cmp.Compare(b.Time, a.Time), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// rootsByWaiter returns for each waiter the connections at the ends of its chains; none
// if they are circles.
func rootsByWaiter(waits []mysql.ConnectionWait) map[uint64][]uint64 {
	blockers := make(map[uint64][]uint64)
	for _, w := range waits {
		blockers[w.Waiter] = append(blockers[w.Waiter], w.Blocker)
	}
	out := make(map[uint64][]uint64, len(blockers))
	for waiter := range blockers {
		out[waiter] = rootsOfWaiter(waiter, blockers)
	}
	return out
}

// rootsOfWaiter returns the connections at the ends of all chains that begin with a
// waiter; none if each of them is a circle.
func rootsOfWaiter(waiter uint64, blockers map[uint64][]uint64) (roots []uint64) {
	seen := map[uint64]bool{waiter: true}
	for next := []uint64{waiter}; len(next) > 0; {
		id := next[len(next)-1]
		next = next[:len(next)-1]
		if len(blockers[id]) == 0 {
			roots = append(roots, id)
		}
		for _, b := range blockers[id] {
			if !seen[b] {
				seen[b] = true
				next = append(next, b)
			}
		}
	}
	return roots
}

// obstacleOf returns what forbids to end a root, whoever waits for it; "" if nothing
// does.
func (r *criteria) obstacleOf(c mysql.Connection) obstacle {
	switch {
	case c.ID == 0:
		return unknownRoot
	case !r.Allowed(c):
		return protectedUser
	case !r.Owner.Selects(c):
		return notOwn
	case !dbconn.SleepsInTransaction(c):
		return working
	case !r.Asleep(c):
		return tooYoung
	case r.HasTooManyRows(c):
		return tooManyRows
	case r.onlyWait[c.ID] != "":
		return victim
	}
	return ""
}

// obstacleOfWaiters returns why it would not help to end a root: tooFew if fewer than
// min_blocked wait for it, shared if enough do, but fewer of them wait for no root that may
// not be ended; "" if it helps.
func (r *criteria) obstacleOfWaiters(x *root, rootsOf map[uint64][]uint64, at map[uint64]*root) obstacle {
	stays := func(id uint64) bool { return r.obstacleOf(at[id].Connection) != "" }
	freed := 0
	for _, waiter := range x.blocked {
		if !slices.ContainsFunc(rootsOf[waiter], stays) {
			freed++
		}
	}
	switch {
	case freed >= r.minBlocked:
		return ""
	case len(x.blocked) >= r.minBlocked:
		return shared
	default:
		return tooFew
	}
}

// victims returns the first of the roots that may be ended, at most max_victims and
// [dbconn.MaxVictims].
func (r *criteria) victims(found chains) (out []root) {
	for _, x := range found.roots {
		if x.obstacle == "" && len(out) < min(max(r.maxVictims, 0), dbconn.MaxVictims) {
			out = append(out, x)
		}
	}
	return out
}

// check returns why nothing may be done with these criteria: max_victims, max_trx_rows or
// min_blocked is missing, or min_idle is below a second; zero: something may.
func (r *criteria) check() action.Refusal {
	switch {
	case r.maxVictims < 1 || r.MaxRows < 0 || r.minBlocked < 1:
		return action.Refuse(action.CodeSettingMissing, "max_victims and max_trx_rows are required, and min_blocked must be 1 or more")
	case r.MinIdle < dbconn.MinIdle:
		return action.Refuse(action.CodeTooHasty, "min_idle is required, and must be 1s or more")
	}
	return action.Refusal{}
}
