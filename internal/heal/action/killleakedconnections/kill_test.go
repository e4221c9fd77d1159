package killleakedconnections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// leakCaps returns settings with high limits.
func leakCaps() config.KillLeaked {
	return config.KillLeaked{App: "shop", Pool: "main", MaxVictims: 10, MaxFraction: 1, MaxTrxRows: 100}
}

func killLeaked(f *actiontest.Database, c config.KillLeaked) *killleakedconnections.Action {
	return killleakedconnections.New(killleakedconnections.Deps{
		Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf,
	}, c)
}

func TestKillLeakedPlan(t *testing.T) {
	t.Parallel()
	sleepers := []mysql.Connection{
		actiontest.Asleep(1, 70), actiontest.Asleep(2, 90), actiontest.Asleep(3, 61), actiontest.Asleep(4, 60), actiontest.Asleep(5, 0.2),
		actiontest.Changed(actiontest.Asleep(6, 500), func(c *mysql.Connection) { c.InTransaction = false }),
		actiontest.Changed(actiontest.Asleep(7, 500), func(c *mysql.Connection) { c.Rows = 101 }),
		actiontest.Changed(actiontest.Asleep(8, 500), func(c *mysql.Connection) { c.User = "Shop" }),
	}
	for name, c := range map[string]struct {
		settings func(*config.KillLeaked)
		alert    action.Alert
		list     []mysql.Connection
		want     []uint64
		refused  action.Code
		cleared  bool
	}{
		"the oldest first":                 {want: []uint64{2, 1, 3}},
		"max_victims":                      {settings: func(c *config.KillLeaked) { c.MaxVictims = 2 }, want: []uint64{2, 1}},
		"max_fraction is a cap":            {settings: func(c *config.KillLeaked) { c.MaxFraction = 0.3 }, want: []uint64{2, 1}}, // of 7
		"max_fraction of few":              {settings: func(c *config.KillLeaked) { c.MaxFraction = 0.1 }, refused: action.CodeFractionZero},
		"min_idle":                         {settings: func(c *config.KillLeaked) { c.MinIdle = 80 * time.Second }, want: []uint64{2}},
		"rows":                             {settings: func(c *config.KillLeaked) { c.MaxTrxRows = 101 }, want: []uint64{7, 2, 1, 3}},
		"all changed too much":             {settings: func(c *config.KillLeaked) { c.MaxTrxRows = 0 }, refused: action.CodeTooManyRows},
		"users instead of the pool's":      {settings: func(c *config.KillLeaked) { c.Users = []string{"Shop"} }, want: []uint64{8}},
		"nothing leaks":                    {list: sleepers[3:6], cleared: true},
		"no connection":                    {list: []mysql.Connection{}, cleared: true},
		"no cap":                           {settings: func(c *config.KillLeaked) { c.MaxVictims = 0 }, refused: action.CodeSettingMissing},
		"no fraction":                      {settings: func(c *config.KillLeaked) { c.MaxFraction = 0 }, refused: action.CodeSettingMissing},
		"too hasty":                        {settings: func(c *config.KillLeaked) { c.MinIdle = time.Millisecond }, refused: action.CodeTooHasty},
		"a user of the server":             {settings: func(c *config.KillLeaked) { c.Users = []string{"shop", "System User"} }, refused: action.CodeUserOfServer},
		"a wildcard":                       {settings: func(c *config.KillLeaked) { c.Users = []string{"sh%"} }, refused: action.CodeUserPattern},
		"nobody":                           {settings: func(c *config.KillLeaked) { c.Users = []string{""} }, refused: action.CodeUserOfServer},
		"the exporter's own":               {settings: func(c *config.KillLeaked) { c.Users = []string{"resp"} }, refused: action.CodeUserOwn},
		"the alert names the app and pool": {settings: func(c *config.KillLeaked) { c.App, c.Pool = "", "" }, alert: actiontest.Labels("app", "shop", "pool", "main"), want: []uint64{2, 1, 3}},
		"the only pool":                    {settings: func(c *config.KillLeaked) { c.Pool = "" }, want: []uint64{2, 1, 3}},
		"nobody names an app":              {settings: func(c *config.KillLeaked) { c.App = "" }, refused: action.CodeUnknownApp},
		"a pool that is not there":         {settings: func(c *config.KillLeaked) { c.Pool = "x" }, refused: action.CodeUnknownPool},
		"an app without pools":             {settings: func(c *config.KillLeaked) { c.App = "blog" }, refused: action.CodeUnknownPool},
		"another app's alert":              {alert: actiontest.Labels("app", "blog"), refused: action.CodeLabelDiffers},
		"another pool's alert":             {alert: actiontest.Labels("app", "shop", "pool", "$(reboot)"), refused: action.CodeLabelDiffers},
		"an app from outside":              {settings: func(c *config.KillLeaked) { c.App = "" }, alert: actiontest.Labels("app", "'; KILL 1"), refused: action.CodeUnknownApp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, list := leakCaps(), sleepers
			if c.settings != nil {
				c.settings(&settings)
			}
			if c.list != nil {
				list = c.list
			}
			f := &actiontest.Database{ServerID: "s", Login: "resp", List: list}
			p, err := killLeaked(f, settings).Plan(t.Context(), action.PlanRequest{Alert: c.alert})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(actiontest.IDs(p), c.want) || p.Total != len(c.want) || p.Cleared != c.cleared || p.Refused.Code != c.refused {
				t.Errorf("got %+v", p)
			}
			if f.Open != 0 || len(f.Calls) > 0 {
				t.Errorf("%d sessions open, calls %v", f.Open, f.Calls)
			}
		})
	}
}

