// Package killlongqueries is the action kill_long_queries: it ends SELECTs that run
// for too long.
package killlongqueries

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// Deps are the dependencies of the action.
type Deps struct {
	Database func(name string) dbconn.Database          // a server of the section mysql; nil: there is none with that name
	Holders  dbconn.FindHolders                         // nil: no holder is known
	Watched  func(ctx context.Context, app string) bool // whether an app of that name is watched; nil: none is
}

// Action is the action kill_long_queries: it ends SELECTs that run for too
// long, the oldest first, and leaves their connections. It reads the text of
// statements to classify them, and keeps none of it.
type Action struct {
	d    Deps
	c    config.KillLong
	seed maphash.Seed
}

// New returns the action with these settings.
func New(d Deps, c config.KillLong) *Action {
	return &Action{d: d, c: c, seed: maphash.MakeSeed()}
}

// Target implements [action.Action]: "mysql:NAME", with "?" for the name if neither the
// settings nor the alert have one.
func (k *Action) Target(a action.Alert) string {
	return "mysql:" + action.TargetName(a, "mysql", k.c.MySQL)
}

// longQuery is a SELECT that runs for too long.
type longQuery struct {
	mysql.Connection

	text uint64 // a hash of its text with a seed of this process
}

// selection has the long statements that were found.
type selection struct {
	long        int // of the users, whatever they are
	plain       []longQuery
	unheld      int      // of the users, and not known to be the app's
	holdingApps []string // watched apps that hold the connections of long ones
	unread      int      // not read: there are too many
}

// prepared is the private part of a plan.
type prepared struct {
	name    string // of the section mysql
	server  string // Session.Server
	owner   dbconn.Selector
	victims []longQuery
}

// candidate reports whether a connection runs something of an allowed user, not the server's or
// the exporter's own, for longer than min_time, and does not roll back. One that waits for a lock
// is left alone: the holder of the lock is the cause.
func (k *Action) candidate(c mysql.Connection) bool {
	return !c.Own && c.ID != 0 && !dbconn.IsProtected(c.User) && slices.Contains(k.c.Users, c.User) &&
		(c.Command == "Query" || c.Command == "Execute") && c.Time > k.c.MinTime &&
		!dbconn.IsRollingBack(c) && c.TrxState != "LOCK WAIT" && !strings.HasPrefix(c.State, "Waiting for ")
}

// find returns the long statements of the selected connections at this moment, with the
// plain SELECTs among them, the longest first, and their hashes. Of more than
// [dbconn.MaxVictims] only the longest are read; unread has the number of the others.
func (k *Action) find(ctx context.Context, db dbconn.Session, w dbconn.Selector, list []mysql.Connection) (selection, error) {
	var p selection
	var candidates []mysql.Connection
	for _, c := range list {
		switch {
		case !k.candidate(c):
		case w.Selects(c):
			candidates = append(candidates, c)
		default:
			p.unheld++
		}
	}
	p.holdingApps = w.HoldingApps(candidates)
	p.long = len(candidates)
	dbconn.SortOldestFirst(candidates)
	p.unread = max(len(candidates)-dbconn.MaxVictims, 0)
	for _, c := range candidates[:min(len(candidates), dbconn.MaxVictims)] {
		text, plain, err := k.readStatement(ctx, db, c)
		if err != nil {
			return p, err
		}
		if plain {
			p.plain = append(p.plain, longQuery{c, text})
		}
	}
	return p, nil
}

// readStatement returns a hash of the statement that a connection runs, and whether it is a
// whole, plain SELECT; false too if there is no statement, or it is cut. The text is not
// kept.
func (k *Action) readStatement(ctx context.Context, db dbconn.Session, c mysql.Connection) (hash uint64, plain bool, err error) {
	text, whole, err := db.Statement(ctx, c)
	if err != nil {
		return 0, false, fmt.Errorf("check a statement: %w", err)
	}
	return maphash.String(k.seed, text), whole && PlainSelect(text), nil
}

// server returns the server that a rule and an alert name, or a refusal.
func (k *Action) server(a action.Alert) (name string, db dbconn.Database, refused action.Refusal) {
	name, refused = action.NameFrom(a, "mysql", k.c.MySQL)
	if !refused.IsZero() {
		return "", nil, refused
	}
	if name != "" {
		db = k.d.Database(name)
	}
	if db == nil {
		return "", nil, action.Refuse(action.CodeUnknownServer, "neither the rule nor the alert names a server of the section mysql")
	}
	return name, db, action.Refusal{}
}

