package collectors_test

import (
	"slices"
	"strings"
	"testing/synctest"

	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

func statementOf(id uint64, user string, seconds int, state string) mysql.Thread {
	return mysql.Thread{ID: id, User: user, Host: fmt.Sprintf("10.0.0.7:%d", 40000+id), Command: "Query", Time: time.Duration(seconds) * time.Second, State: state}
}

// The duration of a slow statement counts for the server only if several statements or
// waits of apps are slow, and for an app only if the statement is the app's own.
func TestMySQLQueryTime(t *testing.T) {
	apps := map[string]string{"shop": "shop"}
	for name, c := range map[string]struct {
		users       map[string]string
		threads     []mysql.Thread
		shared, own float64
	}{
		"a dump":              {nil, []mysql.Thread{statementOf(1, "backup", 900, "Sending data")}, 0, 0},
		"a dump, apps known":  {apps, []mysql.Thread{statementOf(1, "backup", 900, "Sending data"), statementOf(2, "shop", 1, "")}, 0, 1},
		"a dump in two":       {nil, []mysql.Thread{statementOf(1, "backup", 900, "Writing to net"), statementOf(2, "backup", 900, "Writing to net")}, 0, 0},
		"two dumps":           {apps, []mysql.Thread{statementOf(1, "backup", 900, ""), statementOf(2, "backup", 900, "")}, 0, 0},
		"one of the app":      {apps, []mysql.Thread{statementOf(1, "shop", 40, "User sleep")}, 0, 40},
		"two of the app":      {apps, []mysql.Thread{statementOf(1, "shop", 40, ""), statementOf(2, "shop", 8, "")}, 8, 40},
		"two of many":         {nil, append([]mysql.Thread{statementOf(1, "x", 40, ""), statementOf(2, "y", 30, "")}, shortStatements(10)...), 0, 0},
		"three of many":       {nil, append([]mysql.Thread{statementOf(1, "x", 40, ""), statementOf(2, "y", 30, ""), statementOf(3, "y", 20, "")}, shortStatements(9)...), 20, 20},
		"one that waits":      {apps, []mysql.Thread{statementOf(1, "backup", 900, ""), statementOf(2, "shop", 7, "Waiting for table metadata lock")}, 7, 7},
		"a stranger waits":    {apps, []mysql.Thread{statementOf(2, "batch", 7, "Waiting for table metadata lock")}, 7, 7},
		"replication":         {nil, []mysql.Thread{statementOf(1, "system user", 5000, "Applying batch"), statementOf(2, "event_scheduler", 5000, "")}, 0, 0},
		"a replica that asks": {nil, []mysql.Thread{{ID: 1, User: "replica", Command: "Binlog Dump", Time: time.Hour}, {ID: 2, User: "replica", Command: "Binlog Dump", Time: time.Hour}}, 0, 0},
		"nothing":             {apps, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := busyMySQL()
			f.threads, f.transactions, f.waits = c.threads, nil, nil
			s, err := collectors.NewMySQL(collectors.NewActivity(func() []collectors.MySQLTarget {
				return []collectors.MySQLTarget{{Name: "main", Server: f, Users: c.users}}
			})).Collect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]float64{"page.mysql_shared_query_seconds": c.shared, "resp_mysql_app_query_seconds": c.own} {
				if got, err := reading(s, name, "main"); err != nil || got != want {
					t.Errorf("%s is %v, want %v (%v)", name, got, want, err)
				}
			}
		})
	}
}

// shortStatements returns statements that have just begun.
func shortStatements(n uint64) []mysql.Thread {
	var out []mysql.Thread
	for i := range n {
		out = append(out, statementOf(100+i, "shop", 0, ""))
	}
	return out
}

