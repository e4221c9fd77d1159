package dbconn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// unreadable is a session that cannot read a connection.
type unreadable struct {
	*actiontest.Database

	err error
}

// Connection implements [dbconn.Session].
func (u unreadable) Connection(context.Context, uint64) (mysql.Connection, bool, error) {
	return mysql.Connection{}, false, u.err
}

// A connection is ended only if it is read again, is the planned one, has slept since,
// and still belongs to the app.
func TestSleepersEnd(t *testing.T) {
	t.Parallel()
	cut := errors.New("connection lost")
	fails := func(context.Context, string, ...string) (dbconn.Holders, error) { return nil, cut }
	for name, c := range map[string]struct {
		change  func(s *dbconn.Sleepers, f *actiontest.Database)
		lost    bool // the connection cannot be read
		holders dbconn.FindHolders
		ended   bool
		fails   bool
		call    string // to the server; "": none
	}{
		"by KILL":          {ended: true, call: "KILL"},
		"by the procedure": {change: func(s *dbconn.Sleepers, _ *actiontest.Database) { s.Procedure = "resp_heal.kill_idle" }, ended: true, call: "CALL resp_heal.kill_idle"},
		"it has gone":      {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List = nil }},
		"it works":         {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List[0].Command = "Query" }},
		"slept anew":       {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List[0].Time -= time.Second }},
		"next transaction": {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List[0].Transaction = "9" }},
		"as many rows":     {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List[0].Rows = 5 }, ended: true, call: "KILL"},
		"too many rows":    {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.List[0].Rows = 6 }},
		"another app's now": {change: func(_ *dbconn.Sleepers, f *actiontest.Database) {
			f.Holders = map[string]dbconn.Holder{"127.0.0.1:40007": {App: "blog"}}
		}},
		"not readable":    {lost: true, fails: true},
		"no holders":      {holders: fails, fails: true},
		"KILL is refused": {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.Refuse = cut }, fails: true, call: "KILL"},
		"CALL is refused": {change: func(s *dbconn.Sleepers, f *actiontest.Database) { s.Procedure, f.Refuse = "p.q", cut }, fails: true, call: "CALL p.q"},
		"it disagrees":    {change: func(_ *dbconn.Sleepers, f *actiontest.Database) { f.Disagree = true }, call: "KILL"},
	} {
		planned := actiontest.Asleep(7, 90)
		f := &actiontest.Database{ServerID: "s", List: []mysql.Connection{planned}}
		s := dbconn.Sleepers{App: "shop", Pool: "main", Server: "main", Users: []string{"shop"}, MinIdle: time.Minute, MaxRows: 5, Owner: dbconn.Selector{App: "shop"}}
		if c.change != nil {
			c.change(&s, f)
		}
		var db dbconn.Session = f
		if c.lost {
			db = unreadable{f, cut}
		}
		holders := c.holders
		if holders == nil {
			holders = f.HoldersOf
		}
		ended, err := s.End(t.Context(), db, holders, planned)
		if ended != c.ended || errors.Is(err, cut) != c.fails || (err != nil) != c.fails {
			t.Errorf("%s: ended %t, %v", name, ended, err)
		}
		var call string
		if len(f.Calls) > 0 {
			call = f.Calls[0]
		}
		if call != c.call || len(f.Calls) > 1 || (len(f.Ended) == 1) != c.ended {
			t.Errorf("%s: called %q, want %q; ended %v", name, f.Calls, c.call, f.Ended)
		}
	}
}
