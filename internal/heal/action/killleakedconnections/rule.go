package killleakedconnections

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// criteria select the leaked connections, and bound how many may be ended.
type criteria struct {
	app, pool, server string
	users             []string
	minIdle           time.Duration
	maxVictims        int
	maxFraction       float64
	maxRows           int
	owner             dbconn.Selector
}

// target returns the target of cooldowns and leases.
func (r criteria) target() string { return "app:" + r.app + "/pool:" + r.pool }

// leaked reports whether a connection sleeps in a transaction for too long. It lists what
// may be ended, not the exceptions: a list of exceptions is never complete.
func (r criteria) leaked(c mysql.Connection) bool {
	return r.allowed(c) && c.Command == "Sleep" && c.InTransaction && c.TrxState == "RUNNING" && !dbconn.IsRollingBack(c) && c.Time > r.minIdle
}

// allowed reports whether a connection is of the users that may be touched.
func (r criteria) allowed(c mysql.Connection) bool {
	return !c.Own && c.ID != 0 && !dbconn.IsProtected(c.User) && slices.Contains(r.users, c.User)
}

// selects reports whether it also is the app's.
func (r criteria) selects(c mysql.Connection) bool { return r.allowed(c) && r.owner.Selects(c) }

// selection is the result of criteria for a list of connections.
type selection struct {
	total       int // connections of the rule's users that are the app's
	leaked      int
	unheld      int // leaked ones of the rule's users whose holder is unknown
	tooManyRows int // leaked ones that have changed too many rows
	victims     []mysql.Connection
}

// choose returns the victims, within all caps, the oldest first.
func (r criteria) choose(list []mysql.Connection) selection {
	var p selection
	for _, c := range list {
		if !r.selects(c) {
			if r.leaked(c) && r.owner.Unheld(c) {
				p.unheld++
			}
			continue
		}
		p.total++
		if !r.leaked(c) {
			continue
		}
		if p.leaked++; c.Rows > uint64(max(r.maxRows, 0)) {
			p.tooManyRows++
			continue
		}
		p.victims = append(p.victims, c)
	}
	dbconn.SortOldestFirst(p.victims)
	p.victims = p.victims[:min(len(p.victims), max(r.maxVictims, 0), dbconn.ShareOf(r.maxFraction, p.total), dbconn.MaxVictims)]
	return p
}

// setPool sets the criteria that depend on the pool.
func (r *criteria) setPool(app string, p config.Pool) {
	r.app, r.pool, r.server = app, p.Name, p.MySQL
	r.owner.App = app
	if len(r.users) == 0 && p.User != "" {
		r.users = []string{p.User}
	}
	if r.minIdle == 0 {
		r.minIdle = p.LeakAfter
	}
}

// check returns why nothing may be done with these criteria; zero: something may.
func (r criteria) check() action.Refusal {
	switch {
	case r.maxVictims < 1 || !(r.maxFraction > 0) || r.maxRows < 0:
		return action.Refuse(action.CodeSettingMissing, "max_victims, max_fraction and max_trx_rows are required")
	case r.minIdle < dbconn.MinIdle:
		return action.Refuse(action.CodeTooHasty, "min_idle must be 1s or more")
	}
	return dbconn.CheckUsers(r.users, "")
}
