package killleakedconnections

import (
	"cmp"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// criteria select the leaked connections, and bound how many may be ended.
type criteria struct {
	dbconn.Sleepers

	maxVictims  int
	maxFraction float64
}

// selects reports whether a connection is one that may be ended: its user is allowed, and its
// holder is the app, or with clients: user not known.
func (r *criteria) selects(c mysql.Connection) bool { return r.Allowed(c) && r.Owner.Selects(c) }

// selection is the result of criteria for a list of connections.
type selection struct {
	total       int // connections of the rule's users that are the app's
	leaked      int
	unheld      int    // leaked ones of the rule's users whose holder is unknown
	tooManyRows int    // leaked ones that have changed too many rows
	waiting     int    // leaked ones that only wait because of a fault elsewhere
	why         string // of the first one
	victims     []mysql.Connection
}

// choose returns what was counted, and the victims, the oldest first: at most max_victims,
// max_fraction of the app's connections, and [dbconn.MaxVictims]. Left out are those that have
// changed too many rows, and those that waits names: not to blame, by id, with what they wait
// for.
func (r *criteria) choose(list []mysql.Connection, waits map[uint64]string) selection {
	var p selection
	for _, c := range list {
		if !r.selects(c) {
			if r.Asleep(c) && r.Owner.Unheld(c) {
				p.unheld++
			}
			continue
		}
		p.total++
		if !r.Asleep(c) {
			continue
		}
		p.leaked++
		if r.HasTooManyRows(c) {
			p.tooManyRows++
			continue
		}
		if why := waits[c.ID]; why != "" {
			p.waiting, p.why = p.waiting+1, cmp.Or(p.why, why)
			continue
		}
		p.victims = append(p.victims, c)
	}
	dbconn.SortOldestFirst(p.victims)
	p.victims = p.victims[:min(len(p.victims), max(r.maxVictims, 0), dbconn.ShareOf(r.maxFraction, p.total), dbconn.MaxVictims)]
	return p
}

// check returns why nothing may be done with these criteria: a limit is missing, min_idle is
// below a second, or [dbconn.CheckUsers] refuses the users; zero: something may.
func (r *criteria) check() action.Refusal {
	switch {
	case r.maxVictims < 1 || !(r.maxFraction > 0) || r.MaxRows < 0:
		return action.Refuse(action.CodeSettingMissing, "max_victims, max_fraction and max_trx_rows are required")
	case r.MinIdle < dbconn.MinIdle:
		return action.Refuse(action.CodeTooHasty, "min_idle must be 1s or more")
	}
	return dbconn.CheckUsers(r.Users, "")
}