// The holders of the connections of a full server are in the state, with clean and short
// names; those of other servers are not.
func TestMySQLHolders(t *testing.T) {
	f := busyMySQL()
	f.status["Threads_connected"] = 10
	f.variables["max_connections"] = "10"
	f.threads = append(shortStatements(5), mysql.Thread{ID: 1, User: "a\nb", Host: "localhost", Command: "Sleep"}, mysql.Thread{ID: 2, Own: true, User: "resp"})
	collect := func() collectors.Sample {
		s, err := collectors.NewMySQL(collectors.NewActivity(func() []collectors.MySQLTarget {
			return []collectors.MySQLTarget{{Name: "main", Server: f, Users: map[string]string{"shop": "store"}}}
		})).Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := collect()
	if v, err := reading(s, "page.mysql_holder", "main", "shop", "10.0.0.7", "store"); err != nil || v != 5 {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := reading(s, "page.mysql_holder_asleep", "main", "a?b", "localhost", ""); err != nil || v != 1 {
		t.Errorf("%v, %v", v, err)
	}
	f.status["Threads_connected"] = 5
	for _, r := range facts(collect()) {
		if r.Name == "page.mysql_holder" {
			t.Errorf("%+v", r)
		}
	}
}

// The lists of a server with many connections are used again for as long as their read
// took, 500 times, and at most for 2 s; not while anybody waits for a lock, nor those of a
// server with few connections. A ping is sent each time.
func TestMySQLSharesLists(t *testing.T) {
	t.Parallel()
	many := make([]mysql.Thread, 200)
	for i := range many {
		many[i] = mysql.Thread{ID: uint64(i + 1), Command: "Sleep"}
	}
	waiting := slices.Clone(many)
	waiting[7].State = "Waiting for table metadata lock"
	for name, c := range map[string]struct {
		threads      []mysql.Thread
		transactions []mysql.Transaction
		slow         time.Duration
		over         int
		failover     bool
		after        time.Duration
		reads        int
	}{
		"soon":                  {threads: many, slow: time.Millisecond, after: 400 * time.Millisecond, reads: 1},
		"after 500 times":       {threads: many, slow: time.Millisecond, after: 600 * time.Millisecond, reads: 2},
		"after two seconds":     {threads: many, slow: 10 * time.Millisecond, after: 2100 * time.Millisecond, reads: 2},
		"few":                   {threads: many[:199], slow: 10 * time.Millisecond, after: 100 * time.Millisecond, reads: 2},
		"one waits for a table": {threads: waiting, slow: 10 * time.Millisecond, after: 100 * time.Millisecond, reads: 2},
		"one waits for a row":   {threads: many, transactions: []mysql.Transaction{{ID: "7", Waits: true}}, slow: 10 * time.Millisecond, after: 100 * time.Millisecond, reads: 2},
		"another server":        {threads: many, slow: 10 * time.Millisecond, failover: true, after: 100 * time.Millisecond, reads: 2},
		"some were left out":    {threads: many, over: 1, slow: 10 * time.Millisecond, after: 100 * time.Millisecond, reads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMySQL{threads: c.threads, transactions: c.transactions, over: c.over, slow: c.slow}
				m := collectors.NewMySQL(collectors.NewActivity(func() []collectors.MySQLTarget {
					return []collectors.MySQLTarget{{Name: "main", Server: f}}
				}))
				for range 2 {
					if _, err := m.Collect(t.Context()); err != nil && c.over == 0 && !strings.Contains(err.Error(), "query time") {
						t.Error(err)
					}
					time.Sleep(c.after)
					if c.failover {
						f.failovers++
					}
				}
				if f.asked["ping"] != 2 || f.asked["threads"] != c.reads {
					t.Errorf("%d pings, %d lists", f.asked["ping"], f.asked["threads"])
				}
			})
		})
	}
}

// The age of lists counts from the end of their read, which another collector has begun.
func TestMySQLListsAgeOfJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := busyMySQL()
		targets := []collectors.MySQLTarget{{Name: "main", Server: f}}
		a := collectors.NewActivity(func() []collectors.MySQLTarget { return targets })
		m := collectors.NewMySQL(a)
		for wait, want := range map[time.Duration]float64{0: 0, 300 * time.Millisecond: 0.3} {
			time.Sleep(time.Minute)
			if age, err := a.AgeFor(t.Context(), targets[0], "pool"); age != 0 || err != nil {
				t.Errorf("by its reader: %v, %v", age, err)
			}
			time.Sleep(wait)
			s, err := m.Collect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := reading(s, "resp_mysql_lists_age_seconds", "main"); err != nil || got != want {
				t.Errorf("after %v: %v, want %v (%v)", wait, got, want, err)
			}
		}
		if f.asked["threads"] != 2 {
			t.Errorf("%d lists", f.asked["threads"])
		}
	})
}

// BenchmarkMySQLThousand is a scrape of a server with 1,000 connections, 300 of them in a
// transaction, by lists that are read each time and by lists that are shared.
func BenchmarkMySQLThousand(b *testing.B) {
	for name, slow := range map[string]time.Duration{"read": 0, "shared": 5 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			f := &fakeMySQL{slow: slow}
			for i := range uint64(1000) {
				f.threads = append(f.threads, mysql.Thread{ID: i + 1, Command: "Sleep"})
				if i < 300 {
					f.transactions = append(f.transactions, mysql.Transaction{ID: fmt.Sprint(i), Thread: i + 1})
				}
			}
			m := collectors.NewMySQL(collectors.NewActivity(func() []collectors.MySQLTarget {
				return []collectors.MySQLTarget{{Name: "main", Server: f}}
			}))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Collect(b.Context())
			}
		})
	}
}
