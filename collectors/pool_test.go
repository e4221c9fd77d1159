package collectors_test

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// fakeConnections returns one sample, and counts the requests for another.
type fakeConnections struct {
	sample conns.Sample
	asked  int
}

func (f *fakeConnections) Connections() *conns.Sample { c := f.sample; return &c }
func (f *fakeConnections) SampleConnections()         { f.asked++ }

// connect is one sampled connection from 10.0.0.1:PORT, of the process pid.
func connect(app string, pid int, component string, port uint16) conns.Connection {
	to := map[string]uint16{"mysql": 3306, "redis": 6379}[strings.SplitN(component, ":", 2)[0]]
	return conns.Connection{
		App: app, PID: pid, Component: component, Proven: true, Vouched: true,
		Local: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), Remote: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), to),
	}
}

// thread is a connection in a server's list.
func thread(id uint64, user, host, command string, took time.Duration) mysql.Thread {
	return mysql.Thread{ID: id, User: user, Host: host, Command: command, Time: took}
}

// poolFixture is a Pool with its dependencies.
type poolFixture struct {
	*collectors.Pool

	snap    *discovery.Snapshot
	conns   *fakeConnections
	servers map[string]*fakeMySQL
	apps    []config.App
	log     *strings.Builder
	leaks   *collectors.LeakLog
	inner   map[int]int // pids in namespaces of their own
}

func newPoolFixture(servers map[string]*fakeMySQL, pools ...config.Pool) *poolFixture {
	r := &poolFixture{
		snap: shop(), servers: servers, log: &strings.Builder{},
		conns: &fakeConnections{sample: conns.Sample{Taken: time.Now().Add(time.Hour)}},
	}
	if len(pools) > 0 {
		r.apps = []config.App{{Name: "shop", Pools: pools}}
	}
	r.leaks = collectors.NewLeakLog(slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	r.Pool = collectors.NewPool(collectors.PoolOptions{
		Apps: fakeApps{snap: r.snap}, Activity: activityOf(servers), Connections: r.conns,
		Configured: func() []config.App { return r.apps }, Leaks: r.leaks, InnerPID: func(pid int) (int, error) { return cmp.Or(r.inner[pid], pid), nil },
	})
	return r
}

func mainPool() config.Pool {
	return config.Pool{Name: "main", MySQL: "main", User: "shop", Size: 5, MaxOverflow: 10, LeakAfter: time.Minute}
}

// readings returns all values of some names after one scrape, by their labels.
func (r *poolFixture) readings(t *testing.T, names ...string) map[string]float64 {
	t.Helper()
	s, err := r.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return named(s, names...)
}

func named(s collectors.Sample, names ...string) map[string]float64 {
	out := map[string]float64{}
	for _, x := range facts(s) {
		if i := slices.Index(names, x.Name); i >= 0 {
			key := strings.Join(x.Labels, " ")
			if len(names) > 1 {
				key = x.Name + ": " + key
			}
			out[key] = x.Value
		}
	}
	return out
}

func compareReadings(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		for _, k := range slices.Sorted(maps.Keys(got)) {
			t.Logf("%s: %q: %v", what, k, got[k])
		}
		t.Errorf("%s: got the above, want %v", what, want)
	}
}