func TestKillLeakedPlanText(t *testing.T) {
	t.Parallel()
	f := &actiontest.Database{ServerID: "17-4", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 0), actiontest.Changed(actiontest.Asleep(3, 99), func(c *mysql.Connection) { c.Rows = 1000 })}}
	p, err := killLeaked(f, leakCaps()).Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := "end 1 of 3 connections of pool main of app shop: 2 have slept in a transaction for more than 1m0s; 1 with more than 100 changed rows are not ended"
	if p.Summary != want || p.Target != "app:shop/pool:main" || p.Measure != 2 {
		t.Errorf("got %+v", p)
	}
	for i := range p.Victims {
		if v := &p.Victims[i]; len(v.Identity) != 16 {
			t.Errorf("its identity is %q", v.Identity)
		} else {
			v.Identity = ""
		}
	}
	if got := fmt.Sprint(p.Victims); got != "[{connection 1  map[idle:1m10s rows_changed:1 server:17-4 worker:3]}]" {
		t.Errorf("victims are %s", got)
	}
}

// A connection that was idle in the plan and is active right before the kill is not
// ended.
func TestKillLeakedRechecks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*mysql.Connection){
		"another user":        func(c *mysql.Connection) { c.User = "root" },
		"another client":      func(c *mysql.Connection) { c.Host = "127.0.0.1:9" },
		"works":               func(c *mysql.Connection) { c.Command = "Query" },
		"has worked":          func(c *mysql.Connection) { c.Query++ },
		"slept anew":          func(c *mysql.Connection) { c.Time -= time.Second },
		"another transaction": func(c *mysql.Connection) { c.Transaction = "9" },
		"no transaction":      func(c *mysql.Connection) { c.InTransaction = false },
		"ended by another":    func(c *mysql.Connection) { c.Command = "Killed" },
		"rolls back":          func(c *mysql.Connection) { c.State = "Rollback" },
		"commits":             func(c *mysql.Connection) { c.TrxState = "COMMITTING" },
		"changed more":        func(c *mysql.Connection) { c.Rows = 101 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &actiontest.Database{ServerID: "s", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90)}}
			k := killLeaked(f, leakCaps())
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Total != 2 {
				t.Fatal(p, err)
			}
			f.Before = func(id uint64) {
				if i := f.At(2); id == 2 && i >= 0 {
					change(&f.List[i])
				}
			}
			done, err := k.Apply(t.Context(), p)
			if err != nil || done != 1 || !slices.Equal(f.Ended, []uint64{1}) || f.Open != 0 {
				t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
			}
		})
	}
}

