package actions_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/actions"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

var errOut = errors.New("does not answer")

// Of five leaked connections of one user, one is another app's and one nobody's.
func sharedDB() *fakeDB {
	return &fakeDB{
		server: "s", user: "resp", list: []mysql.Connection{asleep(1, 70), asleep(2, 90), asleep(3, 80), asleep(4, 99), asleep(5, 1)},
		holders: map[string]actions.Holder{"127.0.0.1:40002": {App: "blog"}, "127.0.0.1:40004": {}},
	}
}

func TestKillLeakedOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clients string
		change  func(*fakeDB)
		want    []uint64
		refused string
	}{
		"the app's":        {want: []uint64{3, 1}},
		"and nobody's":     {clients: config.ClientsUser, want: []uint64{4, 3, 1}},
		"none of its own":  {change: func(f *fakeDB) { f.list = f.list[3:4]; f.unseen = "no right" }, refused: "no right"},
		"only another's":   {change: func(f *fakeDB) { f.list = f.list[1:2] }}, // cleared
		"another's and me": {clients: config.ClientsApp, change: func(f *fakeDB) { f.list = f.list[:2] }, want: []uint64{1}},
	} {
		f := sharedDB()
		if c.change != nil {
			c.change(f)
		}
		settings := leakCaps()
		settings.Clients = c.clients
		p, err := killLeaked(f, settings).Plan(t.Context(), action.Alert{})
		if err != nil || !slices.Equal(ids(p), c.want) || (p.Refused == "") != (c.refused == "") || !strings.Contains(p.Refused, c.refused) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if p.Cleared != (len(c.want) == 0 && c.refused == "") {
			t.Errorf("%s: cleared is %t", name, p.Cleared)
		}
	}
}

// A connection that has another holder by its turn lives: the port is another's.
func TestKillLeakedLooksForHoldersAgain(t *testing.T) {
	t.Parallel()
	f := sharedDB()
	k := killLeaked(f, leakCaps())
	p, err := k.Plan(t.Context(), action.Alert{})
	if err != nil || p.Total != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	f.holders["127.0.0.1:40003"] = actions.Holder{App: "blog"}
	if done, err := k.Apply(t.Context(), p); done != 1 || err != nil || !slices.Equal(f.ended, []uint64{1}) {
		t.Errorf("done %d, %v, ended %v", done, err, f.ended)
	}
}

// With clients: user, two pools of two apps must not have one user on one server.
func TestKillLeakedSharedUser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pool    config.Pool
		refused string
	}{
		"one name":        {config.Pool{Name: "p", MySQL: "main", User: "shop"}, "app blog's too"},
		"two names":       {config.Pool{Name: "p", MySQL: "again", User: "shop"}, "app blog's too"},
		"any user":        {config.Pool{Name: "p", MySQL: "again"}, "app blog's too"},
		"another user":    {config.Pool{Name: "p", MySQL: "main", User: "blog"}, ""},
		"another server":  {config.Pool{Name: "p", MySQL: "other", User: "shop"}, ""},
		"one that is not": {config.Pool{Name: "p", MySQL: "gone", User: "shop"}, "is not known"},
	} {
		f, again, other := sharedDB(), sharedDB(), sharedDB()
		other.server = "t"
		servers := map[string]actions.Database{"main": f, "again": again, "other": other}
		settings := leakCaps()
		settings.Clients = config.ClientsUser
		k := actions.NewKillLeaked(actions.KillLeakedDeps{
			Apps: func() []config.App {
				apps := shopApps()
				apps[1].Pools = []config.Pool{c.pool}
				return apps
			},
			Database: func(name string) actions.Database {
				if s, ok := servers[name]; ok {
					return s
				}
				return nil
			}, Holders: f.holdersOf,
		}, settings)
		p, err := k.Plan(t.Context(), action.Alert{})
		if err != nil || (p.Refused == "") != (c.refused == "") || !strings.Contains(p.Refused, c.refused) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if f.open+again.open+other.open != 0 {
			t.Errorf("%s: a session is left open", name)
		}
	}
}

