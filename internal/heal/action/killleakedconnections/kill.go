// Package killleakedconnections is the action kill_leaked_connections: it ends
// connections of an app that sleep in a transaction.
package killleakedconnections

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	// rollbackInterval is between the two readings that show whether a transaction that
	// rolls back makes progress.
	rollbackInterval = time.Second
)

// Deps are the dependencies of the action.
type Deps struct {
	Apps     func() []config.App               // of the present configuration
	Database func(name string) dbconn.Database // a server of the section mysql; nil: there is none with that name
	Holders  dbconn.FindHolders                // nil: no holder is known
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

// Target implements [action.Action].
func (k *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", k.c.App) + "/pool:" + action.TargetName(a, "pool", k.c.Pool)
}

// prepared is the private part of a plan.
type prepared struct {
	criteria criteria
	server   string // Session.Server
	victims  []mysql.Connection
}

// criteria returns the criteria of the settings and an alert, or why there are none.
func (k *Action) criteria(a action.Alert) (r criteria, refused action.Refusal) {
	r = criteria{
		minIdle: k.c.MinIdle, maxVictims: k.c.MaxVictims, maxFraction: k.c.MaxFraction, maxRows: k.c.MaxTrxRows, users: k.c.Users,
		owner: dbconn.Selector{IncludeUnheld: k.c.Clients == config.ClientsUser},
	}
	appName, refused := action.NameFrom(a, "app", k.c.App)
	if !refused.IsZero() {
		return r, refused
	}
	poolName, refused := action.NameFrom(a, "pool", k.c.Pool)
	if !refused.IsZero() {
		return r, refused
	}
	app, ok := action.FindApp(k.d.Apps(), appName)
	if !ok {
		return r, action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names an app of the configuration")
	}
	for _, p := range app.Pools {
		if p.Name == poolName || poolName == "" && len(app.Pools) == 1 {
			r.setPool(app.Name, p)
			return r, r.check()
		}
	}
	return r, action.Refuse(action.CodeUnknownPool, "neither the rule nor the alert names a pool of the app")
}

// Plan implements [action.Action].
func (k *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionKillLeaked}
	rule, refused := k.criteria(req.Alert)
	if rule.pool != "" {
		p.Target = rule.target()
	}
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	db, err := k.open(ctx, rule)
	if err != nil {
		return p, err
	}
	defer db.Close()
	if p.Refused = dbconn.CheckUsers(rule.users, db.User()); !p.Refused.IsZero() {
		return p, nil
	}
	if rule.owner.IncludeUnheld {
		if p.Refused = sharedUser(ctx, rule, k.d.Apps(), k.d.Database, db); !p.Refused.IsZero() {
			return p, nil
		}
	}
	list, err := db.Connections(ctx)
	if err != nil {
		return p, fmt.Errorf("list of connections: %w", err)
	}
	// The list is read first: a port that the app has only now belongs to a later connection.
	if rule.owner, err = rule.owner.WithHolders(ctx, k.d.Holders, rule.server); err != nil {
		return p, err
	}
	picked := rule.choose(list)
	describe(&p, rule, picked, db.Server())
	p.Private = prepared{rule, db.Server(), picked.victims}
	return p, nil
}

func (k *Action) open(ctx context.Context, r criteria) (dbconn.Session, error) {
	server := k.d.Database(r.server)
	if server == nil {
		return nil, fmt.Errorf("mysql %s is not in the configuration", r.server)
	}
	return server.Session(ctx)
}

// describe sets the sentences, figures and victims of a plan.
func describe(p *action.Plan, r criteria, picked selection, server string) {
	p.Measure, p.Total = float64(picked.leaked), len(picked.victims)
	p.Summary = fmt.Sprintf("end %d of %d connections of pool %s of app %s: %d have slept in a transaction for more than %s",
		p.Total, picked.total, r.pool, r.app, picked.leaked, r.minIdle)
	if picked.tooManyRows > 0 {
		p.Summary += fmt.Sprintf("; %d with more than %d changed rows are not ended", picked.tooManyRows, r.maxRows)
	}
	if picked.unheld > 0 {
		p.Summary += fmt.Sprintf("; %d others are not known to belong to the app and are not ended", picked.unheld)
	}
	switch {
	case picked.leaked == 0 && picked.unheld > 0:
		p.Refused = r.owner.RefuseUnheld(picked.unheld)
	case picked.leaked == 0:
		p.Cleared = true
	case p.Total > 0:
	case picked.tooManyRows == picked.leaked:
		p.Refused = action.Refuse(action.CodeTooManyRows, "each of them has changed more than max_trx_rows (%d) rows: ending one would start a long rollback", r.maxRows)
	default:
		p.Refused = action.Refuse(action.CodeFractionZero, "max_fraction of %d connections is less than one connection", picked.total)
	}
	for _, c := range picked.victims {
		info := map[string]string{"idle": action.RoundTenths(c.Time), "rows_changed": strconv.FormatUint(c.Rows, 10), "server": server}
		if worker := r.owner.Holder(c).Worker; worker != "" {
			info["worker"] = worker
		}
		p.Victims = append(p.Victims, action.Victim{Kind: "connection", ID: strconv.FormatUint(c.ID, 10), Identity: action.Digest(server, c.User, c.Host), Info: info})
	}
}

// Apply implements [action.Action]. It reads and ends connections on one session, which
// breaks when the server restarts.
func (k *Action) Apply(ctx context.Context, p action.Plan) (done int, err error) {
	private, ok := p.Private.(prepared)
	if !ok || !p.Refused.IsZero() {
		return 0, action.ErrNotPlanned
	}
	if len(private.victims) == 0 {
		return 0, nil
	}
	db, err := k.open(ctx, private.criteria)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if db.Server() != private.server {
		return 0, dbconn.ErrRestarted
	}
	for i, c := range private.victims {
		if i > 0 && !retry.Sleep(ctx, dbconn.VictimPause) {
			return done, context.Cause(ctx)
		}
		ended, err := k.endConnection(ctx, db, private.criteria, c)
		if err != nil {
			return done, err
		}
		if ended {
			done++
		}
	}
	return done, nil
}

// endConnection reads a connection again, and ends it if it is the planned one and has
// slept since. It reports whether it was ended.
func (k *Action) endConnection(ctx context.Context, db dbconn.Session, r criteria, planned mysql.Connection) (bool, error) {
	now, there, err := db.Connection(ctx, planned.ID)
	if err != nil {
		return false, fmt.Errorf("check a connection: %w", err)
	}
	if !there || !r.leaked(now) || !stillAsleep(planned, now) || now.Rows > uint64(max(r.maxRows, 0)) {
		return false, nil
	}
	if r.owner, err = r.owner.Refresh(ctx, k.d.Holders, r.server); err != nil {
		return false, err
	}
	if !r.owner.Selects(now) {
		return false, nil
	}
	var done bool
	if k.c.Procedure != "" {
		done, err = db.CallKillIdle(ctx, k.c.Procedure, now, r.minIdle, r.maxRows)
	} else {
		done, err = db.Kill(ctx, now)
	}
	if err != nil {
		return false, fmt.Errorf("end a connection: %w", err)
	}
	return done, nil
}

// stillAsleep reports whether a connection has slept without a break between two
// readings.
func stillAsleep(before, now mysql.Connection) bool {
	return dbconn.SameStatement(before, now) && before.Transaction == now.Transaction
}