func TestKillLeakedApply(t *testing.T) {
	t.Parallel()
	planned := func(t *testing.T, settings config.KillLeaked) (*actiontest.Database, *killleakedconnections.Action, action.Plan) {
		f := &actiontest.Database{ServerID: "s", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90), actiontest.Asleep(3, 80)}}
		k := killLeaked(f, settings)
		p, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return f, k, p
	}
	t.Run("through a procedure", func(t *testing.T) {
		t.Parallel()
		settings := leakCaps()
		settings.Procedure = "resp_heal.kill_idle"
		f, k, p := planned(t, settings)
		done, err := k.Apply(t.Context(), p)
		if err != nil || done != 3 || f.Calls[0] != "CALL resp_heal.kill_idle" || slices.Contains(f.Calls, "KILL") {
			t.Errorf("done %d, %v, %v", done, err, f.Calls)
		}
		if again, err := k.Apply(t.Context(), p); again != 0 || err != nil || len(f.Calls) != 3 {
			t.Errorf("a second time did %d, %v, %v", again, err, f.Calls)
		}
	})
	t.Run("the procedure disagrees", func(t *testing.T) {
		t.Parallel()
		f, k, p := planned(t, leakCaps())
		f.Disagree = true
		if done, err := k.Apply(t.Context(), p); done != 0 || err != nil {
			t.Error(done, err)
		}
	})
	t.Run("restarted", func(t *testing.T) {
		t.Parallel()
		f, k, p := planned(t, leakCaps())
		f.ServerID = "another"
		if done, err := k.Apply(t.Context(), p); done != 0 || err == nil || len(f.Calls) > 0 {
			t.Error(done, err, f.Calls)
		}
	})
	t.Run("refused by the server", func(t *testing.T) {
		t.Parallel()
		f, k, p := planned(t, leakCaps())
		f.Refuse = &mysql.Error{Reason: reason.Permission, Text: "no"}
		if done, err := k.Apply(t.Context(), p); done != 0 || !errors.Is(err, f.Refuse) || len(f.Calls) != 1 {
			t.Error(done, err, f.Calls)
		}
	})
	t.Run("cancelled between two", func(t *testing.T) {
		t.Parallel()
		f, k, p := planned(t, leakCaps())
		ctx, cancel := context.WithCancel(t.Context())
		f.Before = func(uint64) { cancel() }
		if done, err := k.Apply(ctx, p); done != 1 || !errors.Is(err, context.Canceled) {
			t.Error(done, err)
		}
	})
	t.Run("a plan from the journal", func(t *testing.T) {
		t.Parallel()
		f, k, p := planned(t, leakCaps())
		p.Private = nil
		if done, err := k.Apply(t.Context(), p); done != 0 || err == nil || len(f.Calls) > 0 {
			t.Error(done, err, f.Calls)
		}
	})
}