// Plan implements [action.Action]. It is cleared if none of the long statements that find reads is a
// plain SELECT, and refused if several apps hold their connections, or none is selected and the
// holders are not known, a label differs from the rule, or a setting is missing or cannot be used.
func (k *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionKillLong}
	name, server, refused := k.server(req.Alert)
	if p.Refused = refused; !refused.IsZero() {
		return p, nil
	}
	p.Target = "mysql:" + name
	if p.Refused = dbconn.CheckUsers(k.c.Users, ""); !p.Refused.IsZero() {
		return p, nil
	}
	if k.c.MaxVictims < 1 || k.c.MinTime < dbconn.MinIdle {
		p.Refused = action.Refuse(action.CodeSettingMissing, "max_victims and min_time, of 1s or more, are required")
		return p, nil
	}
	db, err := server.Session(ctx)
	if err != nil {
		return p, err
	}
	defer db.Close()
	if p.Refused = dbconn.CheckUsers(k.c.Users, db.User()); !p.Refused.IsZero() {
		return p, nil
	}
	list, err := db.Connections(ctx)
	if err != nil {
		return p, fmt.Errorf("list of connections: %w", err)
	}
	w, refused := k.owner(ctx, req.Alert)
	if p.Refused = refused; !refused.IsZero() {
		return p, nil
	}
	if w, err = w.WithHolders(ctx, k.d.Holders, name, list); err != nil {
		return p, err
	}
	picked, err := k.find(ctx, db, w, list)
	if err != nil {
		return p, err
	}
	k.describe(&p, name, picked, prepared{name, db.Server(), w, nil})
	return p, nil
}

// owner returns the selector of connections: those of the app that the rule names, or that the
// alert names if it is known to be watched; else all that log in as one of the users. It returns
// a refusal if rule and alert differ.
func (k *Action) owner(ctx context.Context, a action.Alert) (dbconn.Selector, action.Refusal) {
	app, refused := action.NameFrom(a, "app", k.c.App)
	if !refused.IsZero() || app != "" && (k.c.App != "" || k.d.Watched != nil && k.d.Watched(ctx, app)) {
		return dbconn.Selector{App: app}, refused
	}
	return dbconn.Selector{}, action.Refusal{} // a label of that name may be about anything
}

// describe sets the summary, the figures and the victims of a plan.
func (k *Action) describe(p *action.Plan, name string, picked selection, of prepared) {
	victims := picked.plain[:min(len(picked.plain), k.c.MaxVictims)]
	of.victims = victims
	p.Private = of
	p.Measure, p.Total, p.Cleared = float64(len(picked.plain)), len(victims), len(picked.plain) == 0
	p.Summary = fmt.Sprintf("end %d of %d plain SELECTs on mysql %s that have run for more than %s", p.Total, len(picked.plain), name, k.c.MinTime)
	if n := picked.long - len(picked.plain) - picked.unread; n > 0 {
		p.Summary += fmt.Sprintf("; %d other statements are not ended", n)
	}
	if picked.unread > 0 {
		p.Summary += fmt.Sprintf("; %d more were not read", picked.unread)
	}
	if picked.unheld > 0 {
		p.Summary += fmt.Sprintf("; %d that are not known to belong to app %s are not ended", picked.unheld, of.owner.App)
	}
	switch {
	case len(picked.holdingApps) > 1:
		p.Refused = action.Refuse(action.CodeSeveralApps, "the users belong to apps %s: set app to one of them", strings.Join(picked.holdingApps, " and "))
	case picked.long == 0 && picked.unheld > 0 && of.owner.WhyIncomplete() != "":
		p.Cleared, p.Refused = false, action.Refuse(action.CodeHoldersUnknown, "the holders of the connections are not known: %s", of.owner.WhyIncomplete())
	}
	for _, q := range victims {
		info := map[string]string{"ran": action.RoundTenths(q.Time), "server": of.server}
		if of.owner.App != "" {
			info["app"] = of.owner.App
		}
		if q.Query != 0 {
			info["query"] = strconv.FormatUint(q.Query, 10)
		}
		p.Victims = append(p.Victims, action.Victim{Kind: "query", ID: strconv.FormatUint(q.ID, 10), Identity: action.Digest(of.server, q.User, q.Host, strconv.FormatUint(q.Query, 10), strconv.FormatUint(q.text, 16)), Info: info})
	}
}

// plannedServer returns the server of a plan. It is an error if it is no longer in the
// configuration.
func (k *Action) plannedServer(p action.Plan) (dbconn.Database, error) {
	if name, ok := strings.CutPrefix(p.Target, "mysql:"); ok {
		if db := k.d.Database(name); db != nil {
			return db, nil
		}
	}
	return nil, errors.New("the server is no longer in the configuration")
}

