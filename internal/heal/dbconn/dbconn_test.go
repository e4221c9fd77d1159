package dbconn_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// held is the holders by host, and why those of an app are incomplete.
type held struct {
	by         map[string]dbconn.Holder
	incomplete map[string]string
}

// Of implements [dbconn.Holders].
func (h held) Of(host string) dbconn.Holder { return h.by[host] }

// Incomplete implements [dbconn.Holders].
func (h held) Incomplete(app string) string { return h.incomplete[app] }

// at returns a connection from a host.
func at(host string) mysql.Connection { return mysql.Connection{Host: host} }

// find returns a [dbconn.FindHolders] of h that records the apps of its calls.
func find(h held, calls *[][]string) dbconn.FindHolders {
	return func(_ context.Context, server string, apps ...string) (dbconn.Holders, error) {
		if server != "main" {
			return nil, errors.New("another server")
		}
		*calls = append(*calls, apps)
		return h, nil
	}
}

func TestSelector(t *testing.T) {
	h := held{map[string]dbconn.Holder{"a:1": {App: "shop", Worker: "0"}, "b:2": {App: "blog"}}, map[string]string{"shop": "no right"}}
	var calls [][]string
	for name, c := range map[string]struct {
		of   dbconn.Selector
		want [3]bool // of shop, of blog, without a holder
		apps []string
	}{
		"any":             {dbconn.Selector{}, [3]bool{true, true, true}, nil},
		"shop":            {dbconn.Selector{App: "shop"}, [3]bool{true, false, false}, []string{"shop"}},
		"shop and unheld": {dbconn.Selector{App: "shop", IncludeUnheld: true}, [3]bool{true, false, true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if why := c.of.WhyIncomplete(); why == "" || c.of.Holder(at("a:1")) != (dbconn.Holder{}) || !c.of.Unheld(at("a:1")) {
				t.Errorf("before the holders are read: %q", why)
			}
			calls = nil
			s, err := c.of.Refresh(t.Context(), find(h, &calls), "main")
			if err != nil || len(calls) != 1 || !slices.Equal(calls[0], c.apps) {
				t.Errorf("read for %v, %v", calls, err)
			}
			for i, host := range []string{"a:1", "b:2", "c:3"} {
				if got := s.Selects(at(host)); got != c.want[i] {
					t.Errorf("%s: %t", host, got)
				}
				if got := s.Unheld(at(host)); got != (i == 2) {
					t.Errorf("%s without a holder: %t", host, got)
				}
			}
			if got := s.HoldingApps([]mysql.Connection{at("a:1"), at("c:3"), at("b:2"), at("a:1")}); !slices.Equal(got, []string{"blog", "shop"}) {
				t.Errorf("apps %v", got)
			}
			if want := h.incomplete[c.of.App]; s.WhyIncomplete() != want || want != "" && !strings.Contains(s.RefuseUnheld(3).Reason, want) {
				t.Errorf("incomplete: %q, %q", s.WhyIncomplete(), s.RefuseUnheld(3))
			}
			calls = nil
			if _, err := c.of.WithHolders(t.Context(), find(h, &calls), "main", nil); err != nil || len(calls) != 1 || len(calls[0]) != 0 {
				t.Errorf("all: read for %v, %v", calls, err)
			}
			if _, err := c.of.WithHolders(t.Context(), find(h, &calls), "other", nil); err == nil {
				t.Error("the error is lost")
			}
		})
	}
	if s, err := (dbconn.Selector{}).WithHolders(t.Context(), nil, "main", nil); err != nil || !s.Unheld(at("a:1")) {
		t.Errorf("without a reader of holders: %v", err)
	}
}

// session is a session on a server with an id.
type session struct {
	dbconn.Session

	id     string
	closed int
}

// Server implements [dbconn.Session].
func (s *session) Server() string { return s.id }

// Close implements [dbconn.Session].
func (s *session) Close() { s.closed++ }

// database returns a session; without an id it is down.
type database struct{ s *session }

// Session implements [dbconn.Database].
func (d database) Session(context.Context) (dbconn.Session, error) {
	if d.s.id == "" {
		return nil, errors.New("down")
	}
	return d.s, nil
}

func TestSameDatabase(t *testing.T) {
	servers := map[string]*session{"same": {id: "1"}, "other": {id: "2"}, "down": {}}
	db := func(name string) dbconn.Database {
		if s := servers[name]; s != nil {
			return database{s}
		}
		return nil
	}
	for name, c := range map[string]struct{ same, fails bool }{"main": {true, false}, "same": {true, false}, "other": {false, false}, "down": {false, true}, "none": {false, true}} {
		same, err := dbconn.SameDatabase(t.Context(), "main", name, db, &session{id: "1"})
		if same != c.same || (err != nil) != c.fails {
			t.Errorf("%s: %t, %v", name, same, err)
		}
	}
	if servers["same"].closed != 1 || servers["other"].closed != 1 {
		t.Errorf("sessions are open: %+v", servers)
	}
}