// leakingServer is a server on which worker 0 of the shop (pid 101) has three
// connections and worker 1 (pid 102) four, beside one of another host, one over
// a UNIX socket, one of another app and the server's own.
func leakingServer() (*fakeMySQL, []conns.Connection) {
	f := busyMySQL()
	f.threads = []mysql.Thread{
		thread(1, "system user", "", "Daemon", time.Hour),
		{ID: 5, User: "resp", Host: "10.0.0.1:4000", Command: "Query", Own: true},
		thread(10, "shop", "10.0.0.1:4010", "Query", 3*time.Second),
		thread(11, "shop", "10.0.0.1:4011", "Sleep", 900*time.Second),
		thread(12, "shop", "10.0.0.1:4012", "Sleep", 59*time.Second),
		thread(20, "shop", "10.0.0.1:4020", "Sleep", 60*time.Second),
		thread(21, "shop", "10.0.0.1:4021", "Sleep", 61*time.Second),
		thread(22, "shop", "10.0.0.1:4022", "Sleep", 3600*time.Second),
		thread(23, "shop", "10.0.0.1:4023", "Sleep", 300*time.Second), // its transaction is younger than its sleep
		thread(30, "shop", "10.0.0.9:4010", "Sleep", 70*time.Second),
		thread(31, "shop", "localhost", "Sleep", 2*time.Second),
		thread(40, "shop", "10.0.0.1:4040", "Sleep", 500*time.Second),
		thread(50, "root", "10.0.0.1:4050", "Sleep", time.Second),
	}
	f.transactions = nil
	for id, age := range map[uint64]int{12: 59, 20: 61, 21: 61, 22: 3601, 23: 1, 30: 70, 40: 501} {
		f.transactions = append(f.transactions, mysql.Transaction{ID: fmt.Sprint("t", id), Thread: id, Age: time.Duration(age) * time.Second, RowsLocked: 2, RowsModified: 1})
	}
	f.waits = nil
	list := []conns.Connection{connect("other", 900, "mysql:main", 4040)}
	for pid, ports := range map[int][]uint16{101: {4010, 4011, 4012}, 102: {4020, 4021, 4022, 4023}} {
		for _, p := range ports {
			list = append(list, connect("shop", pid, "mysql:main", p))
		}
	}
	return f, append(list, connect("shop", 101, "redis:cache", 4999), connect("shop", 0, "redis:cache", 4998))
}

func TestPoolGolden(t *testing.T) {
	f, list := leakingServer()
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.conns.sample.List, r.conns.sample.Taken = list, at(-12)
	collectors.SetPoolNow(r.Pool, at(0))
	golden(t, r.Pool)
}

// Each connection is counted once, for the worker whose socket has its port.
func TestPoolStates(t *testing.T) {
	f, list := leakingServer()
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.conns.sample.List = list
	compareReadings(t, "states", r.readings(t, "resp_pool_connections"), map[string]float64{
		"shop main in_use": 2, "shop main idle": 2, "shop main in_transaction": 2, "shop main leaked": 3,
		"other main in_use": 0, "other main idle": 0, "other main in_transaction": 0, "other main leaked": 1,
	})
	compareReadings(t, "capacity", r.readings(t, "resp_pool_capacity", "resp_pool_utilization_ratio"), map[string]float64{
		"resp_pool_capacity: shop main": 30, "resp_pool_utilization_ratio: shop main": 7.0 / 30,
	})
	compareReadings(t, "workers", r.readings(t, "page.pool_worker"), map[string]float64{
		"shop main 0 in_use": 1, "shop main 0 idle": 1, "shop main 0 in_transaction": 1,
		"shop main 1 in_use": 1, "shop main 1 in_transaction": 1, "shop main 1 leaked": 2,
		"shop main  leaked": 1, "shop main  idle": 1, "other main  leaked": 1,
	})
	compareReadings(t, "leaks", r.readings(t, "page.pool_leak"), map[string]float64{
		"shop main main 1 102 22": 3600, "shop main main 1 102 21": 61, "shop main main   30": 70, "other main main  900 40": 500,
	})
	compareReadings(t, "connections", r.readings(t, "resp_worker_connections"), map[string]float64{
		"shop 0 mysql:main": 3, "shop 1 mysql:main": 4, "shop 0 redis:cache": 1, "shop 1 redis:cache": 0,
	})
}

