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

// rootCase is a state in which workers wait, and the advice about it.
type rootCase struct {
	rs     []modeltest.Fact
	causes []string // of the advice, in its order
	not    []string // commands in no line
}

func (c rootCase) evaluate() health.Evaluation {
	x := newTrial()
	x.in.MySQL = []string{"main"}
	return x.look(0, c.rs...)
}

// rootCases returns states with locks, statements, stores and peers for which workers wait.
func rootCases() map[string]rootCase {
	stuck := appOf("shop", 9, "stuck", "stuck", "stuck")
	up := []modeltest.Fact{fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 41, "main")}
	foreign := []string{"", "", "", "sleeping", "ann", "10.0.0.7"}
	return map[string]rootCase{
		"a lock of a foreign shell": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "1", "91", foreign...), held("13", "2", "91", foreign...)}),
			[]string{"mysql:main/connection:91"}, []string{"kill -"},
		},
		"a chain of locks": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "upstream", "10.0.0.9:443"),
				held("11", "0", "12", "shop", "1", "4711", "running"), held("12", "1", "13", "shop", "2", "4712", "sleeping")}),
			[]string{"mysql:main/connection:13", "shop/upstream/10.0.0.9:443"}, nil,
		},
		"a lock, and one that hangs by itself": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "cpu", ""), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "2", "91", foreign...), fact("page.worker_cpu_ratio", 0.99, "shop", "1")}),
			[]string{"mysql:main/connection:91", "shop/cpu/"}, []string{"kill -QUIT 4710", "kill -QUIT 4712"},
		},
		"a slow statement": {
			slices.Concat(stuck[:0:0], appOf("shop", 0, "stuck", "idle"), up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"),
				statement("812", 41, "shop", "10.0.0.7", "shop", "0", "4710", "SELECT")}),
			[]string{"mysql:main/connection:812"}, []string{"kill -QUIT"},
		},
		"a statement of somebody": {
			slices.Concat(appOf("shop", 0, "idle"), up, []modeltest.Fact{statement("7", 5, "x", "y", "", "", "", "SELECT"), statement("812", 41, "ann", "10.0.0.7", "", "", "", "ALTER")}),
			[]string{"mysql:main/connection:812"}, nil,
		},
		"slow statements": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				statement("812", 41, "shop", "h", "shop", "0", "4710", "SELECT"), statement("813", 40, "shop", "h", "shop", "1", "4711", "UPDATE"), statement("814", 39, "shop", "h", "shop", "2", "4712", "SELECT")}),
			[]string{"mysql:main/connection:812"}, []string{"kill -"},
		},
		"a table lock of a shell": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", ""), held("12", "1", ""), held("13", "2", ""), fact("page.lock_suspect", 44, "main", "30", "ann", "localhost", "", "", "", "slept"),
				statement("99", 3, "x", "y", "", "", "", "SELECT")}),
			[]string{"mysql:main/table-lock"}, []string{"KILL QUERY", "kill -"},
		},
		"a table lock of nobody known": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"), held("11", "0", ""), held("12", "1", ""), held("13", "2", "")}),
			[]string{"mysql:main/table-lock"}, []string{"KILL", "kill -"},
		},
		"waiters that wait for each other too": {
			slices.Concat(stuck, up, []modeltest.Fact{waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main"),
				held("11", "0", "91", foreign...), held("12", "1", "91", foreign...), held("12", "1", "11", "shop", "0", "4710", "running"), held("13", "2", "91", foreign...), held("13", "2", "12", "shop", "1", "4711", "running")}),
			[]string{"mysql:main/connection:91"}, nil,
		},
		"Redis, a blocking command": {
			slices.Concat(stuck, []modeltest.Fact{fact("resp_redis_blocked_clients", 3, "cache"), waiting("0", "redis", "redis:cache"), waiting("1", "redis", "redis:cache"), waiting("2", "redis", "redis:cache")}),
			[]string{"shop/redis/redis:cache"}, nil,
		},
		"spins": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "cpu", ""), waiting("1", "cpu", ""), waiting("2", "cpu", ""), fact("page.worker_cpu_ratio", 0.03, "shop", "0")}),
			[]string{"shop/cpu/"}, nil,
		},
		"an upstream": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "upstream", "10.0.0.9:443"), waiting("1", "upstream", "10.0.0.9:443"), waiting("2", "upstream", "10.0.0.9:443")}),
			[]string{"shop/upstream/10.0.0.9:443"}, nil,
		},
		"another app": {
			slices.Concat(stuck, []modeltest.Fact{waiting("0", "upstream", "app:blog"), waiting("1", "upstream", "app:blog"), waiting("2", "upstream", "app:blog"), fact("resp_up", 0, "app:blog")}),
			[]string{"app:blog", "shop/upstream/app:blog"}, []string{"kill -"},
		},
		"a store that hangs": {
			slices.Concat(stuck, unavailable("mysql", "timeout", "mysql main: it does not answer"), []modeltest.Fact{fact("resp_up", 0, "mysql:main"), waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main")}),
			[]string{"mysql:main"}, []string{"kill -"},
		},
		"a store that is down": {
			slices.Concat(stuck, []modeltest.Fact{fact("resp_up", 0, "mysql:main"), waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "mysql", "mysql:main")}),
			[]string{"mysql:main"}, []string{"kill -"},
		},
		"a spin": {
			slices.Concat(appOf("shop", 0, "stuck", "idle"), []modeltest.Fact{waiting("0", "cpu", "")}),
			[]string{"shop/cpu/"}, nil,
		},
		"a deadlock": {
			slices.Concat(appOf("shop", 0, "stuck"), []modeltest.Fact{waiting("0", "lock", "")}),
			[]string{"shop/lock/"}, nil,
		},
		"all busy with short requests": {
			slices.Concat(appOf("shop", 9, "busy"), []modeltest.Fact{fact("page.worker_wait", 0.2, "other", "0", "cpu", "")}),
			[]string{"shop/workers"}, []string{"kill"},
		},
	}
}

// The advice names the root first, one line a cause, and never to end a victim.
func TestAdviceBeginsAtTheRoot(t *testing.T) {
	for name, c := range rootCases() {
		t.Run(name, func(t *testing.T) {
			j := c.evaluate()
			var causes []string
			for _, a := range j.Advice() {
				causes = append(causes, a.Cause)
			}
			if !slices.Equal(causes, c.causes) {
				t.Errorf("got  %q\nwant %q", causes, c.causes)
			}
			all := strings.Join(j.Recommendations(), "\n")
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
		if a := j.Advice(); len(a) == 0 || !strings.HasPrefix(a[0].Cause, "mysql:main/connection:") {
			t.Errorf("%+v", a)
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