// Verify has only the part of the plan that the journal stores.
func TestKillLeakedVerify(t *testing.T) {
	t.Parallel()
	before := []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90), actiontest.Asleep(3, 80), actiontest.Asleep(4, 75)}
	rolling := func(rows uint64) mysql.Connection {
		return actiontest.Changed(actiontest.Asleep(2, 1), func(c *mysql.Connection) {
			c.Command, c.State, c.TrxState, c.Rows = "Killed", "Rollback", "ROLLING BACK", rows
		})
	}
	for name, c := range map[string]struct {
		server       string
		first, later []mysql.Connection
		want         action.Outcome
	}{
		"all gone":                 {"s", nil, nil, action.Verified},
		"the planned gone":         {"s", []mysql.Connection{before[0], before[3]}, nil, action.Verified},
		"one of the planned":       {"s", []mysql.Connection{before[0], before[3], before[2]}, nil, action.Verified},
		"none gone":                {"s", before, nil, action.Unchanged},
		"others in their place":    {"s", []mysql.Connection{before[0], before[3], actiontest.Asleep(8, 61), actiontest.Asleep(9, 61)}, nil, action.Unchanged},
		"rolls back":               {"s", []mysql.Connection{rolling(300_000)}, []mysql.Connection{rolling(299_000)}, action.InProgress},
		"has rolled back":          {"s", []mysql.Connection{rolling(300_000)}, nil, action.InProgress},
		"does not get on":          {"s", []mysql.Connection{rolling(300_000)}, []mysql.Connection{rolling(300_000)}, action.Unchanged},
		"restarted":                {"t", nil, nil, action.Verified},
		"restarted, numbers again": {"t", before[1:3], nil, action.Verified},
		"restarted, a foreign one": {"t", []mysql.Connection{rolling(5)}, nil, action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &actiontest.Database{ServerID: "s", List: before}
				settings := leakCaps()
				settings.MaxVictims = 2
				p, err := killLeaked(f, settings).Plan(t.Context(), action.PlanRequest{})
				if err != nil || !slices.Equal(actiontest.IDs(p), []uint64{2, 3}) {
					t.Fatal(p, err)
				}
				p.Private = nil
				f.ServerID, f.List, f.Later = c.server, c.first, &c.later
				got, err := killLeaked(f, settings).Verify(t.Context(), p)
				if err != nil || got != c.want || f.Open != 0 {
					t.Errorf("got %s, %v", got, err)
				}
			})
		})
	}
	p := action.Plan{Target: "app:gone/pool:main"}
	if _, err := killLeaked(&actiontest.Database{}, leakCaps()).Verify(t.Context(), p); err == nil {
		t.Error("a pool that is gone was verified")
	}
}

// For any list of the server, a plan has only connections of the app that are idle in a
// transaction, within every limit, and only planned ones are ended.
func TestKillLeakedTouchesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		planned := 0
		for seed := range uint64(2000) {
			r := rand.New(rand.NewPCG(seed, 1))
			settings := leakCaps()
			settings.MaxVictims, settings.MaxFraction, settings.MaxTrxRows = 1+r.IntN(20), 0.05+0.95*r.Float64(), r.IntN(150)
			if r.IntN(4) == 0 {
				settings.Users = []string{"shop", "shop2"}
			}
			f := &actiontest.Database{ServerID: "s", Login: "resp"}
			ours := 0
			for i := range uint64(r.IntN(60)) {
				c := actiontest.RandomConnection(r, i+1)
				f.List = append(f.List, c)
				if !c.Own && (c.User == "shop" || settings.Users != nil && c.User == "shop2") {
					ours++
				}
			}
			k := killLeaked(f, settings)
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Victims) > settings.MaxVictims || float64(len(p.Victims)) > settings.MaxFraction*float64(ours)+1e-6 {
				t.Fatalf("seed %d: %d victims of %d", seed, len(p.Victims), ours)
			}
			for _, id := range actiontest.IDs(p) {
				c := f.List[f.At(id)]
				allowed := c.User == "shop" || settings.Users != nil && c.User == "shop2"
				if !allowed || c.Own || c.Command != "Sleep" || !c.InTransaction || c.TrxState != "RUNNING" || strings.HasPrefix(c.State, "Rollback") ||
					c.Time <= time.Minute || c.Rows > uint64(settings.MaxTrxRows) {
					t.Fatalf("seed %d: %+v is in the plan", seed, c)
				}
			}
			planned += len(p.Victims)
			if !p.Refused.IsZero() {
				continue
			}
			if done, err := k.Apply(t.Context(), p); err != nil || done != p.Total || !slices.Equal(f.Ended, actiontest.IDs(p)) {
				t.Fatalf("seed %d: planned %v, ended %v, %v", seed, actiontest.IDs(p), f.Ended, err)
			}
		}
		if planned < 1000 {
			t.Errorf("only %d victims in all", planned)
		}
	})
}
