package dbconn

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// rollbackInterval is between the two readings that show whether a transaction that
// rolls back makes progress.
const rollbackInterval = time.Second

// Sleepers selects the connections of one pool that sleep in a transaction and may be
// ended for it.
type Sleepers struct {
	App, Pool, Server string
	Users             []string
	MinIdle           time.Duration // they have slept for longer
	MaxRows           int           // that a transaction may have changed
	Procedure         string        // "schema.name" that ends one; "": KILL
	Owner             Selector
}

// Victims are the connections that wait for somebody else, or whose worker does, at
// one moment.
type Victims interface {
	// WhyConnection returns what a connection of a server, such as "mysql:main", waits
	// for that is not its fault, as a sentence; "" where it is no victim.
	WhyConnection(server string, id uint64) string
}

// FindPool sets the pool that the settings or the alert's labels name, or the only one of
// the app if neither names one. It returns a refusal if neither names a configured app, if
// the pool is unknown or one of several, or if labels and settings differ.
func (s *Sleepers) FindPool(apps []config.App, a action.Alert, app, pool string) (refused action.Refusal) {
	appName, refused := action.NameFrom(a, "app", app)
	if !refused.IsZero() {
		return refused
	}
	poolName, refused := action.NameFrom(a, "pool", pool)
	if !refused.IsZero() {
		return refused
	}
	found, ok := action.FindApp(apps, appName)
	if !ok {
		return action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names an app of the configuration")
	}
	for _, p := range found.Pools {
		if p.Name == poolName || poolName == "" && len(found.Pools) == 1 {
			s.setPool(found.Name, p)
			return action.Refusal{}
		}
	}
	return action.Refuse(action.CodeUnknownPool, "neither the rule nor the alert names a pool of the app")
}

// FindTarget sets the pool of a target that [Sleepers.Target] returned. It reports
// whether the pool is still in the configuration.
func (s *Sleepers) FindTarget(apps []config.App, target string) bool {
	for _, app := range apps {
		for _, pool := range app.Pools {
			if of := *s; of.setPool(app.Name, pool) == target {
				*s = of
				return true
			}
		}
	}
	return false
}

// setPool sets the app, the pool, its server, and what the settings leave out. It returns
// the target.
func (s *Sleepers) setPool(app string, p config.Pool) (target string) {
	s.App, s.Pool, s.Server = app, p.Name, p.MySQL
	s.Owner.App = app
	if len(s.Users) == 0 && p.User != "" {
		s.Users = []string{p.User}
	}
	if s.MinIdle == 0 {
		s.MinIdle = p.LeakAfter
	}
	return s.Target()
}

// Target returns the target of cooldowns and leases: "app:shop/pool:main".
func (s *Sleepers) Target() string { return "app:" + s.App + "/pool:" + s.Pool }

// TargetOf returns the target as far as the settings and the alert's labels name it, with
// "?" for a part that they do not.
func TargetOf(a action.Alert, app, pool string) string {
	return "app:" + action.TargetName(a, "app", app) + "/pool:" + action.TargetName(a, "pool", pool)
}

// Open opens a session on the pool's server, which the caller closes. A server that is
// not in the configuration is an error.
func (s *Sleepers) Open(ctx context.Context, database func(name string) Database) (Session, error) {
	server := database(s.Server)
	if server == nil {
		return nil, fmt.Errorf("mysql %s is not in the configuration", s.Server)
	}
	return server.Session(ctx)
}

// Allowed reports whether a connection is of one of Users. Those of protected users
// ([IsProtected]), the exporter's own and one with the id 0 never are allowed.
func (s *Sleepers) Allowed(c mysql.Connection) bool {
	return !c.Own && c.ID != 0 && !IsProtected(c.User) && slices.Contains(s.Users, c.User)
}

// Asleep reports whether an allowed connection has slept in a transaction for longer than
// MinIdle. It lists what may be ended, not the exceptions: a list of exceptions is never
// complete.
func (s *Sleepers) Asleep(c mysql.Connection) bool {
	return s.Allowed(c) && SleepsInTransaction(c) && c.Time > s.MinIdle
}

// SleepsInTransaction reports whether a connection has the command Sleep, was not ended,
// and has a transaction open in the state RUNNING, so that it is not rolled back at the
// moment.
func SleepsInTransaction(c mysql.Connection) bool {
	return c.Command == "Sleep" && c.InTransaction && c.TrxState == "RUNNING" && !IsRollingBack(c)
}

