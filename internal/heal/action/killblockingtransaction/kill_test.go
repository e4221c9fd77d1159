package killblockingtransaction_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killblockingtransaction"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// limits are settings that bound little.
func limits() config.KillBlocking {
	return config.KillBlocking{App: "shop", Pool: "main", MinIdle: time.Minute, MinBlocked: 1, MaxVictims: 10, MaxTrxRows: 100}
}

func killBlocking(f *actiontest.Database, c config.KillBlocking) *killblockingtransaction.Action {
	return killblockingtransaction.New(killblockingtransaction.Deps{Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf}, c)
}

// waits returns who waits for whom: waiter and blocker in turn.
func waits(ids ...uint64) (out []mysql.ConnectionWait) {
	for i := 0; i < len(ids); i += 2 {
		out = append(out, mysql.ConnectionWait{Waiter: ids[i], Blocker: ids[i+1]})
	}
	return out
}

// waiter is a connection of the app that waits for the lock of a row.
func waiter(id uint64) mysql.Connection {
	return actiontest.Changed(actiontest.Asleep(id, 20), func(c *mysql.Connection) { c.Command, c.TrxState = "Query", "LOCK WAIT" })
}

// server returns a server with connections that wait, 10 to 19, and connections asleep: 1
// for 70 s, 2 for 90 s, 3 for 30 s.
func server(pairs ...uint64) *actiontest.Database {
	f := &actiontest.Database{ServerID: "s", Login: "resp", Waiting: waits(pairs...)}
	f.List = append(f.List, actiontest.Asleep(1, 70), actiontest.Asleep(2, 90), actiontest.Asleep(3, 30))
	for id := range uint64(10) {
		f.List = append(f.List, waiter(10+id))
	}
	return f
}

func change(id uint64, how func(*mysql.Connection)) func(*actiontest.Database) {
	return func(f *actiontest.Database) { how(&f.List[f.At(id)]) }
}

