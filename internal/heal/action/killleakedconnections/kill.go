// Package killleakedconnections is the action kill_leaked_connections: it ends
// connections of an app that sleep in a transaction.
package killleakedconnections

import (
	"context"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Deps are the dependencies of the action.
type Deps struct {
	Apps     func() []config.App               // of the present configuration
	Database func(name string) dbconn.Database // a server of the section mysql; nil: there is none with that name
	Holders  dbconn.FindHolders                // nil: no holder is known
	// Victims reads which connections only wait because of a fault elsewhere. nil:
	// none is known to.
	Victims func(ctx context.Context) dbconn.Victims
}

// Action is the action kill_leaked_connections: it ends connections of an
// app's users that sleep in a transaction, the oldest first, and that a process
// of the app is proved to hold. A connection that sleeps outside of a transaction may
// be idle in its pool and is left alone.
type Action struct {
	d Deps
	c config.KillLeaked
}

// New returns the action with these settings.
func New(d Deps, c config.KillLeaked) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/pool:NAME", with "?" for a name that neither the
// settings nor the alert have.
func (k *Action) Target(a action.Alert) string { return dbconn.TargetOf(a, k.c.App, k.c.Pool) }

// prepared is the private part of a plan.
type prepared = dbconn.Prepared[criteria]

// settings returns the criteria of the settings. They have no pool yet: FindPool sets it.
func (k *Action) settings() criteria {
	return criteria{
		Sleepers: dbconn.Sleepers{
			Users: k.c.Users, MinIdle: k.c.MinIdle, MaxRows: k.c.MaxTrxRows, Procedure: k.c.Procedure,
			Owner: dbconn.Selector{IncludeUnheld: k.c.Clients == config.ClientsUser},
		},
		maxVictims: k.c.MaxVictims, maxFraction: k.c.MaxFraction,
	}
}

// Plan implements [action.Action]. It is cleared if no connection has leaked, and refused
// if some have and none may be ended, none is known to be the app's, a setting cannot be used
// or differs from the alert, or with clients: user another app may have the same user.
func (k *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionKillLeaked}
	rule := k.settings()
	if p.Refused = rule.FindPool(k.d.Apps(), req.Alert, k.c.App, k.c.Pool); !p.Refused.IsZero() {
		return p, nil
	}
	p.Target = rule.Target()
	if p.Refused = rule.check(); !p.Refused.IsZero() {
		return p, nil
	}
	db, err := rule.Open(ctx, k.d.Database)
	if err != nil {
		return p, err
	}
	defer db.Close()
	if p.Refused = dbconn.CheckUsers(rule.Users, db.User()); !p.Refused.IsZero() {
		return p, nil
	}
	if rule.Owner.IncludeUnheld {
		if p.Refused = sharedUser(ctx, &rule.Sleepers, k.d.Apps(), k.d.Database, db); !p.Refused.IsZero() {
			return p, nil
		}
	}
	list, err := db.Connections(ctx)
	if err != nil {
		return p, fmt.Errorf("list of connections: %w", err)
	}
	// The list is read first: a port that the app has only now belongs to a later connection.
	if rule.Owner, err = rule.Owner.WithHolders(ctx, k.d.Holders, rule.Server, list); err != nil {
		return p, err
	}
	picked := rule.choose(list, k.victims(ctx, &rule, list))
	describe(&p, &rule, picked, db.Server())
	p.Private = prepared{Criteria: rule, Server: db.Server(), Victims: picked.victims}
	return p, nil
}

// victims returns why connections of a list only wait for somebody else, by their ids;
// empty if none does, none has slept in a transaction for long, or that cannot be asked.
func (k *Action) victims(ctx context.Context, r *criteria, list []mysql.Connection) map[uint64]string {
	out := make(map[uint64]string)
	if k.d.Victims == nil || !slices.ContainsFunc(list, r.Asleep) {
		return out
	}
	now := k.d.Victims(ctx)
	for i := range list {
		if why := now.WhyConnection("mysql:"+r.Server, list[i].ID); why != "" {
			out[list[i].ID] = why
		}
	}
	return out
}

// describe sets the sentences, figures and victims of a plan.
func describe(p *action.Plan, r *criteria, picked selection, server string) {
	p.Measure, p.Total = float64(picked.leaked), len(picked.victims)
	p.Summary = fmt.Sprintf("end %d of %d connections of pool %s of app %s: %d have slept in a transaction for more than %s",
		p.Total, picked.total, r.Pool, r.App, picked.leaked, r.MinIdle)
	if picked.tooManyRows > 0 {
		p.Summary += fmt.Sprintf("; %d with more than %d changed rows are not ended", picked.tooManyRows, r.MaxRows)
	}
	if picked.unheld > 0 {
		p.Summary += fmt.Sprintf("; %d others are not known to belong to the app and are not ended", picked.unheld)
	}
	if picked.waiting > 0 {
		p.Summary += fmt.Sprintf("; %d only wait for somebody else and are not ended", picked.waiting)
	}
	switch {
	case picked.leaked == 0 && picked.unheld > 0:
		p.Refused = r.Owner.RefuseUnheld(picked.unheld)
	case picked.leaked == 0:
		p.Cleared = true
	case p.Total > 0:
	case picked.waiting > 0 && picked.waiting+picked.tooManyRows == picked.leaked:
		p.Refused = onlyWait(picked.why)
	case picked.tooManyRows == picked.leaked:
		p.Refused = action.Refuse(action.CodeTooManyRows, "each of them has changed more than max_trx_rows (%d) rows: ending one would start a long rollback", r.MaxRows)
	default:
		p.Refused = action.Refuse(action.CodeFractionZero, "max_fraction of %d connections is less than one connection", picked.total)
	}
	for _, c := range picked.victims {
		p.Victims = append(p.Victims, r.Victim(c, server))
	}
}

// Apply implements [action.Action]. It returns how many connections were ended; 0 and a
// refusal if one was spared because it only waits and none was ended. It reads and ends
// connections on one session, which breaks when the server restarts.
func (k *Action) Apply(ctx context.Context, p action.Plan) (done int, err error) {
	private, err := dbconn.PreparedOf[criteria](p)
	if err != nil || len(private.Victims) == 0 {
		return 0, err
	}
	rule := private.Criteria
	rule.Procedure = k.c.Procedure
	db, err := private.Reopen(ctx, &rule.Sleepers, k.d.Database)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	waits := ""
	done, err = dbconn.EndEach(ctx, private.Victims, func(c mysql.Connection) (bool, error) {
		if why := k.victims(ctx, &rule, []mysql.Connection{c})[c.ID]; why != "" {
			waits = why
			return false, nil
		}
		return rule.End(ctx, db, k.d.Holders, c)
	})
	if err != nil || done > 0 || waits == "" {
		return done, err
	}
	return 0, onlyWait(waits)
}

// onlyWait returns the refusal for leaked connections that only wait for somebody else;
// why names whom.
func onlyWait(why string) action.Refusal {
	return action.Refuse(action.CodeVictim, "what has leaked only waits for somebody else: %s", why)
}
