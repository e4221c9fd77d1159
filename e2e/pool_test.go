package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// leakAfter is how long a connection must sleep to count as leaked in this file: longer
// than the steps that a test takes in a row on a machine with little to do.
const leakAfter = 8 * time.Second

// holder starts gunicorn with workers that hold connections, see shop/pool.py.
func holder(t *testing.T, workers int, db string, l launch) *app {
	t.Helper()
	need(t, "gunicorn", python)
	l.server, l.source = "gunicorn", "shop/pool.py"
	l.args = append(l.args, "-w", strconv.Itoa(workers), "--timeout", "600")
	l.env = append(l.env, "POOL_DB="+db)
	return serve(t, l)
}

// address is where the app finds a server.
func address(s *mariadb.Server) string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// answer is an answer of the app.
type answer struct {
	PID         int   `json:"pid"`
	Connections []int `json:"connections"`
}

// tell sends the app a command; ok is false if this worker was not to do it.
func (a *app) tell(path string) (got answer, ok bool, err error) {
	resp, err := a.client.Get("http://app" + path)
	if err != nil {
		return got, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return got, false, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict {
		return got, false, fmt.Errorf("%s: status %d: %.500s", path, resp.StatusCode, b)
	}
	return got, resp.StatusCode == http.StatusOK, json.Unmarshal(b, &got)
}

// everyWorker sends requests until each of n workers has executed a command, and returns
// the connections of each worker by its pid.
func (a *app) everyWorker(t *testing.T, n int, path string) map[int][]int {
	t.Helper()
	out := make(map[int][]int)
	var mu sync.Mutex
	var failed error
	name := unique("once")
	for end := time.Now().Add(scaled(60 * time.Second)); len(out) < n; {
		var wg sync.WaitGroup
		for range 2 * n { // side by side, so that the kernel spreads them
			wg.Go(func() {
				got, ok, err := a.tell(path + "&once=" + name)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = err
				} else if ok {
					out[got.PID] = got.Connections
				}
			})
		}
		wg.Wait()
		if failed != nil || time.Now().After(end) {
			t.Fatalf("%d of %d workers did %s: %v", len(out), n, path, failed)
		}
	}
	return out
}

// poolConfig returns a configuration for one app that has a pool of that size, whose
// connections count as leaked after that time.
func poolConfig(t *testing.T, a *app, s *mariadb.Server, size int, after time.Duration) string {
	return fmt.Sprintf("monitoring_interval: 1s\napps: [{name: %s, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop, size: %d, max_overflow: 5, leak_after: %.0fs}]}]\n",
		a.name, a.name+":app", size, after.Seconds()) + mysqlSection(t, "main", s)
}

// states returns an error unless the pool's connections are exactly these.
func (m metrics) states(app, pool string, inUse, idle, inTransaction, leaked int) error {
	var errs []error
	for state, n := range map[string]int{"in_use": inUse, "idle": idle, "in_transaction": inTransaction, "leaked": leaked} {
		errs = append(errs, m.want(float64(n), "resp_pool_connections", "app="+app, "pool="+pool, "state="+state))
	}
	return all(errs...)
}

// TestPoolOfFourWorkers checks the exact numbers by state and worker for the connections
// of four workers, some asleep in a transaction, and one log line for each leaked
// connection.
func TestPoolOfFourWorkers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ each, old, young int }{{50, 10, 5}, {250, 50, 25}} {
		t.Run(strconv.Itoa(4*test.each), func(t *testing.T) { poolOfFour(t, test.each, test.old, test.young) })
	}
}