// A long query is ended for the app that is meant, and for nobody where the
// users turn out to be those of two.
func TestKillLongOfApps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app     string
		alert   action.Alert
		want    []uint64
		refused string
	}{
		"nobody is named": {refused: "apps blog and shop"},
		"by the rule":     {app: "shop", want: []uint64{1, 3}},
		"by the alert":    {alert: labels("app", "blog"), want: []uint64{2}},
		"another label":   {alert: labels("app", "frontend"), refused: "apps blog and shop"},
		"not the rule's":  {app: "shop", alert: labels("app", "blog"), refused: "another app"},
	} {
		f := &fakeDB{server: "s", user: "resp", mariadb: true, texts: map[uint64]string{1: "SELECT 1", 2: "SELECT 2", 3: "SELECT 3"}}
		for i, host := range []string{"127.0.0.1:40001", "127.0.0.1:40002", "127.0.0.1:40003"} {
			f.list = append(f.list, changed(busy(uint64(i+1), float64(100-i)), func(c *mysql.Connection) { c.Host = host }))
		}
		f.holders = map[string]actions.Holder{"127.0.0.1:40002": {App: "blog"}}
		settings := longCaps()
		settings.App = c.app
		k := actions.NewKillLong(actions.KillLongDeps{Database: databases(f), Holders: f.holdersOf, Watched: watchedApps}, settings)
		p, err := k.Plan(t.Context(), c.alert)
		if err != nil || (p.Refused == "") != (c.refused == "") || !strings.Contains(p.Refused, c.refused) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if p.Refused != "" {
			continue
		}
		if !slices.Equal(ids(p), c.want) {
			t.Errorf("%s: %v", name, ids(p))
		}
		f.holders["127.0.0.1:40003"] = actions.Holder{}
		done, err := k.Apply(t.Context(), p)
		if want := c.want[:1]; done != 1 || err != nil || !slices.Equal(f.ended, want) {
			t.Errorf("%s: done %d, %v, ended %v", name, done, err, f.ended)
		}
	}
}

// Sessions whose prefixes overlap in one database are nobody's for certain.
func TestPurgeSharedPrefix(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other   config.Sessions
		refused string
	}{
		"the same":          {config.Sessions{Redis: "cache", Prefix: "session:"}, "overlaps"},
		"a longer one":      {config.Sessions{Redis: "cache", Prefix: "session:blog:"}, "overlaps"},
		"a shorter one":     {config.Sessions{Redis: "again", Prefix: "sess"}, "overlaps"},
		"another":           {config.Sessions{Redis: "cache", Prefix: "blog:"}, ""},
		"another database":  {config.Sessions{Redis: "second", Prefix: "session:"}, ""},
		"one that is down":  {config.Sessions{Redis: "down", Prefix: "session:"}, "is not known"},
		"another, and down": {config.Sessions{Redis: "down", Prefix: "blog:"}, ""},
	} {
		f := someEternal()
		stores := map[string]actions.SessionStore{"cache": f, "again": &fakeStore{space: "a/0"}, "second": &fakeStore{space: "a/1"}, "down": &fakeStore{down: errOut}}
		apps := shopApps()
		k := actions.NewPurge(actions.PurgeDeps{Apps: func() []config.App { return apps }, Store: func(name string) actions.SessionStore { return stores[name] }}, purgeCaps())
		before, err := k.Plan(t.Context(), action.Alert{})
		if err != nil || before.Total != 10 {
			t.Fatalf("%s: %+v, %v", name, before, err)
		}
		apps[1].Sessions = []config.Sessions{c.other}
		p, err := k.Plan(t.Context(), action.Alert{})
		if err != nil || (p.Refused == "") != (c.refused == "") || !strings.Contains(p.Refused, c.refused) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		// A plan from before that is looked at again.
		if done, err := k.Apply(t.Context(), before); (err != nil) != (c.refused != "") || (done > 0) != (c.refused == "") {
			t.Errorf("%s: done %d, %v", name, done, err)
		}
		if c.refused == "" && f.asked.Only != "c0ffee" {
			t.Errorf("%s: on any server: %+v", name, f.asked)
		}
	}
}

func watchedApps(_ context.Context, app string) bool { return app == "shop" || app == "blog" }

// someEternal is a store with ten sessions that stay for ever.
func someEternal() *fakeStore {
	return &fakeStore{space: "a/0", count: redis.EternalCount{Sessions: 100, Eternal: 10, Coverage: 1, Server: "c0ffee"}}
}
