package collectors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
)

// The longest statements are reported with their senders, without idle connections,
// replication, events and the exporter's own.
func TestPoolQueries(t *testing.T) {
	run := func(id uint64, user, host, command, text string, seconds int) mysql.Thread {
		return mysql.Thread{ID: id, User: user, Host: host, Command: command, Time: time.Duration(seconds) * time.Second, Statement: statement.KeywordOf([]byte(text))}
	}
	f := busyMySQL()
	f.transactions, f.waits = nil, nil
	f.threads = []mysql.Thread{
		run(1, "event_scheduler", "localhost", "Daemon", "", 9000), run(2, "system user", "", "Query", "INSERT", 9000),
		run(3, "repl", "10.0.0.3:40000", "Binlog Dump", "", 9000), run(4, "shop", "10.0.0.1:4004", "Sleep", "", 9000),
		{ID: 5, User: "resp", Host: "10.0.0.1:4005", Command: "Query", Time: time.Hour, Own: true, Statement: statement.KeywordOf([]byte("SELECT"))},
		run(10, "shop", "10.0.0.1:4010", "Query", "SELECT", 3), run(11, "shop", "10.0.0.1:4011", "Execute", "UPDATE", 42),
		run(12, "backup", "localhost", "Query", "", 600), run(13, "shop", "10.0.0.1:4013", "Query", "SELECT", 0),
		run(14, "a\x1b[2J", "web-1\u202e:4014", "Query", "", 2), run(15, strings.Repeat("u", 300), strings.Repeat("h", 255)+":1", "Query", "CALL", 4),
	}
	r := newPoolFixture(map[string]*fakeMySQL{"main": f})
	r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 4010), connect("shop", 102, "mysql:main", 4011)}
	got := r.readings(t, "page.mysql_query")
	compareReadings(t, "queries", got, map[string]float64{
		"main 12 backup localhost    statement": 600, "main 11 shop 10.0.0.1 shop 1 102 UPDATE": 42, "main 10 shop 10.0.0.1 shop 0 101 SELECT": 3,
		"main 14 a_[2J~f836c206 web-1_~780507f1    statement":                                               2,
		"main 15 " + strings.Repeat("u", 55) + "~817a89f9 " + strings.Repeat("h", 55) + "~ef6f962f    CALL": 4,
	})
	for i := range 30 {
		f.threads = append(f.threads, run(uint64(100+i), "shop", "10.0.0.1:1", "Query", "SELECT", 1000+i))
	}
	if got := r.readings(t, "page.mysql_query"); len(got) != 5 || got["main 129 shop 10.0.0.1    SELECT"] != 1029 {
		t.Errorf("%d are named: %v", len(got), got)
	}
}
