package health_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// waiting returns the fact of a worker that waits.
func waiting(slot, on, peer string) modeltest.Fact {
	return fact("page.worker_wait", 42, "shop", slot, on, peer)
}

// held returns the fact of a worker's connection that waits for another connection.
func held(waiter, slot, blocker string, of ...string) modeltest.Fact {
	app := ""
	if slot != "" {
		app = "shop"
	}
	labels := append([]string{"main", waiter, app, slot, blocker}, of...)
	return fact("page.lock_wait", 40, labels...)
}

func statement(id string, seconds float64, of ...string) modeltest.Fact {
	return fact("page.mysql_query", seconds, append([]string{"main", id}, of...)...)
}

// The advice begins with the root, has one line for each cause, and never says to end a
// victim.
func TestAdviceBeginsAtTheRoot(t *testing.T) {
	stuck := appOf("shop", 9, "stuck", "stuck", "stuck")
	up := []modeltest.Fact{fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 41, "main")}
	foreign := []string{"", "", "", "sleeping", "ann", "10.0.0.7"}
	for name, c := range map[string]struct {
		rs      []modeltest.Fact
		want    []string // what the lines begin with; there are no more
		not     []string // in no line
		contain string   // in the first line
	}{
		"a lock of a foreign shell": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "1", "91", foreign...), held("13", "2", "91", foreign...)}),
			[]string{"Connection 91 of user ann from 10.0.0.7 on MySQL main, sleeping, holds a lock that 3 other connections wait for"}, []string{"kill -"},
			"let it finish, or end it with KILL 91. Do not end workers 0, 1 and 2 of shop: they wait for it.",
		},
		"a chain of locks": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "upstream", "10.0.0.9:443"),
				held("11", "0", "12", "shop", "1", "4711", "running"), held("12", "1", "13", "shop", "2", "4712", "sleeping")}),
			[]string{"Connection 13 of worker 2 (pid 4712) of shop on MySQL main, sleeping, holds a lock that 2 other connections wait for", "Worker 2 (pid 4712) of shop waits for 10.0.0.9:443 for 40 s"},
			nil, "its worker waits for 10.0.0.9:443: let it finish, or end it with KILL 13. Do not end workers 0 and 1 of shop: they wait for it.",
		},
		"a lock, and one that hangs by itself": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "cpu", ""), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "2", "91", foreign...), fact("page.worker_cpu_ratio", 0.99, "shop", "1")}),
			[]string{"Connection 91 ", "Worker 1 (pid 4711) of shop computes for 41 s with 99 % of a core"}, []string{"kill -QUIT 4710", "kill -QUIT 4712"}, "workers 0 and 2 of shop",
		},
		"a slow statement": {
			slices.Concat(stuck[:0:0], appOf("shop", 0, "stuck", "idle"), up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"),
				statement("812", 41, "shop", "10.0.0.7", "shop", "0", "4710", "SELECT")}),
			[]string{"Connection 812 of worker 0 (pid 4710) of shop has run a SELECT on MySQL main for 41 s: end it with KILL QUERY 812"}, []string{"kill -QUIT"}, "",
		},
		"a statement of somebody": {
			slices.Concat(appOf("shop", 0, "idle"), up, []modeltest.Fact{statement("7", 5, "x", "y", "", "", "", "SELECT"), statement("812", 41, "ann", "10.0.0.7", "", "", "", "ALTER")}),
			[]string{"Connection 812 of user ann from 10.0.0.7 has run an ALTER on MySQL main for 41 s: end it with KILL QUERY 812"}, nil, "",
		},
		"slow statements": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				statement("812", 41, "shop", "h", "shop", "0", "4710", "SELECT"), statement("813", 40, "shop", "h", "shop", "1", "4711", "UPDATE"), statement("814", 39, "shop", "h", "shop", "2", "4712", "SELECT")}),
			[]string{"Connections 812 of worker 0 (pid 4710) of shop, 813 of worker 1 (pid 4711) of shop and 814 of worker 2 (pid 4712) of shop each run a statement on MySQL main, the longest, a SELECT, for 41 s: KILL QUERY 812, KILL QUERY 813 and KILL QUERY 814 end them"},
			[]string{"kill -"}, "",
		},
		"a table lock of a shell": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", ""), held("12", "1", ""), held("13", "2", ""), fact("page.lock_suspect", 44, "main", "30", "ann", "localhost", "", "", "", "slept"),
				statement("99", 3, "x", "y", "", "", "", "SELECT")}),
			[]string{"3 connections wait for a lock of a table on MySQL main, the longest for 40 s; the server does not say who holds it. It is probably connection 30 of user ann from localhost: it has slept for 44 s. Let it finish, or end it with KILL 30"},
			[]string{"KILL QUERY", "kill -"}, "Do not end workers 0, 1 and 2 of shop: they wait for it.",
		},
		"a table lock of nobody known": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"), held("11", "0", ""), held("12", "1", ""), held("13", "2", "")}),
			[]string{"3 connections wait for a lock of a table on MySQL main, the longest for 40 s; the server does not say who holds it: look for a sleeping connection in SHOW PROCESSLIST"},
			[]string{"KILL", "kill -"}, "Do not end workers 0, 1 and 2 of shop: they wait for it.",
		},
		"waiters that wait for each other too": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "1", "91", foreign...), held("12", "1", "11", "shop", "0", "4710", "running"), held("13", "2", "91", foreign...), held("13", "2", "12", "shop", "1", "4711", "running")}),
			[]string{"Connection 91 of user ann from 10.0.0.7 on MySQL main, sleeping, holds a lock that 3 other connections wait for"}, nil, "",
		},
		"Redis, a blocking command": {
			slices.Concat(stuck, []modeltest.Fact{fact("resp_redis_blocked_clients", 3, "cache"), waiting("0", "redis", "redis:cache"), waiting("1", "redis", "redis:cache"), waiting("2", "redis", "redis:cache")}),
			[]string{"Workers 0 (pid 4710), 1 (pid 4711) and 2 (pid 4712) of shop wait for Redis cache, the longest for 42 s: 3 clients wait in a blocking command: CLIENT LIST marks them with flags=b"}, nil,
			"kill -QUIT 4710 4711 4712 aborts the requests of workers 0, 1 and 2.",
		},
		"spins": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "cpu", ""), waiting("1", "cpu", ""), waiting("2", "cpu", ""), fact("page.worker_cpu_ratio", 0.03, "shop", "0")}),
			[]string{"Workers 0 (pid 4710), 1 (pid 4711) and 2 (pid 4712) of shop compute, the longest for 42 s, in one request: kill -QUIT 4710 4711 4712 aborts the requests of workers 0, 1 and 2."}, []string{"of a core"}, "",
		},
		"an upstream": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "upstream", "10.0.0.9:443"), waiting("1", "upstream", "10.0.0.9:443"), waiting("2", "upstream", "10.0.0.9:443")}),
			[]string{"Workers 0 (pid 4710), 1 (pid 4711) and 2 (pid 4712) of shop wait for 10.0.0.9:443, the longest for 42 s: find out why it is slow"}, nil, "",
		},
		"another app": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "upstream", "app:blog"), waiting("1", "upstream", "app:blog"), waiting("2", "upstream", "app:blog"), fact("resp_up", 0, "app:blog")}),
			[]string{"No process of blog", "Workers 0 (pid 4710), 1 (pid 4711) and 2 (pid 4712) of shop wait for the app blog"}, []string{"kill -"}, "",
		},
		"a store that hangs": {
			slices.Concat(stuck, unavailable("mysql", "timeout", "mysql main: it does not answer"), []modeltest.Fact{fact("resp_up", 0, "mysql:main"), waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main")}),
			[]string{"MySQL main did not answer at the last check (it does not answer): if it accepts connections but does not answer"}, []string{"kill -"}, "",
		},
		"a store that is down": {
			slices.Concat(stuck, []modeltest.Fact{fact("resp_up", 0, "mysql:main"), waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main")}),
			[]string{"MySQL main did not answer at the last check"}, []string{"kill -"}, "",
		},
		"a spin": {
			slices.Concat(appOf("shop", 0, "stuck", "idle"), []modeltest.Fact{waiting("0", "cpu", "")}),
			[]string{"Worker 0 (pid 4710) of shop computes for 42 s, in one request: kill -QUIT 4710 aborts the request of worker 0."}, nil, "",
		},
		"a deadlock": {
			slices.Concat(appOf("shop", 0, "stuck"), []modeltest.Fact{waiting("0", "lock", "")}),
			[]string{"Worker 0 (pid 4710) of shop waits for a lock of its process for 42 s: all its threads are blocked. kill -KILL 4710"}, nil, "",
		},
		"all busy with short requests": {
			slices.Concat(appOf("shop", 9, "busy"), []modeltest.Fact{fact("page.worker_wait", 0.2, "other", "0", "cpu", "")}),
			[]string{"All 1 worker of shop are busy or stuck"}, []string{"kill"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			x.in.MySQL = []string{"main"}
			got := x.look(0, c.rs...).Recommendations()
			for i, want := range c.want {
				if i >= len(got) || !strings.HasPrefix(got[i], want) {
					t.Fatalf("line %d is not %q:\n%s", i, want, strings.Join(got, "\n"))
				}
			}
			all := strings.Join(got, "\n")
			if len(got) != len(c.want) || !strings.Contains(got[0], c.contain) {
				t.Errorf("want %d lines and %q:\n%s", len(c.want), c.contain, all)
			}
			for _, not := range c.not {
				if strings.Contains(all, not) {
					t.Errorf("%q is advised:\n%s", not, all)
				}
			}
		})
	}
}

// For any lock waits, also in circles, the evaluation ends and reports a connection that
// blocks.
func TestAdviceOfCircles(t *testing.T) {
	x := newTrial()
	x.in.MySQL = []string{"main"}
	rs := append(appOf("shop", 0, "stuck"), fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 41, "main"),
		held("1", "0", "2"), held("2", "1", "3"), held("3", "2", "1"), held("9", "3", ""))
	done := make(chan health.Evaluation, 1)
	go func() { done <- x.look(0, rs...) }()
	select {
	case j := <-done:
		if a := j.Recommendations(); len(a) == 0 || !strings.HasPrefix(a[0], "Connection ") {
			t.Errorf("%q", a)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes round for ever")
	}
}

func BenchmarkEvaluateWaits(b *testing.B) {
	states := make([]string, 512)
	rs := []modeltest.Fact{fact("resp_up", 1, "mysql:main")}
	for i := range states {
		states[i] = "stuck"
	}
	rs = append(rs, appOf("shop", 3, states...)...)
	for i := range states {
		rs = append(rs, waiting(strconv.Itoa(i), "mysql", "mysql:main"))
	}
	for i := range 20 {
		rs = append(rs, held(strconv.Itoa(100+i), strconv.Itoa(i), "91"))
	}
	x := newTrial()
	x.in.MySQL = []string{"main"}
	x.in.State = modeltest.State(rs)
	b.ReportAllocs()
	for b.Loop() {
		_, x.state = health.Evaluate(x.in, x.state)
	}
}
