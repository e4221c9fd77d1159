package actions_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/actions"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// fakeDB is a server, and a session on it, in memory. before is called ahead of
// each look at one connection, as the world goes on.
type fakeDB struct {
	server, user string
	mariadb      bool
	list         []mysql.Connection
	texts        map[uint64]string
	later        *[]mysql.Connection // the list from the second time on
	before       func(id uint64)
	refuse       error // of each end
	disagree     bool  // the procedure does
	ended        []uint64
	calls        []string
	open, opened int

	holders map[string]actions.Holder // by host; of others it is a process of shop
	unseen  string
	looks   int
}

func (f *fakeDB) holdersOf(_ context.Context, server string, _ ...string) (actions.Holders, error) {
	if f.looks++; server != "main" {
		return nil, errors.New("another server")
	}
	return f, nil
}

func (f *fakeDB) Of(host string) actions.Holder {
	if h, ok := f.holders[host]; ok {
		return h
	}
	if host == "127.0.0.1:40001" {
		return actions.Holder{App: "shop", Worker: "3"}
	}
	return actions.Holder{App: "shop"}
}

func (f *fakeDB) Unseen(string) string { return f.unseen }

func (f *fakeDB) Session(context.Context) (actions.Session, error) {
	f.open++
	f.opened++
	return f, nil
}

func (f *fakeDB) Close()         { f.open-- }
func (f *fakeDB) Server() string { return f.server }
func (f *fakeDB) User() string   { return f.user }
func (f *fakeDB) Version() mysql.Version {
	return mysql.Version{MariaDB: f.mariadb, Major: 10, Minor: 11}
}

func (f *fakeDB) Connections(context.Context) ([]mysql.Connection, error) {
	list := slices.Clone(f.list)
	if f.later != nil {
		f.list = *f.later
	}
	return list, nil
}

func (f *fakeDB) at(id uint64) int {
	return slices.IndexFunc(f.list, func(c mysql.Connection) bool { return c.ID == id })
}

func (f *fakeDB) Connection(_ context.Context, id uint64) (mysql.Connection, bool, error) {
	if f.before != nil {
		f.before(id)
	}
	if i := f.at(id); i >= 0 {
		return f.list[i], true, nil
	}
	return mysql.Connection{}, false, nil
}

func (f *fakeDB) Statement(_ context.Context, c mysql.Connection) (string, bool, error) {
	s, ok := f.texts[c.ID]
	return s, ok, nil
}

func (f *fakeDB) end(how string, id uint64) (bool, error) {
	f.calls = append(f.calls, how)
	if f.refuse != nil {
		return false, f.refuse
	}
	if i := f.at(id); i >= 0 && !f.disagree {
		f.list = slices.Delete(f.list, i, i+1)
		f.ended = append(f.ended, id)
		return true, nil
	}
	return false, nil
}

func (f *fakeDB) Kill(_ context.Context, c mysql.Connection) (bool, error) {
	return f.end("KILL", c.ID)
}

func (f *fakeDB) KillQuery(_ context.Context, c mysql.Connection) (bool, error) {
	return f.end("KILL QUERY", c.ID)
}

func (f *fakeDB) CallKillIdle(_ context.Context, procedure string, c mysql.Connection, _ time.Duration, _ int) (bool, error) {
	return f.end("CALL "+procedure, c.ID)
}

func (f *fakeDB) CallKillQuery(_ context.Context, procedure string, c mysql.Connection, _ time.Duration) (bool, error) {
	return f.end("CALL "+procedure, c.ID)
}

// shopApps is a configuration with one app and one pool.
func shopApps() []config.App {
	return []config.App{
		{
			Name:     "shop",
			Pools:    []config.Pool{{Name: "main", MySQL: "main", User: "shop", LeakAfter: time.Minute}},
			Sessions: []config.Sessions{{Redis: "cache", Prefix: "session:", Lifetime: 2 * time.Hour}},
		},
		{Name: "blog"},
	}
}

// databases gives f as the server main, and no other.
func databases(f *fakeDB) func(string) actions.Database {
	return func(name string) actions.Database {
		if name == "main" {
			return f
		}
		return nil
	}
}

// labels is an alert with these labels, name and value in turn.
func labels(kv ...string) action.Alert {
	a := action.Alert{Labels: map[string]string{}}
	for i := 0; i < len(kv); i += 2 {
		a.Labels[kv[i]] = kv[i+1]
	}
	return a
}