func poolOfFour(t *testing.T, each, old, young int) {
	s := database(t, fmt.Sprintf("--max-connections=%d", 4*each+50), "--performance-schema=ON", "--performance-schema-consumer-events-statements-current=ON")
	execute(t, s, `GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO 'resp'@'127.0.0.1';
		GRANT SELECT (THREAD_ID, DIGEST_TEXT) ON performance_schema.events_statements_current TO 'resp'@'127.0.0.1'`)
	a := holder(t, 4, address(s), launch{args: []string{"--backlog", "100"}})
	x := watch(t, export{config: poolConfig(t, a, s, each-25, scaled(leakAfter))})
	for range each / 50 { // each request must be answered in time
		a.everyWorker(t, 4, "/open?n=50")
	}
	capacity := 4 * (each - 20)
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(m.states(a.name, "main", 0, 4*each, 0, 0), m.want(float64(capacity), "resp_pool_capacity", "app="+a.name), perWorker(m, a, 4, each, "mysql:main"))
	})
	leaked := a.everyWorker(t, 4, fmt.Sprintf("/begin?n=%d", old))
	eventually(t, 30*time.Second, func() error { return x.scrape(t).states(a.name, "main", 0, 4*(each-old), 0, 4*old) })
	a.everyWorker(t, 4, fmt.Sprintf("/begin?n=%d", young))
	// InnoDB renews its list of transactions ten times a second at most.
	eventually(t, leakAfter/2, func() error { return x.scrape(t).states(a.name, "main", 0, 4*(each-old-young), 4*young, 4*old) })
	logged(t, x, a, leaked)
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.states(a.name, "main", 0, 4*(each-old-young), 0, 4*(old+young)),
			m.want(float64(4*(old+young))/float64(capacity), "resp_pool_utilization_ratio", "app="+a.name, "pool=main"),
			m.want(1, "resp_collector_available", "collector=pool", "reason=ok"),
		)
	})
	silent(t, x)
	for _, word := range []string{"shop@", "user=", "'shop'"} {
		if strings.Contains(x.Output(1<<20), word) {
			t.Errorf("the log says %q", word)
		}
	}
}

// perWorker returns an error unless each worker has that many connections.
func perWorker(m metrics, a *app, workers, each int, component string) error {
	var errs []error
	for slot := range workers {
		errs = append(errs, m.want(float64(each), "resp_worker_connections", "app="+a.name, "worker="+strconv.Itoa(slot), "component="+component))
	}
	return all(errs...)
}

// logged checks that each leak has one line, at most 100 of them, and no other
// connection has.
func logged(t *testing.T, x *exporter, a *app, leaked map[int][]int) {
	t.Helper()
	const key = " connection=" // of the line of a leak
	pids := map[string]int{}   // by connection
	for pid, connections := range leaked {
		for _, id := range connections {
			pids[strconv.Itoa(id)] = pid
		}
	}
	slots := map[int]string{}
	for slot, pid := range x.scrape(t).pids(a.name) {
		slots[pid] = slot
	}
	want := min(len(pids), 100)
	var lines []string
	eventually(t, 10*time.Second, func() error {
		lines = nil
		for line := range strings.SplitSeq(x.Output(1<<20), "\n") {
			if strings.Contains(line, key) {
				lines = append(lines, line)
			}
		}
		if len(lines) < want {
			return fmt.Errorf("%d of %d leaks are in the log", len(lines), want)
		}
		return nil
	})
	var seen []string
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, key)
		id, _, _ := strings.Cut(rest, " ")
		pid, ok := pids[id]
		if !ok || slices.Contains(seen, id) {
			continue // one that began later, or a second line; counted below
		}
		seen = append(seen, id)
		for _, part := range []string{"app=" + a.name + " ", "pool=main ", "mysql=main ", fmt.Sprintf("pid=%d ", pid), "worker=" + slots[pid] + " ", "rows_modified=1 ", "INSERT INTO `items`"} {
			if !strings.Contains(line, part) {
				t.Errorf("%q does not say %s", line, part)
			}
		}
	}
	if len(seen) < want {
		t.Errorf("%d leaks have a line, want %d", len(seen), want)
	}
	if want < 100 && len(lines) != want {
		t.Errorf("%d lines for %d leaks", len(lines), want)
	}
}