// The pool of a connection.
func TestPoolMembership(t *testing.T) {
	f, list := leakingServer()
	count := func(pools ...config.Pool) map[string]float64 {
		r := newPoolFixture(map[string]*fakeMySQL{"main": f}, pools...)
		r.conns.sample.List = list
		sums := map[string]float64{}
		for k, v := range r.readings(t, "resp_pool_connections") {
			labels := strings.Fields(k)
			sums[labels[0]+" "+labels[1]] += v
		}
		return sums
	}
	root := config.Pool{Name: "admin", MySQL: "main", User: "root", Size: 1, MaxOverflow: 0, LeakAfter: time.Minute}
	open := config.Pool{Name: "any", MySQL: "main", Size: 1, MaxOverflow: -1, LeakAfter: time.Minute}
	elsewhere := config.Pool{Name: "main", MySQL: "second", Size: 1, LeakAfter: time.Minute}
	compareReadings(t, "without a pool", count(), map[string]float64{"shop main": 7, "other main": 1})
	compareReadings(t, "without a user", count(open), map[string]float64{"shop any": 7, "other main": 1})
	compareReadings(t, "two without a user", count(open, config.Pool{Name: "late", MySQL: "main", Size: 1, LeakAfter: time.Minute}), map[string]float64{"shop any": 7, "shop late": 0, "other main": 1})
	compareReadings(t, "told apart by user", count(open, mainPool(), root), map[string]float64{"shop any": 0, "shop main": 9, "shop admin": 1, "other main": 1})
	compareReadings(t, "nobody's user", count(root), map[string]float64{"shop admin": 1, "other main": 1})
	compareReadings(t, "on another server", count(elsewhere), map[string]float64{"shop mysql:main": 7, "other main": 1})
}

// A pool without a limit, or of an app that is down, has no capacity.
func TestPoolWithoutCapacity(t *testing.T) {
	f, list := leakingServer()
	unbounded := mainPool()
	unbounded.MaxOverflow = -1
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, unbounded)
	r.conns.sample.List = list
	compareReadings(t, "unbounded", r.readings(t, "resp_pool_capacity", "resp_pool_utilization_ratio"), nil)
	r = newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.snap.Apps[1].Up, r.snap.Apps[1].Workers = false, nil
	compareReadings(t, "down", r.readings(t, "resp_pool_capacity", "resp_pool_utilization_ratio"), nil)
	if got := r.readings(t, "resp_pool_connections"); got["shop main leaked"] != 4 {
		t.Errorf("connections of an app on another host: %v", got)
	}
}

// The forms in which a server reports its clients.
func TestPoolClients(t *testing.T) {
	loop := func(app string, pid int, address string) conns.Connection {
		return conns.Connection{App: app, PID: pid, Component: "mysql:main", Proven: true, Vouched: true, Local: netip.MustParseAddrPort(address), Remote: netip.MustParseAddrPort("127.0.0.1:3306")}
	}
	list := []conns.Connection{
		loop("shop", 101, "127.0.0.1:1"), loop("shop", 101, "[::1]:2"), loop("shop", 101, "10.0.0.1:3"), loop("shop", 101, "10.0.0.1:4"),
		loop("shop", 101, "127.0.0.1:5"), loop("shop", 102, "[::1]:5"), loop("shop", 101, "127.0.0.1:6"), loop("shop", 102, "127.0.0.1:6"),
		loop("shop", 101, "127.0.0.1:7"), loop("shop", 102, "127.0.0.1:7"), loop("shop", 101, "127.0.0.1:8"),
	}
	list[8].Component, list[10].Component = "mysql", "mysql:second"
	// The same ends in other network namespaces: what anybody may have made counts for nothing.
	forged, contained := loop("shop", 102, "127.0.0.1:1"), loop("shop", 102, "10.0.0.1:3")
	forged.Proven, forged.Vouched, contained.Proven = false, false, false
	alone, within := loop("shop", 101, "127.0.0.1:9"), loop("shop", 101, "127.0.0.1:10")
	alone.Proven, alone.Vouched, within.Proven = false, false, false
	list = append(list, forged, contained, alone, within)
	for host, want := range map[string]string{
		"127.0.0.1:1": "0", "localhost:1": "0", "::1:2": "0", "[::1]:2": "0", "localhost:2": "0", "::ffff:127.0.0.1:1": "0",
		"web-1:3": "0", "10.0.0.1:3": "0", "10.0.0.2:3": "", "web-1:1": "", "localhost:3": "", "web-1:4 web-2:4": "",
		"localhost:5": "", "127.0.0.1:5": "0", "127.0.0.1:6": "", "127.0.0.1:7": "1", "127.0.0.1:8": "",
		"127.0.0.1:9": "", "127.0.0.1:10": "0", "localhost": "", "": "", "web-1:99999": "", "127.0.0.1:x": "", ":": "",
	} {
		t.Run(host, func(t *testing.T) {
			f := &fakeMySQL{}
			for i, h := range strings.Fields(host) {
				f.threads = append(f.threads, thread(uint64(i+1), "shop", h, "Query", 0))
			}
			if host == "" {
				f.threads = []mysql.Thread{thread(1, "shop", "", "Query", 0)}
			}
			r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
			r.conns.sample.List = list
			for k := range r.readings(t, "page.pool_worker") {
				if got := strings.Split(k, " ")[2]; got != want {
					t.Errorf("worker %q, want %q", got, want)
				}
			}
		})
	}
}