// HasTooManyRows reports whether the transaction of a connection has changed more rows
// than MaxRows, of which a negative one counts as 0.
func (s *Sleepers) HasTooManyRows(c mysql.Connection) bool { return c.Rows > uint64(max(s.MaxRows, 0)) }

// Victim returns a connection as a plan shows it. server identifies the process of the
// server, of which the connection's id is.
func (s *Sleepers) Victim(c mysql.Connection, server string) action.Victim {
	info := map[string]string{"idle": action.RoundTenths(c.Time), "rows_changed": strconv.FormatUint(c.Rows, 10), "server": server}
	if worker := s.Owner.Holder(c).Worker; worker != "" {
		info["worker"] = worker
	}
	return action.Victim{Kind: "connection", ID: strconv.FormatUint(c.ID, 10), Identity: action.Digest(server, c.User, c.Host), Info: info}
}

// EndEach calls end for each connection, with a pause between two, until an error or,
// seen in a pause, the end of ctx. It returns how many were ended, also with an error,
// which is that of end or the cause of ctx.
func EndEach(ctx context.Context, victims []mysql.Connection, end func(mysql.Connection) (bool, error)) (done int, err error) {
	for i, c := range victims {
		if i > 0 && !retry.Sleep(ctx, VictimPause) {
			return done, context.Cause(ctx)
		}
		ended, err := end(c)
		if err != nil {
			return done, err
		}
		if ended {
			done++
		}
	}
	return done, nil
}

// End reads a connection again, and ends it if it is still the planned one, has slept since
// and may be ended. true: KILL, or the call of the procedure, succeeded. false: it was left
// alone, or is gone.
func (s *Sleepers) End(ctx context.Context, db Session, holders FindHolders, planned mysql.Connection) (bool, error) {
	now, there, err := db.Connection(ctx, planned.ID)
	if err != nil {
		return false, fmt.Errorf("check a connection: %w", err)
	}
	if !there || !s.Asleep(now) || !stillAsleep(planned, now) || s.HasTooManyRows(now) {
		return false, nil
	}
	owner, err := s.Owner.Refresh(ctx, holders, s.Server)
	if err != nil {
		return false, err
	}
	if !owner.Selects(now) {
		return false, nil
	}
	var done bool
	if s.Procedure != "" {
		done, err = db.CallKillIdle(ctx, s.Procedure, now, s.MinIdle, s.MaxRows)
	} else {
		done, err = db.Kill(ctx, now)
	}
	if err != nil {
		return false, fmt.Errorf("end a connection: %w", err)
	}
	return done, nil
}

// stillAsleep reports whether two readings are of the same statement ([SameStatement]) and
// the same transaction. That the connection sleeps is not checked.
func stillAsleep(before, now mysql.Connection) bool {
	return SameStatement(before, now) && before.Transaction == now.Transaction
}

// Remaining returns those of the planned connections that were ended or roll back
// ([IsRollingBack]), and how many of the other planned ones are still allowed and asleep
// ([Sleepers.Asleep]).
func (s *Sleepers) Remaining(list []mysql.Connection, planned map[uint64]bool) (rolling []mysql.Connection, asleep int) {
	for _, c := range list {
		switch {
		case !planned[c.ID]:
		case IsRollingBack(c):
			rolling = append(rolling, c)
		case s.Asleep(c):
			asleep++
		}
	}
	return rolling, asleep
}

// RollbackOutcome reads the connections again after a second. InProgress: one has gone,
// does not roll back (not yet, or no longer), or has fewer changes left to undo.
// Unchanged: none of that, and with an error.
func RollbackOutcome(ctx context.Context, db Session, before []mysql.Connection) (action.Outcome, error) {
	if !retry.Sleep(ctx, rollbackInterval) {
		return action.Unchanged, context.Cause(ctx)
	}
	after, err := db.Connections(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("list of connections: %w", err)
	}
	later := make(map[uint64]mysql.Connection, len(after))
	for _, c := range after {
		later[c.ID] = c
	}
	for _, c := range before {
		now, there := later[c.ID]
		if !there || !now.InTransaction || now.TrxState != "ROLLING BACK" || now.Rows < c.Rows {
			return action.InProgress, nil
		}
	}
	return action.Unchanged, nil
}
