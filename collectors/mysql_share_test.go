package collectors_test

import (
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