func TestGuards(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pairs     []uint64
		change    func(*actiontest.Database)
		settings  func(*config.KillBlocking)
		victims   []uint64
		obstacles map[uint64]string
		circles   int
	}{
		"nobody waits":             {},
		"one waits":                {pairs: []uint64{10, 1}, victims: []uint64{1}, obstacles: map[uint64]string{1: ""}},
		"the one that blocks most": {pairs: []uint64{10, 1, 11, 2, 12, 1}, settings: func(c *config.KillBlocking) { c.MaxVictims = 1 }, victims: []uint64{1}, obstacles: map[uint64]string{1: "", 2: ""}},
		"the longest asleep":       {pairs: []uint64{10, 1, 11, 2}, victims: []uint64{2, 1}, obstacles: map[uint64]string{1: "", 2: ""}},
		"a chain of three":         {pairs: []uint64{10, 11, 11, 12, 12, 1}, victims: []uint64{1}, obstacles: map[uint64]string{1: ""}},
		"a root that works": {
			pairs: []uint64{10, 1, 1, 11}, change: change(1, func(c *mysql.Connection) { c.Command, c.TrxState = "Query", "LOCK WAIT" }), obstacles: map[uint64]string{11: "working"},
		},
		"asleep and yet a victim": {pairs: []uint64{10, 1, 1, 2}, victims: []uint64{2}, obstacles: map[uint64]string{2: ""}},
		"runs a statement":        {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.Command = "Query" }), obstacles: map[uint64]string{1: "working"}},
		"no transaction":          {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.InTransaction = false }), obstacles: map[uint64]string{1: "working"}},
		"commits":                 {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.TrxState = "COMMITTING" }), obstacles: map[uint64]string{1: "working"}},
		"was ended":               {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.Command = "Killed" }), obstacles: map[uint64]string{1: "working"}},
		"rolls back":              {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.State = "Rollback" }), obstacles: map[uint64]string{1: "working"}},
		"too young":               {pairs: []uint64{10, 3}, obstacles: map[uint64]string{3: "too_young"}},
		"min_idle itself":         {pairs: []uint64{10, 1}, settings: func(c *config.KillBlocking) { c.MinIdle = 70 * time.Second }, obstacles: map[uint64]string{1: "too_young"}},
		"rows":                    {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.Rows = 101 }), obstacles: map[uint64]string{1: "rows"}},
		"rows allowed":            {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.Rows = 100 }), victims: []uint64{1}, obstacles: map[uint64]string{1: ""}},
		"another user":            {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.User = "Shop" }), obstacles: map[uint64]string{1: "user"}},
		"a user of the settings":  {pairs: []uint64{10, 1}, settings: func(c *config.KillBlocking) { c.Users = []string{"other"} }, obstacles: map[uint64]string{1: "user"}},
		"the server's":            {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.User = "system user" }), settings: func(c *config.KillBlocking) { c.Users = []string{"shop"} }, obstacles: map[uint64]string{1: "user"}},
		"our own":                 {pairs: []uint64{10, 1}, change: change(1, func(c *mysql.Connection) { c.Own = true }), obstacles: map[uint64]string{1: "user"}},
		"another app's": {
			pairs: []uint64{10, 1}, change: func(f *actiontest.Database) { f.Holders = map[string]dbconn.Holder{"127.0.0.1:40001": {App: "blog"}} }, obstacles: map[uint64]string{1: "not_own"},
		},
		"nobody's": {
			pairs: []uint64{10, 1}, change: func(f *actiontest.Database) { f.Holders = map[string]dbconn.Holder{"127.0.0.1:40001": {}} }, obstacles: map[uint64]string{1: "not_own"},
		},
		"gone":                   {pairs: []uint64{10, 99}, obstacles: map[uint64]string{0: "unknown"}},
		"not named":              {pairs: []uint64{10, 0, 11, 0}, obstacles: map[uint64]string{0: "unknown"}},
		"min_blocked":            {pairs: []uint64{10, 1}, settings: func(c *config.KillBlocking) { c.MinBlocked = 2 }, obstacles: map[uint64]string{1: "too_few"}},
		"behind one another":     {pairs: []uint64{10, 11, 11, 1}, settings: func(c *config.KillBlocking) { c.MinBlocked = 2 }, victims: []uint64{1}, obstacles: map[uint64]string{1: ""}},
		"two share a lock":       {pairs: []uint64{10, 1, 10, 2}, victims: []uint64{2, 1}, obstacles: map[uint64]string{1: "", 2: ""}},
		"shared with a young":    {pairs: []uint64{10, 1, 10, 3}, obstacles: map[uint64]string{1: "shared", 3: "too_young"}},
		"one of two is freed":    {pairs: []uint64{10, 1, 10, 3, 11, 1}, victims: []uint64{1}, obstacles: map[uint64]string{1: "", 3: "too_young"}},
		"shared with an unknown": {pairs: []uint64{10, 1, 10, 0}, obstacles: map[uint64]string{0: "unknown", 1: "shared"}},
		"a circle":               {pairs: []uint64{10, 11, 11, 10}, circles: 2},
		"a circle and a root":    {pairs: []uint64{10, 11, 11, 10, 11, 1}, victims: []uint64{1}, obstacles: map[uint64]string{1: ""}},
		"itself":                 {pairs: []uint64{1, 1}, circles: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, f := limits(), server(c.pairs...)
			if c.settings != nil {
				c.settings(&settings)
			}
			if c.change != nil {
				c.change(f)
			}
			k := killBlocking(f, settings)
			found, err := killblockingtransaction.Find(t.Context(), k, f)
			if err != nil || !maps.Equal(found.Obstacles, c.obstacles) || found.Circles != c.circles {
				t.Errorf("found %+v, %v", found, err)
			}
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(actiontest.IDs(p), c.victims) || p.Total != len(c.victims) || p.Cleared != (len(c.pairs) == 0) ||
				!p.Refused.IsZero() != (len(c.pairs) > 0 && len(c.victims) == 0) || p.Target != "app:shop/pool:main" {
				t.Errorf("got %+v", p)
			}
			if f.Open != 0 || len(f.Calls) > 0 {
				t.Errorf("%d sessions open, calls %v", f.Open, f.Calls)
			}
		})
	}
}

