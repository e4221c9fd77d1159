package actiontest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Database is a server, and a session on it, in memory. Before is called ahead of
// each reading of one connection, to change the state meanwhile.
type Database struct {
	ServerID, Login string
	MariaDB         bool
	List            []mysql.Connection
	Texts           map[uint64]string
	Waiting         []mysql.ConnectionWait
	Looked          func()              // ahead of each reading of the waits
	Later           *[]mysql.Connection // the list from the second time on
	Before          func(id uint64)
	Refuse          error // of each end
	Disagree        bool  // the procedure does
	Ended           []uint64
	Calls           []string
	Open, opened    int

	Holders       map[string]dbconn.Holder // by host; of others it is a process of shop
	WhyIncomplete string
	looks         int
}

// HoldersOf returns the database itself as holders of the server "main", as a
// [dbconn.FindHolders] does, and an error for other servers.
func (f *Database) HoldersOf(_ context.Context, server string, _ ...string) (dbconn.Holders, error) {
	if f.looks++; server != "main" {
		return nil, errors.New("another server")
	}
	return f, nil
}

// Of implements [dbconn.Holders]: the entry of f.Holders, else worker 3 of shop for
// 127.0.0.1:40001, and shop without a worker for any other.
func (f *Database) Of(host string) dbconn.Holder {
	if h, ok := f.Holders[host]; ok {
		return h
	}
	if host == "127.0.0.1:40001" {
		return dbconn.Holder{App: "shop", Worker: "3"}
	}
	return dbconn.Holder{App: "shop"}
}

// Incomplete implements [dbconn.Holders].
func (f *Database) Incomplete(string) string { return f.WhyIncomplete }

// Session implements [dbconn.Database]: it returns the database itself.
func (f *Database) Session(context.Context) (dbconn.Session, error) {
	f.Open++
	f.opened++
	return f, nil
}

// Close implements [dbconn.Session].
func (f *Database) Close() { f.Open-- }

// Server implements [dbconn.Session].
func (f *Database) Server() string { return f.ServerID }

// User implements [dbconn.Session].
func (f *Database) User() string { return f.Login }

// Version implements [dbconn.Session]: 10.11.
func (f *Database) Version() mysql.Version {
	return mysql.Version{MariaDB: f.MariaDB, Major: 10, Minor: 11}
}

// Connections implements [dbconn.Session]: a copy of f.List, and from the second time on
// f.Later, if that is set.
func (f *Database) Connections(context.Context) ([]mysql.Connection, error) {
	list := slices.Clone(f.List)
	if f.Later != nil {
		f.List = *f.Later
	}
	return list, nil
}

// At returns the index of a connection in the list; -1: it is not there.
func (f *Database) At(id uint64) int {
	return slices.IndexFunc(f.List, func(c mysql.Connection) bool { return c.ID == id })
}

// Connection implements [dbconn.Session]: the entry of f.List; false if there is none.
func (f *Database) Connection(_ context.Context, id uint64) (mysql.Connection, bool, error) {
	if f.Before != nil {
		f.Before(id)
	}
	if i := f.At(id); i >= 0 {
		return f.List[i], true, nil
	}
	return mysql.Connection{}, false, nil
}

// Statement implements [dbconn.Session]: the entry of f.Texts; false if there is none.
func (f *Database) Statement(_ context.Context, c mysql.Connection) (string, bool, error) {
	s, ok := f.Texts[c.ID]
	return s, ok, nil
}

// Waits implements [dbconn.Session]. A connection that was ended blocks no other.
func (f *Database) Waits(context.Context) ([]mysql.ConnectionWait, error) {
	if f.Looked != nil {
		f.Looked()
	}
	return slices.DeleteFunc(slices.Clone(f.Waiting), func(w mysql.ConnectionWait) bool { return slices.Contains(f.Ended, w.Blocker) }), nil
}

// end records the call and removes a connection from the list; false if it is not there, or
// with Disagree. With Refuse it returns that error.
func (f *Database) end(how string, id uint64) (bool, error) {
	f.Calls = append(f.Calls, how)
	if f.Refuse != nil {
		return false, f.Refuse
	}
	if i := f.At(id); i >= 0 && !f.Disagree {
		f.List = slices.Delete(f.List, i, i+1)
		f.Ended = append(f.Ended, id)
		return true, nil
	}
	return false, nil
}

// Kill implements [dbconn.Session].
func (f *Database) Kill(_ context.Context, c mysql.Connection) (bool, error) {
	return f.end("KILL", c.ID)
}

// KillQuery implements [dbconn.Session].
func (f *Database) KillQuery(_ context.Context, c mysql.Connection) (bool, error) {
	return f.end("KILL QUERY", c.ID)
}

// CallKillIdle implements [dbconn.Session].
func (f *Database) CallKillIdle(_ context.Context, procedure string, c mysql.Connection, _ time.Duration, _ int) (bool, error) {
	return f.end("CALL "+procedure, c.ID)
}

// CallKillQuery implements [dbconn.Session].
func (f *Database) CallKillQuery(_ context.Context, procedure string, c mysql.Connection, _ time.Duration) (bool, error) {
	return f.end("CALL "+procedure, c.ID)
}

// Apps returns a configuration with the app shop, which has one pool and one store of
// sessions, and the app blog, which has neither.
func Apps() []config.App {
	return []config.App{
		{
			Name:     "shop",
			Pools:    []config.Pool{{Name: "main", MySQL: "main", User: "shop", LeakAfter: time.Minute}},
			Sessions: []config.Sessions{{Redis: "cache", Prefix: "session:", Lifetime: 2 * time.Hour}},
		},
		{Name: "blog"},
	}
}

// Databases returns f as the server main, and nil for any other name.
func Databases(f *Database) func(string) dbconn.Database {
	return func(name string) dbconn.Database {
		if name == "main" {
			return f
		}
		return nil
	}
}

// Labels returns an alert with these labels, name and value in turn.
func Labels(kv ...string) action.Alert {
	a := action.Alert{Labels: map[string]string{}}
	for i := 0; i < len(kv); i += 2 {
		a.Labels[kv[i]] = kv[i+1]
	}
	return a
}

// WatchedApps reports whether an app is shop or blog.
func WatchedApps(_ context.Context, app string) bool { return app == "shop" || app == "blog" }
