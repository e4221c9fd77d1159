package killlongqueries_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killlongqueries"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// busy is a connection of the app that has run a statement for so many seconds.
func busy(id uint64, seconds float64) mysql.Connection {
	return mysql.Connection{
		ID: id, User: "shop", Host: "127.0.0.1:4711", Command: "Query", State: "Sending data",
		Time: time.Duration(seconds * float64(time.Second)), Query: 1000 + id,
	}
}

// longDB runs SELECTs of a minute to an hour, and statements that must not be ended.
func longDB() *actiontest.Database {
	f := &actiontest.Database{ServerID: "s", Login: "resp", MariaDB: true, Texts: map[uint64]string{}}
	add := func(c mysql.Connection, text string) {
		f.List = append(f.List, c)
		f.Texts[c.ID] = text
	}
	add(busy(1, 60), "SELECT 'hunter2'")
	add(actiontest.Changed(busy(2, 3600), func(c *mysql.Connection) { c.Command = "Execute" }), "SELECT 2")
	add(busy(3, 90), "SELECT 3")
	add(busy(4, 9), "SELECT 4")
	add(busy(5, 4000), "UPDATE t SET a = 1")
	add(busy(6, 4000), "SELECT 1 FOR UPDATE")
	add(busy(7, 4000), "ALTER TABLE t ADD a INT")
	add(actiontest.Changed(busy(8, 4000), func(c *mysql.Connection) { c.User = "backup" }), "SELECT /*!40001 SQL_NO_CACHE */ * FROM t")
	add(actiontest.Changed(busy(9, 4000), func(c *mysql.Connection) { c.State = "Waiting for table metadata lock" }), "SELECT 9")
	add(actiontest.Changed(busy(10, 4000), func(c *mysql.Connection) { c.Command = "Binlog Dump GTID" }), "SELECT 10")
	add(actiontest.Changed(busy(11, 4000), func(c *mysql.Connection) { c.Own = true }), "SELECT 11")
	add(actiontest.Changed(busy(12, 4000), func(c *mysql.Connection) { c.Command = "Killed" }), "SELECT 12")
	f.List = append(f.List, busy(13, 4000)) // no text, or a very long one
	return f
}

func longCaps() config.KillLong {
	return config.KillLong{MySQL: "main", Users: []string{"shop"}, MinTime: 10 * time.Second, MaxVictims: 10}
}

func killLong(f *actiontest.Database, c config.KillLong) *killlongqueries.Action {
	return killlongqueries.New(killlongqueries.Deps{Database: actiontest.Databases(f)}, c)
}

func TestKillLongPlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings func(*config.KillLong)
		alert    action.Alert
		want     []uint64
		refused  action.Code
		cleared  bool
	}{
		"the oldest first":       {want: []uint64{2, 3, 1}},
		"max_victims":            {settings: func(c *config.KillLong) { c.MaxVictims = 1 }, want: []uint64{2}},
		"min_time":               {settings: func(c *config.KillLong) { c.MinTime = 80 * time.Second }, want: []uint64{2, 3}},
		"none is long":           {settings: func(c *config.KillLong) { c.MinTime = 2 * time.Hour }, cleared: true},
		"no cap":                 {settings: func(c *config.KillLong) { c.MaxVictims = 0 }, refused: action.CodeSettingMissing},
		"no time":                {settings: func(c *config.KillLong) { c.MinTime = 0 }, refused: action.CodeSettingMissing},
		"no user":                {settings: func(c *config.KillLong) { c.Users = nil }, refused: action.CodeNoUsers},
		"the exporter's own":     {settings: func(c *config.KillLong) { c.Users = []string{"resp"} }, refused: action.CodeUserOwn},
		"the server's":           {settings: func(c *config.KillLong) { c.Users = []string{"event_scheduler"} }, refused: action.CodeUserOfServer},
		"the alert names it":     {settings: func(c *config.KillLong) { c.MySQL = "" }, alert: actiontest.Labels("mysql", "main"), want: []uint64{2, 3, 1}},
		"nobody names a server":  {settings: func(c *config.KillLong) { c.MySQL = "" }, refused: action.CodeUnknownServer},
		"an unknown server":      {settings: func(c *config.KillLong) { c.MySQL = "" }, alert: actiontest.Labels("mysql", "`id`"), refused: action.CodeUnknownServer},
		"another server's alert": {alert: actiontest.Labels("mysql", "second"), refused: action.CodeLabelDiffers},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, f := longCaps(), longDB()
			if c.settings != nil {
				c.settings(&settings)
			}
			p, err := killLong(f, settings).Plan(t.Context(), action.PlanRequest{Alert: c.alert})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(actiontest.IDs(p), c.want) || p.Cleared != c.cleared || p.Refused.Code != c.refused {
				t.Errorf("got %+v", p)
			}
			if f.Open != 0 || len(f.Calls) > 0 {
				t.Errorf("%d sessions open, calls %v", f.Open, f.Calls)
			}
		})
	}
}