// Apply implements [action.Action]. It returns how many statements the server was asked to end and
// did not report as over, see endStatement. It reads and ends statements on one session, which
// breaks when the server restarts.
func (k *Action) Apply(ctx context.Context, p action.Plan) (done int, err error) {
	private, ok := p.Private.(prepared)
	if !ok || !p.Refused.IsZero() {
		return 0, action.ErrNotPlanned
	}
	if len(private.victims) == 0 {
		return 0, nil
	}
	server, err := k.plannedServer(p)
	if err != nil {
		return 0, err
	}
	db, err := server.Session(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if db.Server() != private.server {
		return 0, dbconn.ErrRestarted
	}
	for i, q := range private.victims {
		if i > 0 && !retry.Sleep(ctx, dbconn.VictimPause) {
			return done, context.Cause(ctx)
		}
		ended, err := k.endStatement(ctx, db, private, q)
		if err != nil {
			return done, err
		}
		if ended {
			done++
		}
	}
	return done, nil
}

// endStatement reads a statement again, and asks the server to end it if it is still the planned
// one. true: the server did so without an error. false: it is over, another one runs, it waits
// for a lock or rolls back now, the procedure refuses, or its connection is not known to be the
// app's any more.
func (k *Action) endStatement(ctx context.Context, db dbconn.Session, of prepared, planned longQuery) (bool, error) {
	hash, plain, err := k.readStatement(ctx, db, planned.Connection)
	if err != nil {
		return false, err
	}
	now, there, err := db.Connection(ctx, planned.ID)
	if err != nil {
		return false, fmt.Errorf("check a connection: %w", err)
	}
	if !there || !plain || hash != planned.text || !k.candidate(now) || !dbconn.SameStatement(planned.Connection, now) {
		return false, nil
	}
	if of.owner.App != "" {
		w, err := of.owner.Refresh(ctx, k.d.Holders, of.name)
		if err != nil || !w.Selects(now) {
			return false, err
		}
	}
	var done bool
	if k.c.Procedure != "" {
		done, err = db.CallKillQuery(ctx, k.c.Procedure, now, k.c.MinTime)
	} else {
		done, err = db.KillQuery(ctx, now)
	}
	if err != nil {
		return false, fmt.Errorf("end a statement: %w", err)
	}
	return done, nil
}

// Verify implements [action.Action]: InProgress while one that was ended rolls back; else Verified
// if find reads no plain SELECT now, or fewer than when it was planned and one of the planned is
// over; else, and with an error, Unchanged. It needs of the plan its target, its victims and its
// measure only.
func (k *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	server, err := k.plannedServer(p)
	if err != nil {
		return action.Unchanged, err
	}
	db, err := server.Session(ctx)
	if err != nil {
		return action.Unchanged, err
	}
	defer db.Close()
	list, err := db.Connections(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("list of connections: %w", err)
	}
	left, ending := stillRunning(list, p.Victims, db.Server())
	if ending > 0 {
		return action.InProgress, nil // the server checks the flag of a KILL only now and then
	}
	w := dbconn.Selector{}
	if len(p.Victims) > 0 && p.Victims[0].Info["app"] != "" {
		w.App = p.Victims[0].Info["app"]
		if w, err = w.Refresh(ctx, k.d.Holders, strings.TrimPrefix(p.Target, "mysql:")); err != nil {
			return action.Unchanged, err
		}
	}
	picked, err := k.find(ctx, db, w, list)
	if err != nil {
		return action.Unchanged, err
	}
	switch now := len(picked.plain); {
	case now == 0:
		return action.Verified, nil
	case left > 0 && left == len(p.Victims), float64(now) >= p.Measure:
		return action.Unchanged, nil
	default:
		return action.Verified, nil
	}
}

// stillRunning returns how many of the planned statements still run, and how many were
// ended and roll back. None is in both counts.
func stillRunning(list []mysql.Connection, victims []action.Victim, server string) (left, ending int) {
	ids := dbconn.PlannedIDs(victims, server)
	running := make(map[uint64]mysql.Connection)
	for _, c := range list {
		if ids[c.ID] {
			running[c.ID] = c
		}
	}
	for _, v := range victims {
		id, _ := strconv.ParseUint(v.ID, 10, 64)
		c, there := running[id]
		query, _ := strconv.ParseUint(v.Info["query"], 10, 64)
		ran, _ := time.ParseDuration(v.Info["ran"])
		switch {
		case !there || c.Command == "Sleep" || c.Query != query || c.Time+time.Second < ran: // gone, or another one
		case dbconn.IsRollingBack(c):
			ending++
		default:
			left++
		}
	}
	return left, ending
}