// For a client newer than the sample another sample is requested, once; a port that the
// sample has from before does not belong to it.
func TestPoolFreshClients(t *testing.T) {
	f := &fakeMySQL{threads: []mysql.Thread{thread(1, "shop", "10.0.0.1:1", "Query", 0)}}
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	look := func() string {
		t.Helper()
		var workers []string
		for k, v := range r.readings(t, "page.pool_worker") {
			workers = append(workers, fmt.Sprint(strings.Split(k, " ")[2], "=", v))
		}
		slices.Sort(workers)
		return strings.Join(workers, " ")
	}
	r.conns.sample.Taken = time.Now().Add(-time.Second)
	if got := look(); got != "=1" || r.conns.asked != 1 {
		t.Errorf("a new client: workers %q, asked %d times", got, r.conns.asked)
	}
	r.conns.sample.Taken = time.Now()
	if got := look(); got != "=1" || r.conns.asked != 1 {
		t.Errorf("a client of nobody here: workers %q, asked %d times", got, r.conns.asked)
	}
	r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 1)}
	if got := look(); got != "0=1" || r.conns.asked != 1 {
		t.Errorf("a client that was found: workers %q, asked %d times", got, r.conns.asked)
	}
	f.threads[0] = thread(2, "shop", "10.0.0.1:1", "Query", 0)
	r.conns.sample.Taken = r.conns.sample.Taken.Add(-time.Minute)
	if got := look(); got != "=1" || r.conns.asked != 2 {
		t.Errorf("a port that another has now: workers %q, asked %d times", got, r.conns.asked)
	}
}

// Unknown values are absent, with a reason.
func TestPoolLacks(t *testing.T) {
	open := config.Pool{Name: "any", MySQL: "main", Size: 1, LeakAfter: time.Minute}
	for name, c := range map[string]struct {
		change func(r *poolFixture, f *fakeMySQL)
		reason collectors.Reason
		says   string
		want   []string // names of readings that are there
	}{
		"no right": {func(_ *poolFixture, f *fakeMySQL) {
			f.errs = map[string]error{"threads": &mysql.Error{Reason: reason.Permission, Text: "so it is", Need: "PROCESS"}}
		}, collectors.Permission, "GRANT PROCESS", []string{"resp_worker_connections"}},
		"down": {func(_ *poolFixture, f *fakeMySQL) {
			f.errs = map[string]error{"ping": &mysql.Error{Reason: reason.NotFound, Text: "nobody"}}
		}, collectors.NotFound, "mysql main: nobody", []string{"resp_worker_connections"}},
		"half": {func(_ *poolFixture, f *fakeMySQL) {
			f.errs = map[string]error{"transactions": &mysql.Error{Reason: reason.Timeout, Text: "late"}}
		}, collectors.Timeout, "late", []string{"resp_worker_connections"}},
		"descriptors": {func(r *poolFixture, _ *fakeMySQL) { r.conns.sample.Errs = map[string]error{"shop": syscall.EACCES} }, collectors.Permission, "shop", nil},
		"user is known": {func(r *poolFixture, _ *fakeMySQL) {
			r.conns.sample.Errs, r.apps[0].Pools[0].User = map[string]error{"shop": syscall.EACCES}, "shop"
		}, collectors.Permission, "shop", []string{"resp_pool_connections"}},
		"cut short": {func(_ *poolFixture, f *fakeMySQL) { f.over = 3 }, collectors.Failed, "", []string{"resp_pool_connections", "resp_worker_connections"}},
		"sockets": {func(r *poolFixture, _ *fakeMySQL) {
			r.conns.sample.Errs = map[string]error{"shop": errors.New("broken")}
		}, collectors.Failed, "broken", nil},
		"no sample": {func(r *poolFixture, _ *fakeMySQL) { r.conns.sample = conns.Sample{} }, collectors.OK, "", nil},
		"well":      {func(*poolFixture, *fakeMySQL) {}, collectors.OK, "", []string{"resp_pool_connections", "resp_worker_connections"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, list := leakingServer()
			r := newPoolFixture(map[string]*fakeMySQL{"main": f}, open)
			r.conns.sample.List = list[1:]
			c.change(r, f)
			s, err := r.Collect(t.Context())
			if reason, detail := collectors.ReasonOf(err); reason != c.reason || !strings.Contains(detail, c.says) {
				t.Errorf("%s: %s", reason, detail)
			}
			for _, family := range []string{"resp_pool_connections", "resp_worker_connections"} {
				if there := len(named(s, family)) > 0; there != slices.Contains(c.want, family) {
					t.Errorf("%s is there: %v", family, there)
				}
			}
		})
	}
}

