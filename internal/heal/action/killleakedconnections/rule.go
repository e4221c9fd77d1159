package killleakedconnections

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// leakRule says which connections are leaked, and how many may be ended.
type leakRule struct {
	app, pool, server string
	users             []string
	minIdle           time.Duration
	maxVictims        int
	maxFraction       float64
	maxRows           int
	whose             dbconn.Owner
}

// target names what cooldowns and leases are about.
func (r leakRule) target() string { return "app:" + r.app + "/pool:" + r.pool }

// leaked reports whether a connection sleeps in a transaction for too long. All
// but what is asked for here is out of reach: no list of exceptions is ever whole.
func (r leakRule) leaked(c mysql.Connection) bool {
	return r.ours(c) && c.Command == "Sleep" && c.InTransaction && c.TrxState == "RUNNING" && !dbconn.IsRollingBack(c) && c.Time > r.minIdle
}

// ours reports whether a connection is of the users that may be touched.
func (r leakRule) ours(c mysql.Connection) bool {
	return !c.Own && c.ID != 0 && !dbconn.IsProtected(c.User) && slices.Contains(r.users, c.User)
}

// meant reports whether it also is the app's.
func (r leakRule) meant(c mysql.Connection) bool { return r.ours(c) && r.whose.Meant(c) }

// leakPick is what a rule makes of a list of connections.
type leakPick struct {
	of      int // connections of the rule's users that are the app's
	leaked  int
	others  int // leaked ones of the rule's users whose holder is not known
	costly  int // leaked ones that have changed too many rows
	victims []mysql.Connection
}

// pick chooses the victims: within all caps, the oldest first.
func (r leakRule) pick(list []mysql.Connection) leakPick {
	var p leakPick
	for _, c := range list {
		if !r.meant(c) {
			if r.leaked(c) && r.whose.Nobodys(c) {
				p.others++
			}
			continue
		}
		p.of++
		if !r.leaked(c) {
			continue
		}
		if p.leaked++; c.Rows > uint64(max(r.maxRows, 0)) {
			p.costly++
			continue
		}
		p.victims = append(p.victims, c)
	}
	dbconn.OldestFirst(p.victims)
	p.victims = p.victims[:min(len(p.victims), max(r.maxVictims, 0), dbconn.Share(r.maxFraction, p.of), dbconn.MaxListed)]
	return p
}

// of takes the pool's part of the rule.
func (r *leakRule) of(app string, p config.Pool) {
	r.app, r.pool, r.server = app, p.Name, p.MySQL
	r.whose.App = app
	if len(r.users) == 0 && p.User != "" {
		r.users = []string{p.User}
	}
	if r.minIdle == 0 {
		r.minIdle = p.LeakAfter
	}
}

// refused says what is missing for anything to be done.
func (r leakRule) refused() string {
	switch {
	case r.maxVictims < 1 || !(r.maxFraction > 0) || r.maxRows < 0:
		return "max_victims, max_fraction and max_trx_rows must bound it"
	case r.minIdle < dbconn.LeastIdle:
		return "min_idle must be 1s or more"
	}
	return dbconn.BadUsers(r.users, "")
}
