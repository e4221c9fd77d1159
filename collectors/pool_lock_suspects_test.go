package collectors_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// The likely holder of a table lock is reported if exactly one connection fits.
func TestPoolLockSuspects(t *testing.T) {
	const waits = "Waiting for table metadata lock"
	worker := mysql.Thread{ID: 20, User: "shop", Host: "10.0.0.1:20", Command: "Query", Time: 12 * time.Second, State: waits}
	ours := mysql.Thread{ID: 21, User: "shop", Host: "10.0.0.1:21", Command: "Sleep", Time: time.Hour}
	own := mysql.Thread{ID: 22, User: "resp", Host: "localhost", Command: "Sleep", Time: time.Hour, Own: true}
	shell := mysql.Thread{ID: 30, User: "ann", Host: "localhost", Command: "Sleep", Time: 14 * time.Second}
	younger := mysql.Thread{ID: 31, User: "bob", Host: "localhost", Command: "Sleep", Time: 2 * time.Second}
	second := mysql.Thread{ID: 32, User: "eve", Host: "localhost", Command: "Sleep", Time: time.Hour}
	for name, c := range map[string]struct {
		threads      []mysql.Thread
		transactions []mysql.Transaction
		want         map[string]float64
	}{
		"nobody waits":            {[]mysql.Thread{ours, shell}, nil, map[string]float64{}},
		"after LOCK TABLES":       {[]mysql.Thread{worker, ours, own, shell, younger}, nil, map[string]float64{"main 30 ann localhost    slept": 14}},
		"two may":                 {[]mysql.Thread{worker, ours, own, shell, second}, nil, map[string]float64{}},
		"an open transaction":     {[]mysql.Thread{worker, ours, own, shell, second}, []mysql.Transaction{{ID: "1", Thread: 21, Age: time.Minute}}, map[string]float64{"main 21 shop 10.0.0.1 shop 1 102 had an open transaction": 60}},
		"the oldest of several":   {[]mysql.Thread{worker, ours, shell}, []mysql.Transaction{{ID: "1", Thread: 21, Age: time.Minute}, {ID: "2", Thread: 30, Age: time.Hour}}, map[string]float64{"main 30 ann localhost    had an open transaction": 3600}},
		"one that began later":    {[]mysql.Thread{worker, ours}, []mysql.Transaction{{ID: "1", Thread: 21, Age: time.Second}}, map[string]float64{}},
		"the waiter's own":        {[]mysql.Thread{worker, ours}, []mysql.Transaction{{ID: "1", Thread: 20, Age: time.Minute}}, map[string]float64{}},
		"one that waits for rows": {[]mysql.Thread{worker, ours}, []mysql.Transaction{{ID: "1", Thread: 21, Age: time.Minute, Waits: true}}, map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPoolFixture(map[string]*fakeMySQL{"main": {threads: c.threads, transactions: c.transactions, variables: map[string]string{"max_connections": "151"}}})
			r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 20), connect("shop", 102, "mysql:main", 21)}
			compareReadings(t, "suspects", r.readings(t, "page.lock_suspect"), c.want)
		})
	}
}
