package collectors_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// reporting is workers that report their pools.
type reportingWorkers []appside.Worker

func (r reportingWorkers) Workers() []appside.Worker { return r }

// reporter returns a worker of the shop that reports pools.
func reporter(pid int, pools ...appside.Pool) appside.Worker {
	return appside.Worker{App: "shop", PID: pid, States: []appside.State{{Pools: pools}}}
}

// reportedPool is a pool of 5 and 10 more, of which so many are checked out.
func reportedPool(name string, inUse, leaked int, oldest time.Duration, line int) appside.Pool {
	return appside.Pool{
		Name: name, Size: 5, Overflow: 10, InUse: inUse, Idle: 2, Leaked: leaked, Waiting: 1, Oldest: oldest, LeakedThere: leaked,
		Site: appside.Site{File: "report.py", Function: "fetch", Line: line, Route: "/report"},
	}
}

func (r *poolFixture) reportedBy(workers ...appside.Worker) {
	o := collectors.PoolOptions{Apps: fakeApps{snap: r.snap}, Activity: activityOf(r.servers), Connections: r.conns, Leaks: r.leaks, Inside: reportingWorkers(workers)}
	o.Configured = func() []config.App { return r.apps }
	r.Pool = collectors.NewPool(o)
}

// What the workers report of a pool is preferred, worker by worker; a pool that no server
// has is as they report it.
func TestPoolInside(t *testing.T) {
	f, list := leakingServer()
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.conns.sample.List = list
	r.reportedBy(reporter(102, reportedPool("main", 4, 1, 100*time.Second, 42), reportedPool("files", 3, 2, time.Minute, 7)), reporter(103, reportedPool("files", 1, 1, time.Hour, 7), reportedPool("files", 1, 1, time.Minute, 8)))
	compareReadings(t, "states", r.readings(t, "resp_pool_connections"), map[string]float64{
		// Worker 0 as seen from outside: one in use, one idle, one in a transaction. Two of the
		// four of worker 1 sleep in a transaction, too.
		"shop main in_use": 2, "shop main idle": 3, "shop main in_transaction": 3, "shop main leaked": 1,
		"shop files in_use": 1, "shop files idle": 6, "shop files in_transaction": 0, "shop files leaked": 4,
		"other main in_use": 0, "other main idle": 0, "other main in_transaction": 0, "other main leaked": 1,
	})
	compareReadings(t, "the rest", r.readings(t, "resp_pool_info", "resp_pool_capacity", "resp_pool_waiting_threads", "resp_pool_oldest_checkout_seconds"), map[string]float64{
		"resp_pool_info: shop main inside": 1, "resp_pool_info: shop files inside": 1, "resp_pool_info: other main outside": 1,
		"resp_pool_capacity: shop main": 30, "resp_pool_capacity: shop files": 45,
		"resp_pool_waiting_threads: shop main": 1, "resp_pool_waiting_threads: shop files": 3,
		"resp_pool_oldest_checkout_seconds: shop main": 100, "resp_pool_oldest_checkout_seconds: shop files": 3600,
	})
	compareReadings(t, "sites", r.readings(t, "page.pool_site"), map[string]float64{
		"shop main /report report.py fetch 42 1": 100, "shop files /report report.py fetch 7 3": 3600, "shop files /report report.py fetch 8 1": 60,
	})
	compareReadings(t, "leaks", r.readings(t, "page.pool_leak"), map[string]float64{
		"shop main main 1 102 22": 3600, "shop main main 1 102 21": 61, "shop main main   30": 70, "other main main  900 40": 500,
	})
}

func TestPoolInsideGolden(t *testing.T) {
	f, list := leakingServer()
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.conns.sample.List, r.conns.sample.Taken = list, at(-12)
	r.reportedBy(reporter(102, reportedPool("main", 4, 1, 100*time.Second, 42)))
	collectors.SetPoolNow(r.Pool, at(0))
	goldenAs(t, r.Pool, "pool_inside")
}

// A pool without a bound has no capacity; more than 16 pools of an app are counted; an app
// that is not watched has none.
func TestPoolInsideBounds(t *testing.T) {
	f, _ := leakingServer()
	f.threads = nil
	r := newPoolFixture(map[string]*fakeMySQL{"main": f})
	var many []appside.Pool
	for i := range 20 {
		many = append(many, reportedPool(fmt.Sprintf("p%02d", i), 1, 0, time.Second, 1))
	}
	many[0].Unlimited, many[0].Overflow = true, 0
	stranger := reporter(102, reportedPool("x", 1, 0, 0, 0))
	stranger.App = "ended"
	r.reportedBy(reporter(102, many...), stranger)
	var capacities, dropped int
	for name, v := range r.readings(t, "resp_pool_capacity", "resp_series_dropped_total", "resp_pool_info") {
		switch {
		case strings.HasPrefix(name, "resp_pool_capacity: shop "):
			capacities++
		case name == "resp_series_dropped_total: reported_pool":
			dropped = int(v)
		case strings.HasPrefix(name, "resp_pool_info: ended"):
			t.Error(name)
		}
	}
	if capacities != 15 || dropped != 4 {
		t.Errorf("%d pools with a capacity, %d left out", capacities, dropped)
	}
}
