// Package killblockingtransaction is the action kill_blocking_transaction: it ends the
// connections of an app at the root of a chain of locks that sleep in a transaction.
package killblockingtransaction

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Deps are the dependencies of the action.
type Deps struct {
	Apps     func() []config.App               // of the present configuration
	Database func(name string) dbconn.Database // a server of the section mysql; nil: there is none with that name
	Holders  dbconn.FindHolders                // nil: no holder is known, and nothing is ended
	// Victims reads which connections only wait because of a fault elsewhere. nil:
	// none is known to.
	Victims func(ctx context.Context) dbconn.Victims
}

// Action is the action kill_blocking_transaction. It follows the waits for locks to their
// root, and ends that connection if a process of the app is proved to hold it, and if it
// sleeps in a transaction. A connection that waits itself is never ended, nor one whose
// worker waits for the fault of somebody else, nor one that runs a statement.
type Action struct {
	d Deps
	c config.KillBlocking
}

// New returns the action with these settings.
func New(d Deps, c config.KillBlocking) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/pool:NAME", with "?" for a name that neither the
// settings nor the alert have.
func (k *Action) Target(a action.Alert) string { return dbconn.TargetOf(a, k.c.App, k.c.Pool) }

// prepared is the private part of a plan.
type prepared = dbconn.Prepared[criteria]

// settings returns the criteria of the settings. They have no pool yet: FindPool sets it.
func (k *Action) settings() criteria {
	return criteria{
		Sleepers:   dbconn.Sleepers{Users: k.c.Users, MinIdle: k.c.MinIdle, MaxRows: k.c.MaxTrxRows, Procedure: k.c.Procedure},
		minBlocked: k.c.MinBlocked, maxVictims: k.c.MaxVictims,
	}
}

// Plan implements [action.Action]. It is cleared if no connection waits for a lock, and
// refused if some wait and no root may be ended, for the reason of the first one, or since all
// wait in a circle; or if a setting cannot be used, or names no pool or another one than the alert.
func (k *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionKillBlocking}
	rule := k.settings()
	if p.Refused = rule.check(); !p.Refused.IsZero() {
		return p, nil
	}
	if p.Refused = rule.FindPool(k.d.Apps(), req.Alert, k.c.App, k.c.Pool); !p.Refused.IsZero() {
		return p, nil
	}
	p.Target = rule.Target()
	if p.Refused = dbconn.CheckUsers(rule.Users, ""); !p.Refused.IsZero() {
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
	found, err := k.look(ctx, db, &rule)
	if err != nil {
		return p, err
	}
	victims := rule.victims(found)
	describe(&p, &rule, found, victims)
	private := prepared{Criteria: rule, Server: db.Server()}
	for _, x := range victims {
		v := rule.Victim(x.Connection, db.Server())
		v.Info["blocks"] = strconv.Itoa(len(x.blocked))
		p.Victims = append(p.Victims, v)
		private.Victims = append(private.Victims, x.Connection)
	}
	p.Private = private
	return p, nil
}

// look returns the current lock waits as chains, with the processes that hold the roots.
// rule gets these holders.
func (k *Action) look(ctx context.Context, db dbconn.Session, rule *criteria) (chains, error) {
	waits, err := db.Waits(ctx)
	if err != nil {
		return chains{}, fmt.Errorf("waits for locks: %w", err)
	}
	list, err := db.Connections(ctx)
	if err != nil {
		return chains{}, fmt.Errorf("list of connections: %w", err)
	}
	// The list is read first: a port that the app has only now belongs to a later connection.
	if rule.Owner, err = rule.Owner.WithHolders(ctx, k.d.Holders, rule.Server, list); err != nil {
		return chains{}, err
	}
	rule.onlyWait = nil
	found := rule.find(list, waits)
	if rule.onlyWait = k.victims(ctx, rule, found); len(rule.onlyWait) > 0 {
		found = rule.find(list, waits)
	}
	return found, nil
}

// victims returns why roots only wait for somebody else, by their ids, without those that
// do not; nil if no root may be ended anyway, or that cannot be asked.
func (k *Action) victims(ctx context.Context, rule *criteria, found chains) map[uint64]string {
	free := func(x root) bool { return x.obstacle == "" }
	if k.d.Victims == nil || !slices.ContainsFunc(found.roots, free) {
		return nil
	}
	out := make(map[uint64]string)
	now := k.d.Victims(ctx)
	for _, x := range found.roots {
		if why := now.WhyConnection("mysql:"+rule.Server, x.ID); why != "" && x.ID != 0 {
			out[x.ID] = why
		}
	}
	return out
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
		found, err := k.look(ctx, db, &rule)
		if err != nil {
			return false, err
		}
		waits = cmp.Or(waits, rule.onlyWait[c.ID])
		isRoot := func(x root) bool { return x.ID == c.ID && x.obstacle == "" }
		if !slices.ContainsFunc(found.roots, isRoot) {
			return false, nil
		}
		return rule.End(ctx, db, k.d.Holders, c)
	})
	if err != nil || done > 0 || waits == "" {
		return done, err
	}
	return 0, onlyWaits(waits)
}