func TestCheckUsers(t *testing.T) {
	for _, users := range [][]string{nil, {}, {"shop", ""}, {"System User"}, {" event_scheduler "}, {"unauthenticated user"}, {"shop%"}, {"*"}, {"shop", "resp"}} {
		if dbconn.CheckUsers(users, "resp").IsZero() {
			t.Errorf("%q may be ended", users)
		}
	}
	for own, users := range map[string][]string{"resp": {"shop", "resp2"}, "": {"shop", "resp"}} {
		if why := dbconn.CheckUsers(users, own); !why.IsZero() {
			t.Errorf("%q beside %q: %s", users, own, why)
		}
	}
}

func TestShareOf(t *testing.T) {
	for _, c := range []struct {
		fraction float64
		n, want  int
	}{{0.5, 10, 5}, {0.5, 9, 4}, {0.1, 9, 0}, {0.29, 100, 29}, {1, 7, 7}, {2, 7, 7}, {0, 7, 0}, {-1, 7, 0}, {math.NaN(), 7, 0}, {0.5, 0, 0}, {0.5, -2, 0}, {1, 1, 1}} {
		if got := dbconn.ShareOf(c.fraction, c.n); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.fraction, c.n, got, c.want)
		}
	}
}

func TestConnections(t *testing.T) {
	list := []mysql.Connection{{ID: 3, Time: time.Second}, {ID: 2, Time: time.Minute}, {ID: 1, Time: time.Second}}
	dbconn.SortOldestFirst(list)
	if list[0].ID != 2 || list[1].ID != 1 || list[2].ID != 3 {
		t.Errorf("%+v", list)
	}
	for want, all := range map[bool][]mysql.Connection{
		true:  {{Command: "Killed"}, {TrxState: "ROLLING BACK"}, {State: "Rollback"}, {State: "Rollback of transaction"}},
		false: {{}, {Command: "Query", State: "query end", TrxState: "RUNNING"}},
	} {
		for _, c := range all {
			if dbconn.IsRollingBack(c) != want {
				t.Errorf("%+v: %t", c, !want)
			}
		}
	}
	before := mysql.Connection{ID: 7, User: "shop", Host: "a:1", Query: 5, Time: time.Second}
	for name, change := range map[string]func(*mysql.Connection){
		"id": func(c *mysql.Connection) { c.ID = 8 }, "user": func(c *mysql.Connection) { c.User = "x" }, "host": func(c *mysql.Connection) { c.Host = "a:2" },
		"statement": func(c *mysql.Connection) { c.Query = 6 }, "time": func(c *mysql.Connection) { c.Time = time.Second - 1 },
	} {
		now := before
		if !dbconn.SameStatement(before, now) {
			t.Fatal("the same")
		}
		change(&now)
		if dbconn.SameStatement(before, now) {
			t.Errorf("another %s", name)
		}
	}
	later := before
	later.Time++
	if !dbconn.SameStatement(before, later) {
		t.Error("the same for longer")
	}
}

func TestPlannedIDs(t *testing.T) {
	info := map[string]string{"server": "s1"}
	got := dbconn.PlannedIDs([]action.Victim{{ID: "7", Info: info}, {ID: "8", Info: map[string]string{"server": "s2"}}, {ID: "x", Info: info}, {ID: "9"}}, "s1")
	if !maps.Equal(got, map[uint64]bool{7: true}) {
		t.Errorf("%v", got)
	}
}

// What the server calls two clients has no holder, also when the holders are read anew.
func TestTwoClientsOfOneName(t *testing.T) {
	t.Parallel()
	var calls [][]string
	read := find(held{by: map[string]dbconn.Holder{"a:1": {App: "shop"}, "b:2": {App: "shop"}}}, &calls)
	s, err := dbconn.Selector{App: "shop"}.WithHolders(t.Context(), read, "main", []mysql.Connection{at("a:1"), at("b:2"), at("a:1")})
	if err != nil || s.Selects(at("a:1")) || !s.Selects(at("b:2")) {
		t.Errorf("%v, %v", s, err)
	}
	if s, err = s.Refresh(t.Context(), read, "main"); err != nil || s.Selects(at("a:1")) || !s.Selects(at("b:2")) {
		t.Errorf("later: %v, %v", s, err)
	}
}