// Without limits, an app or users nothing is read.
func TestSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings func(*config.KillBlocking)
		alert    action.Alert
		code     action.Code
	}{
		"no min_idle":       {settings: func(c *config.KillBlocking) { c.MinIdle = 0 }, code: action.CodeTooHasty},
		"too hasty":         {settings: func(c *config.KillBlocking) { c.MinIdle = time.Millisecond }, code: action.CodeTooHasty},
		"no max_victims":    {settings: func(c *config.KillBlocking) { c.MaxVictims = 0 }, code: action.CodeSettingMissing},
		"no max_trx_rows":   {settings: func(c *config.KillBlocking) { c.MaxTrxRows = -1 }, code: action.CodeSettingMissing},
		"no min_blocked":    {settings: func(c *config.KillBlocking) { c.MinBlocked = 0 }, code: action.CodeSettingMissing},
		"no app":            {settings: func(c *config.KillBlocking) { c.App = "" }, code: action.CodeUnknownApp},
		"another app":       {alert: actiontest.Labels("app", "blog"), code: action.CodeLabelDiffers},
		"no pool":           {settings: func(c *config.KillBlocking) { c.Pool = "x" }, code: action.CodeUnknownPool},
		"the server's user": {settings: func(c *config.KillBlocking) { c.Users = []string{"shop", "System User"} }, code: action.CodeUserOfServer},
		"a wildcard":        {settings: func(c *config.KillBlocking) { c.Users = []string{"sh%"} }, code: action.CodeUserPattern},
		"our own user":      {settings: func(c *config.KillBlocking) { c.Users = []string{"resp"} }, code: action.CodeUserOwn},
	} {
		settings, f := limits(), server(10, 1)
		if c.settings != nil {
			c.settings(&settings)
		}
		p, err := killBlocking(f, settings).Plan(t.Context(), action.PlanRequest{Alert: c.alert})
		if err != nil || p.Refused.Code != c.code || p.Total != 0 || p.Cleared || f.Open != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestVictim(t *testing.T) {
	t.Parallel()
	f := server(10, 11, 11, 1)
	p, err := killBlocking(f, limits()).Plan(t.Context(), action.PlanRequest{})
	if err != nil || len(p.Victims) != 1 || p.Measure != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	v := p.Victims[0]
	want := map[string]string{"idle": "1m10s", "rows_changed": "1", "server": "s", "worker": "3", "blocks": "2"}
	if v.Kind != "connection" || v.ID != "1" || len(v.Identity) != 16 || !maps.Equal(v.Info, want) {
		t.Errorf("the victim is %+v", v)
	}
}

// What has changed between the plan and its turn lives.
func TestRechecks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		looked func(*actiontest.Database) // ahead of the waits of the second victim
		before func(*mysql.Connection)    // ahead of the reading of the second victim
	}{
		"nobody waits":        {looked: func(f *actiontest.Database) { f.Waiting = waits(10, 2) }},
		"it waits itself":     {looked: func(f *actiontest.Database) { f.Waiting = append(f.Waiting, waits(1, 3)...) }},
		"waits for another":   {looked: func(f *actiontest.Database) { f.Waiting = append(f.Waiting, waits(11, 3)...) }},
		"another holder":      {looked: func(f *actiontest.Database) { f.Holders = map[string]dbconn.Holder{"127.0.0.1:40001": {App: "blog"}} }},
		"works":               {before: func(c *mysql.Connection) { c.Command = "Query" }},
		"has worked":          {before: func(c *mysql.Connection) { c.Query++ }},
		"slept anew":          {before: func(c *mysql.Connection) { c.Time -= time.Second }},
		"another transaction": {before: func(c *mysql.Connection) { c.Transaction = "9" }},
		"another client":      {before: func(c *mysql.Connection) { c.Host = "127.0.0.1:9" }},
		"changed more":        {before: func(c *mysql.Connection) { c.Rows = 101 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := server(10, 2, 11, 1)
			k := killBlocking(f, limits())
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !slices.Equal(actiontest.IDs(p), []uint64{2, 1}) {
				t.Fatal(p, err)
			}
			f.Looked = func() {
				if len(f.Ended) == 1 && c.looked != nil {
					c.looked(f)
				}
			}
			f.Before = func(id uint64) {
				if i := f.At(1); id == 1 && c.before != nil {
					c.before(&f.List[i])
				}
			}
			done, err := k.Apply(t.Context(), p)
			if err != nil || done != 1 || !slices.Equal(f.Ended, []uint64{2}) || f.Open != 0 {
				t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
			}
		})
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*actiontest.Database, *action.Plan)
		done   int
		fails  bool
		calls  []string
	}{
		"KILL":          {done: 2, calls: []string{"KILL", "KILL"}},
		"disagrees":     {change: func(f *actiontest.Database, _ *action.Plan) { f.Disagree = true }, calls: []string{"KILL", "KILL"}},
		"restarted":     {change: func(f *actiontest.Database, _ *action.Plan) { f.ServerID = "t" }, fails: true},
		"not permitted": {change: func(f *actiontest.Database, _ *action.Plan) { f.Refuse = &mysql.Error{Reason: reason.Permission} }, fails: true, calls: []string{"KILL"}},
		"a journal's":   {change: func(_ *actiontest.Database, p *action.Plan) { p.Private = nil }, fails: true},
		"refused":       {change: func(_ *actiontest.Database, p *action.Plan) { p.Refused = action.Refuse(action.CodeUnheld, "no") }, fails: true},
	} {
		f := server(10, 2, 11, 1)
		k := killBlocking(f, limits())
		p, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(f, &p)
		}
		done, err := k.Apply(t.Context(), p)
		if done != c.done || (err != nil) != c.fails || !slices.Equal(f.Calls, c.calls) || f.Open != 0 {
			t.Errorf("%s: done %d, %v, %v", name, done, err, f.Calls)
		}
	}
	settings, f := limits(), server(10, 1)
	settings.Procedure = "resp_heal.kill_idle"
	k := killBlocking(f, settings)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := k.Apply(t.Context(), p); done != 1 || err != nil || !slices.Equal(f.Calls, []string{"CALL resp_heal.kill_idle"}) {
		t.Errorf("done %d, %v, %v", done, err, f.Calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f = server(10, 2, 11, 1)
	f.Before = func(uint64) { cancel() }
	k = killBlocking(f, limits())
	if p, err = k.Plan(ctx, action.PlanRequest{}); err != nil {
		t.Fatal(err)
	}
	if done, err := k.Apply(ctx, p); done != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled between two: %d, %v", done, err)
	}
}