// The lists of a server are read once per scrape, for any set of collectors.
func TestActivityIsShared(t *testing.T) {
	f, list := leakingServer()
	servers := map[string]*fakeMySQL{"main": f}
	r := newPoolFixture(servers, mainPool())
	r.conns.sample.List = list
	activity := activityOf(servers)
	pool := collectors.NewPool(collectors.PoolOptions{Apps: fakeApps{snap: r.snap}, Activity: activity, Connections: r.conns, Configured: func() []config.App { return nil }})
	set := collectors.NewSet([]collectors.Collector{collectors.NewMySQL(activity), pool}, nil, slog.New(slog.DiscardHandler))
	want := 0
	for range 5 {
		set.Read(t.Context(), nil)
		want++
		if f.asked["threads"] != want || f.asked["transactions"] != want || f.asked["ping"] != want {
			t.Fatalf("after %d scrapes: %v", want, f.asked)
		}
	}
	only := func(name string) bool { return name == "pool" }
	for range 3 { // it has had the last look already
		set.Read(t.Context(), only)
		want++
	}
	if f.asked["threads"] != want || f.asked["status"] != 5 {
		t.Errorf("alone: %v", f.asked)
	}
}

// Lock waits have the workers at both ends; the holder of a table lock is unknown.
func TestPoolLockWaits(t *testing.T) {
	f := busyMySQL() // 7 blocks 8 and 9, 8 blocks 9, 10 waits for a table
	for i := range f.threads {
		f.threads[i].User, f.threads[i].Host = "shop", "10.0.0.1:"+strconv.Itoa(int(f.threads[i].ID))
	}
	r := newPoolFixture(map[string]*fakeMySQL{"main": f})
	r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 7), connect("shop", 102, "mysql", 8), connect("shop", 100, "mysql", 9)}
	compareReadings(t, "lock waits", r.readings(t, "page.lock_wait"), map[string]float64{
		"main 8 shop 1 7 shop 0 101 sleeping shop 10.0.0.1": 2, "main 9 shop  7 shop 0 101 sleeping shop 10.0.0.1": 1, "main 9 shop  8 shop 1 102 running shop 10.0.0.1": 1,
		"main 10         ": 3,
	})
	// 7 has a transaction open for longer than 10 has waited.
	compareReadings(t, "suspects", r.readings(t, "page.lock_suspect"), map[string]float64{"main 7 shop 10.0.0.1 shop 0 101 had an open transaction": 60})
	for i := range 100 {
		f.threads = append(f.threads, mysql.Thread{ID: uint64(100 + i), Command: "Query", State: "Waiting for table metadata lock", Time: time.Second})
	}
	if got := r.readings(t, "page.lock_wait"); len(got) != 20 {
		t.Errorf("%d lock waits are named", len(got))
	}
}