// TestPoolByDiscovery checks that an app without configuration has a pool under the
// server's name, and that connections over a UNIX socket are attributed to workers by the
// socket's peer.
func TestPoolByDiscovery(t *testing.T) {
	t.Parallel()
	s := database(t)
	tcp := holder(t, 2, address(s), launch{env: []string{"POOL_OPEN=3"}})
	local := holder(t, 2, "unix:"+s.Socket, launch{env: []string{"POOL_OPEN=2"}})
	x := watch(t, export{config: "monitoring_interval: 1s\n" + fmt.Sprintf("mysql: [{name: main, dsn: \"resp@tcp(127.0.0.1:%d)/\", fallback_dsns: [\"resp@unix(%s)/\"], password_file: %s}]\n", s.Port, s.Socket, passwordFile(t))})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(m.states(tcp.name, "main", 0, 6, 0, 0), perWorker(m, tcp, 2, 3, "mysql:main"), perWorker(m, local, 2, 2, "mysql:main"))
	})
	tcp.everyWorker(t, 2, "/begin?n=1") // only now: after a minute they count as leaked
	var m metrics
	eventually(t, 20*time.Second, func() error { m = x.scrape(t); return m.states(tcp.name, "main", 0, 4, 2, 0) })
	for _, name := range []string{"resp_pool_capacity", "resp_pool_utilization_ratio"} {
		if m.has(name, "app="+tcp.name) == nil || m.has(name, "app="+local.name) == nil {
			t.Errorf("%s of a pool of no configured size is there", name)
		}
	}
	if m.has("resp_pool_connections", "app="+local.name) == nil {
		t.Error("connections over a UNIX socket have no port, and yet they are given to an app")
	}
	silent(t, x)
}

// TestPoolOverUnixSocket checks that connections over a UNIX socket are attributed to the
// app by the configured user, but to no worker.
func TestPoolOverUnixSocket(t *testing.T) {
	t.Parallel()
	s := database(t)
	a := holder(t, 2, "unix:"+s.Socket, launch{env: []string{"POOL_OPEN=2", "POOL_BEGIN=1"}})
	x := watch(t, export{config: strings.ReplaceAll(poolConfig(t, a, s, 5, leakAfter), "tcp("+address(s)+")", "unix("+s.Socket+")")})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		if n := strings.Count(x.Output(1<<20), "worker=unattributed"); n != 2 {
			return fmt.Errorf("%d leaks of no known worker are in the log", n)
		}
		return all(m.states(a.name, "main", 0, 2, 0, 2), m.want(0.1, "resp_pool_utilization_ratio"), perWorker(m, a, 2, 2, "mysql:main"))
	})
}

// TestPoolInAnotherNetworkNamespace checks that connections are counted from /proc without
// a login, and that those of an app in another network namespace are attributed with one.
func TestPoolInAnotherNetworkNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "unshare", "nsenter", "ip")
	s := databaseIn(t, []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, "--port=3306")
	blind := watch(t, export{config: "monitoring_interval: 1s\n"})
	x := watch(t, export{config: fmt.Sprintf("monitoring_interval: 1s\nmysql: [{name: main, dsn: \"resp:%s@unix(%s)/\"}]\n", word, s.Socket)})
	a := holder(t, 2, "127.0.0.1:3306", launch{ // last: what it begins counts as leaked after a minute
		wrap: []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", s.PID())}, env: []string{"POOL_OPEN=4", "POOL_BEGIN=1"},
	})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(perWorker(m, a, 2, 4, "mysql:main"), m.states(a.name, "main", 0, 6, 2, 0))
	})
	eventually(t, 30*time.Second, func() error {
		m := blind.scrape(t)
		return all(perWorker(m, a, 2, 4, "mysql"), m.want(1, "resp_collector_available", "collector=pool", "reason=ok"), m.has("resp_worker_connections_sample_age_seconds"))
	})
}

// TestPoolWithoutPermission checks that no metrics of workers are reported if descriptors
// may not be read, but the reason is.
func TestPoolWithoutPermission(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "setpriv")
	s := database(t)
	a := holder(t, 2, address(s), launch{env: []string{"POOL_OPEN=2"}})
	open := "monitoring_interval: 1s\napps: [{name: %s, match: {cmdline: %q}, pools: [{name: main, mysql: main%s}]}]\n" +
		fmt.Sprintf("mysql: [{name: main, dsn: \"resp:%s@tcp(127.0.0.1:%d)/\"}]\n", word, s.Port)
	drop := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"}
	x := watch(t, export{wrap: drop, config: fmt.Sprintf(open, a.name, a.name+":app", "")})
	eventually(t, 20*time.Second, func() error {
		return x.scrape(t).want(0, "resp_collector_available", "collector=pool", "reason=permission")
	})
	for _, name := range []string{"resp_worker_connections", "resp_pool_connections"} {
		if x.scrape(t).has(name, "app="+a.name) == nil {
			t.Errorf("%s is there although nobody can know it", name)
		}
	}
	x = watch(t, export{wrap: drop, config: fmt.Sprintf(open, a.name, a.name+":app", ", user: shop")})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).states(a.name, "main", 0, 4, 0, 0) })
}