// Verify has only what the journal keeps.
func TestVerify(t *testing.T) {
	t.Parallel()
	rolling := func(rows uint64) mysql.Connection {
		return actiontest.Changed(actiontest.Asleep(1, 1), func(c *mysql.Connection) {
			c.Command, c.State, c.TrxState, c.Rows = "Killed", "Rollback", "ROLLING BACK", rows
		})
	}
	for name, c := range map[string]struct {
		server       string
		first, later []mysql.Connection
		waiting      []mysql.ConnectionWait
		want         action.Outcome
	}{
		"gone":                    {"s", []mysql.Connection{waiter(10)}, nil, nil, action.Verified},
		"others wait, not for it": {"s", []mysql.Connection{waiter(10), waiter(11)}, nil, waits(10, 11), action.Verified},
		"there":                   {"s", []mysql.Connection{actiontest.Asleep(1, 70), waiter(10)}, nil, waits(10, 1), action.Unchanged},
		"there, nobody waits":     {"s", []mysql.Connection{actiontest.Asleep(1, 70)}, nil, nil, action.Unchanged},
		"gone, and waited for":    {"s", []mysql.Connection{waiter(10)}, nil, waits(10, 1), action.Unchanged},
		"rolls back":              {"s", []mysql.Connection{rolling(99)}, []mysql.Connection{rolling(98)}, nil, action.InProgress},
		"does not get on":         {"s", []mysql.Connection{rolling(99)}, []mysql.Connection{rolling(99)}, nil, action.Unchanged},
		"restarted":               {"t", []mysql.Connection{actiontest.Asleep(1, 70)}, nil, waits(10, 1), action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := server(10, 1)
				k := killBlocking(f, limits())
				p, err := k.Plan(t.Context(), action.PlanRequest{})
				if err != nil || p.Total != 1 {
					t.Fatal(p, err)
				}
				p.Private = nil
				f.ServerID, f.List, f.Later, f.Waiting = c.server, c.first, &c.later, c.waiting
				got, err := k.Verify(t.Context(), p)
				if err != nil || got != c.want || f.Open != 0 {
					t.Errorf("got %s, %v", got, err)
				}
			})
		})
	}
	if _, err := killBlocking(server(), limits()).Verify(t.Context(), action.Plan{Target: "app:gone/pool:main"}); err == nil {
		t.Error("a pool that is gone was verified")
	}
}

