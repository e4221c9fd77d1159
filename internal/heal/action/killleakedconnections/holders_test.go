package killleakedconnections_test

import (
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// sharedDB returns a server with five leaked connections of one user: one belongs to
// another app and one has no known holder.
func sharedDB() *actiontest.Database {
	return &actiontest.Database{
		ServerID: "s", Login: "resp", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90), actiontest.Asleep(3, 80), actiontest.Asleep(4, 99), actiontest.Asleep(5, 1)},
		Holders: map[string]dbconn.Holder{"127.0.0.1:40002": {App: "blog"}, "127.0.0.1:40004": {}},
	}
}

func TestKillLeakedOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clients string
		change  func(*actiontest.Database)
		want    []uint64
		refused action.Code
	}{
		"the app's":        {want: []uint64{3, 1}},
		"and nobody's":     {clients: config.ClientsUser, want: []uint64{4, 3, 1}},
		"none of its own":  {change: func(f *actiontest.Database) { f.List = f.List[3:4]; f.WhyIncomplete = "no right" }, refused: action.CodeUnheld},
		"only another's":   {change: func(f *actiontest.Database) { f.List = f.List[1:2] }}, // cleared
		"another's and me": {clients: config.ClientsApp, change: func(f *actiontest.Database) { f.List = f.List[:2] }, want: []uint64{1}},
	} {
		f := sharedDB()
		if c.change != nil {
			c.change(f)
		}
		settings := leakCaps()
		settings.Clients = c.clients
		p, err := killLeaked(f, settings).Plan(t.Context(), action.PlanRequest{})
		if err != nil || !slices.Equal(actiontest.IDs(p), c.want) || p.Refused.Code != c.refused {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if p.Cleared != (len(c.want) == 0 && c.refused == "") {
			t.Errorf("%s: cleared is %t", name, p.Cleared)
		}
	}
}

// A connection whose port has another holder right before the kill is not ended.
func TestKillLeakedRechecksHolders(t *testing.T) {
	t.Parallel()
	f := sharedDB()
	k := killLeaked(f, leakCaps())
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	f.Holders["127.0.0.1:40003"] = dbconn.Holder{App: "blog"}
	if done, err := k.Apply(t.Context(), p); done != 1 || err != nil || !slices.Equal(f.Ended, []uint64{1}) {
		t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
	}
}

// With clients: user, the pools of two apps must not share a user on one server.
func TestKillLeakedSharedUser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pool    config.Pool
		refused action.Code
	}{
		"one name":        {config.Pool{Name: "p", MySQL: "main", User: "shop"}, action.CodeSharedUser},
		"two names":       {config.Pool{Name: "p", MySQL: "again", User: "shop"}, action.CodeSharedUser},
		"any user":        {config.Pool{Name: "p", MySQL: "again"}, action.CodeSharedUser},
		"another user":    {config.Pool{Name: "p", MySQL: "main", User: "blog"}, ""},
		"another server":  {config.Pool{Name: "p", MySQL: "other", User: "shop"}, ""},
		"one that is not": {config.Pool{Name: "p", MySQL: "gone", User: "shop"}, action.CodeShareUnknown},
	} {
		f, again, other := sharedDB(), sharedDB(), sharedDB()
		other.ServerID = "t"
		servers := map[string]dbconn.Database{"main": f, "again": again, "other": other}
		settings := leakCaps()
		settings.Clients = config.ClientsUser
		k := killleakedconnections.New(killleakedconnections.Deps{
			Apps: func() []config.App {
				apps := actiontest.Apps()
				apps[1].Pools = []config.Pool{c.pool}
				return apps
			},
			Database: func(name string) dbconn.Database {
				if s, ok := servers[name]; ok {
					return s
				}
				return nil
			}, Holders: f.HoldersOf,
		}, settings)
		p, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.refused {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if f.Open+again.Open+other.Open != 0 {
			t.Errorf("%s: a session is left open", name)
		}
	}
}