func TestKillLongPlanKeepsNoText(t *testing.T) {
	t.Parallel()
	p, err := killLong(longDB(), longCaps()).Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "shop") || strings.Contains(string(b), "SELECT 2") {
		t.Errorf("%s, %v", b, err)
	}
	want := "end 3 of 3 plain SELECTs on mysql main that have run for more than 10s; 4 other statements are not ended"
	if p.Summary != want || p.Measure != 3 || p.Target != "mysql:main" {
		t.Errorf("got %+v", p)
	}
}

func TestKillLongRechecks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*actiontest.Database, *mysql.Connection){
		"another statement":        func(_ *actiontest.Database, c *mysql.Connection) { c.Query++ },
		"another run":              func(_ *actiontest.Database, c *mysql.Connection) { c.Time -= time.Second },
		"another client":           func(_ *actiontest.Database, c *mysql.Connection) { c.Host = "127.0.0.1:1" },
		"has ended":                func(_ *actiontest.Database, c *mysql.Connection) { c.Command = "Sleep" },
		"ends":                     func(_ *actiontest.Database, c *mysql.Connection) { c.Command = "Killed" },
		"waits for a lock":         func(_ *actiontest.Database, c *mysql.Connection) { c.TrxState = "LOCK WAIT" },
		"another text":             func(f *actiontest.Database, _ *mysql.Connection) { f.Texts[2] = "SELECT 22" },
		"a text that is not plain": func(f *actiontest.Database, _ *mysql.Connection) { f.Texts[2] = "DELETE FROM t" },
		"no text":                  func(f *actiontest.Database, _ *mysql.Connection) { delete(f.Texts, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := longDB()
			k := killLong(f, longCaps())
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || len(p.Victims) != 3 {
				t.Fatal(p, err)
			}
			change(f, &f.List[f.At(2)])
			done, err := k.Apply(t.Context(), p)
			if err != nil || done != 2 || !slices.Equal(f.Ended, []uint64{3, 1}) || f.Open != 0 {
				t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
			}
		})
	}
}

func TestKillLongApply(t *testing.T) {
	t.Parallel()
	settings := longCaps()
	settings.Procedure = "resp_heal.kill_query"
	f := longDB()
	k := killLong(f, settings)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	server := f.ServerID
	f.ServerID = "another"
	if done, err := k.Apply(t.Context(), p); done != 0 || err == nil {
		t.Error("ended after a restart", done, err)
	}
	f.ServerID = server
	if done, err := k.Apply(t.Context(), p); done != 3 || err != nil || f.Calls[2] != "CALL resp_heal.kill_query" {
		t.Error(done, err, f.Calls)
	}
	p.Private = nil
	if _, err := k.Apply(t.Context(), p); err == nil {
		t.Error("a plan from the journal was carried out")
	}
}

func TestKillLongVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server string
		change func(f *actiontest.Database)
		want   action.Outcome
	}{
		"gone":                {"s", func(f *actiontest.Database) { f.List = f.List[4:] }, action.Verified},
		"idle":                {"s", func(f *actiontest.Database) { f.List[1].Command = "Sleep" }, action.Verified},
		"the next statement":  {"s", func(f *actiontest.Database) { f.List[1].Query++; f.List[1].Time = time.Second }, action.Verified},
		"runs on":             {"s", func(f *actiontest.Database) { f.List[1].Time += time.Second }, action.Unchanged},
		"is ending":           {"s", func(f *actiontest.Database) { f.List[1].Command = "Killed" }, action.InProgress},
		"others instead":      {"s", func(f *actiontest.Database) { f.List[1].Query++ }, action.Unchanged},
		"restarted, as many":  {"t", func(*actiontest.Database) {}, action.Unchanged},
		"restarted and quiet": {"t", func(f *actiontest.Database) { f.List = nil }, action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, settings := longDB(), longCaps()
			settings.MaxVictims = 1
			p, err := killLong(f, settings).Plan(t.Context(), action.PlanRequest{})
			if err != nil || !slices.Equal(actiontest.IDs(p), []uint64{2}) {
				t.Fatal(p, err)
			}
			p.Private = nil
			f.ServerID = c.server
			c.change(f)
			got, err := killLong(f, settings).Verify(t.Context(), p)
			if err != nil || got != c.want || f.Open != 0 {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

// For any list of the server, a plan has only plain SELECTs of the app's user.
func TestKillLongTouchesNoOther(t *testing.T) {
	t.Parallel()
	texts := []string{"SELECT 1", "/* a */ SELECT 1", "SELECT 1 FOR UPDATE", "UPDATE t SET a=1", "ALTER TABLE t", "", "COMMIT", "SELECT 1 INTO @a"}
	planned := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		settings := longCaps()
		settings.MaxVictims = 1 + r.IntN(5)
		f := &actiontest.Database{ServerID: "s", Login: "resp", Texts: map[uint64]string{}}
		for i := range uint64(r.IntN(40)) {
			c := actiontest.RandomConnection(r, i+1)
			if r.IntN(3) == 0 {
				c = busy(i+1, 30*r.Float64())
			}
			f.List = append(f.List, c)
			f.Texts[c.ID] = texts[r.IntN(len(texts))]
		}
		p, err := killLong(f, settings).Plan(t.Context(), action.PlanRequest{})
		if err != nil {
			t.Fatal(err)
		}
		planned += len(p.Victims)
		for _, id := range actiontest.IDs(p) {
			c := f.List[f.At(id)]
			if c.User != "shop" || c.Own || c.Command != "Query" && c.Command != "Execute" || c.Time <= 10*time.Second || !killlongqueries.PlainSelect(f.Texts[id]) {
				t.Fatalf("seed %d: %+v is in the plan with %q", seed, c, f.Texts[id])
			}
		}
		if len(p.Victims) > settings.MaxVictims {
			t.Fatalf("seed %d: %d victims", seed, len(p.Victims))
		}
	}
	if planned < 1000 {
		t.Errorf("only %d victims in all", planned)
	}
}

// A long query is ended for the app of the alert, and not at all if the user belongs to two
// apps.
func TestKillLongOfApps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app     string
		alert   action.Alert
		want    []uint64
		refused action.Code
	}{
		"nobody is named": {refused: action.CodeSeveralApps},
		"by the rule":     {app: "shop", want: []uint64{1, 3}},
		"by the alert":    {alert: actiontest.Labels("app", "blog"), want: []uint64{2}},
		"another label":   {alert: actiontest.Labels("app", "frontend"), refused: action.CodeSeveralApps},
		"not the rule's":  {app: "shop", alert: actiontest.Labels("app", "blog"), refused: action.CodeLabelDiffers},
	} {
		f := &actiontest.Database{ServerID: "s", Login: "resp", MariaDB: true, Texts: map[uint64]string{1: "SELECT 1", 2: "SELECT 2", 3: "SELECT 3"}}
		for i, host := range []string{"127.0.0.1:40001", "127.0.0.1:40002", "127.0.0.1:40003"} {
			f.List = append(f.List, actiontest.Changed(busy(uint64(i+1), float64(100-i)), func(c *mysql.Connection) { c.Host = host }))
		}
		f.Holders = map[string]dbconn.Holder{"127.0.0.1:40002": {App: "blog"}}
		settings := longCaps()
		settings.App = c.app
		k := killlongqueries.New(killlongqueries.Deps{Database: actiontest.Databases(f), Holders: f.HoldersOf, Watched: actiontest.WatchedApps}, settings)
		p, err := k.Plan(t.Context(), action.PlanRequest{Alert: c.alert})
		if err != nil || p.Refused.Code != c.refused {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if !p.Refused.IsZero() {
			continue
		}
		if !slices.Equal(actiontest.IDs(p), c.want) {
			t.Errorf("%s: %v", name, actiontest.IDs(p))
		}
		f.Holders["127.0.0.1:40003"] = dbconn.Holder{}
		done, err := k.Apply(t.Context(), p)
		if want := c.want[:1]; done != 1 || err != nil || !slices.Equal(f.Ended, want) {
			t.Errorf("%s: done %d, %v, ended %v", name, done, err, f.Ended)
		}
	}
}