// For any list of the server, a plan has only connections of the app that sleep in a
// transaction, for which others wait and that wait for no other, and only these end.
func TestTouchesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		planned := 0
		for seed := range uint64(2000) {
			r := rand.New(rand.NewPCG(seed, 1))
			settings := limits()
			settings.MaxVictims, settings.MaxTrxRows = 1+r.IntN(5), r.IntN(150)
			f := &actiontest.Database{ServerID: "s", Login: "resp", Holders: map[string]dbconn.Holder{"localhost": {}, "": {}, "%": {}}}
			n := 1 + r.Uint64N(30)
			for i := range n {
				f.List = append(f.List, actiontest.RandomConnection(r, i+1))
			}
			for range r.IntN(20) {
				f.Waiting = append(f.Waiting, waits(1+r.Uint64N(n), r.Uint64N(n+3))...)
			}
			k := killBlocking(f, settings)
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || len(p.Victims) > settings.MaxVictims {
				t.Fatalf("seed %d: %+v, %v", seed, p, err)
			}
			for _, id := range actiontest.IDs(p) {
				c := f.List[f.At(id)]
				waitsItself := slices.ContainsFunc(f.Waiting, func(w mysql.ConnectionWait) bool { return w.Waiter == id })
				blocks := slices.ContainsFunc(f.Waiting, func(w mysql.ConnectionWait) bool { return w.Blocker == id })
				if waitsItself || !blocks || c.User != "shop" || c.Own || c.Command != "Sleep" || !c.InTransaction || c.TrxState != "RUNNING" ||
					c.Time <= time.Minute || c.Rows > uint64(settings.MaxTrxRows) || f.Of(c.Host).App != "shop" {
					t.Fatalf("seed %d: %+v is in the plan, waits %v", seed, c, f.Waiting)
				}
			}
			planned += len(p.Victims)
			if !p.Refused.IsZero() {
				continue
			}
			done, err := k.Apply(t.Context(), p)
			if err != nil || done > p.Total || len(without(f.Ended, actiontest.IDs(p))) > 0 {
				t.Fatalf("seed %d: planned %v, ended %v, %v", seed, actiontest.IDs(p), f.Ended, err)
			}
		}
		if planned < 300 {
			t.Errorf("only %d victims in all", planned)
		}
	})
}

// without returns the items of a that are not in b.
func without(a, b []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(a), func(id uint64) bool { return slices.Contains(b, id) })
}
