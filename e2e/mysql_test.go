package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// word is the password of the exporter's user. It must be seen nowhere.
const word = "hunter2hunter2"

// database starts a MariaDB with the user of the documentation and a table.
func database(t *testing.T, args ...string) *mariadb.Server {
	t.Helper()
	return databaseIn(t, nil, args...)
}

// databaseIn is database with a program that runs the server.
func databaseIn(t *testing.T, wrap []string, args ...string) *mariadb.Server {
	t.Helper()
	s, err := mariadb.StartIn(t.Context(), dataDir(t), wrap, args...)
	if s != nil {
		t.Cleanup(s.Stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	execute(t, s, strings.ReplaceAll(mariadb.Grants, "PASSWORD", word)+`;CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'; CREATE DATABASE shop; GRANT ALL ON shop.* TO 'shop'@'%';
		CREATE TABLE shop.orders (id INT PRIMARY KEY, paid INT); INSERT INTO shop.orders VALUES (1, 0), (2, 0); CREATE TABLE shop.items (id INT)`)
	return s
}

func execute(t *testing.T, s *mariadb.Server, statements string) {
	t.Helper()
	if err := s.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// passwordFile returns the path of a new file with the password.
func passwordFile(t *testing.T) string {
	return write(t, filepath.Join(t.TempDir(), "password"), word+"\n")
}

// mysqlSection is the configuration of one server called name.
func mysqlSection(t *testing.T, name string, s *mariadb.Server) string {
	return fmt.Sprintf("mysql: [{name: %s, dsn: \"resp@tcp(127.0.0.1:%d)/\", password_file: %s}]\n", name, s.Port, passwordFile(t))
}

// client is a connection of the app that lasts as long as the test.
func client(t *testing.T, s *mariadb.Server) *sql.Conn {
	t.Helper()
	db, err := s.OpenTCP("shop", "shop")
	if err != nil {
		t.Fatal(err)
	}
	var conn *sql.Conn
	eventually(t, 20*time.Second, func() (err error) { // a full server may still have one that was just closed
		conn, err = db.Conn(t.Context())
		return err
	})
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return conn
}

func do(t *testing.T, conn *sql.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// connectionID is the number by which the server knows conn.
func connectionID(t *testing.T, conn *sql.Conn) (id uint64) {
	t.Helper()
	if err := conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// background runs a statement that waits, until the test ends.
func background(t *testing.T, conn *sql.Conn, statement string) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = conn.ExecContext(ctx, statement)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// silent is an error if a secret of the configuration is anywhere to be seen.
func silent(t *testing.T, x *exporter) {
	t.Helper()
	seen := map[string]string{"the log": x.Output(1 << 20)}
	for _, path := range []string{"/metrics", "/", "/api/v1/status"} {
		_, body, err := x.get(path)
		if err != nil {
			t.Fatal(err)
		}
		seen[path] = body
	}
	for where, text := range seen {
		for _, secret := range []string{word, "resp@", "'resp'", "tcp(127"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}

// TestMySQLNumbers checks metrics of all kinds of locks, of an old transaction and of idle
// connections, read with the rights of the documentation.
func TestMySQLNumbers(t *testing.T) {
	t.Parallel()
	s := database(t, longLockWaits, "TZ=JST-9", "--default-time-zone=+05:00") // ages must not hang on either zone
	blocker, waiter, locked, altered, idle := client(t, s), client(t, s), client(t, s), client(t, s), client(t, s)
	do(t, blocker, "START TRANSACTION", "UPDATE shop.orders SET paid = 1 WHERE id = 1")
	background(t, waiter, "UPDATE shop.orders SET paid = 2 WHERE id = 1")
	do(t, idle, "LOCK TABLES shop.items WRITE")
	background(t, locked, "INSERT INTO shop.items VALUES (1)")
	background(t, altered, "ALTER TABLE shop.orders ADD COLUMN x INT")
	x := watch(t, export{config: mysqlSection(t, "main", s)})
	eventually(t, 20*time.Second, func() error {
		began := time.Now()
		m := x.scrape(t)
		if took := time.Since(began); took > scaled(2*time.Second) {
			t.Errorf("a scrape beside locks took %s", took)
		}
		oldest, _ := m.sum("resp_mysql_oldest_transaction_seconds", "mysql=main")
		longest, _ := m.sum("resp_mysql_longest_query_seconds", "mysql=main")
		if oldest < 1 || longest < 1 || oldest > 1000 || longest > 1000 { // an hour off or more
			return fmt.Errorf("oldest transaction %v s, longest query %v s", oldest, longest)
		}
		return all(
			m.want(1, "resp_up", "component=mysql:main"),
			m.want(6, "resp_mysql_connections", "mysql=main"),
			m.want(151, "resp_mysql_max_connections", "mysql=main"),
			m.want(3, "resp_mysql_threads_running", "mysql=main"),
			m.want(3, "resp_mysql_lock_waits", "mysql=main"),
			m.want(1, "resp_mysql_blocking_transactions", "mysql=main"),
			m.want(0, "resp_mysql_fallback", "mysql=main"),
			m.want(1, "resp_mysql_info", "flavour=mariadb", "mysql=main"),
			m.has("resp_mysql_queries_total", "mysql=main"),
			m.has("resp_mysql_slow_queries_total", "mysql=main"),
			m.has("resp_mysql_ping_seconds", "mysql=main"),
			m.want(1, "resp_collector_available", "collector=mysql", "reason=ok"), // though performance_schema is off
		)
	})
	if err := x.scrape(t).has("resp_mysql_query_seconds_total"); err == nil {
		t.Error("the time of queries is known although nobody adds it up")
	}
	silent(t, x)
	whoBlocks(t, s, connectionID(t, blocker))
}

// whoBlocks joins, as a diagnosis does, the waiting transaction to the connection that it
// waits for.
func whoBlocks(t *testing.T, s *mariadb.Server, want uint64) {
	t.Helper()
	server := mysql.Open(mysql.Options{Name: "main", DSN: config.Secret(fmt.Sprintf("resp:%s@unix(%s)/", word, s.Socket))})
	defer server.Close()
	waits, err := server.LockWaits(t.Context())
	if err != nil || len(waits) != 1 {
		t.Fatalf("lock waits are %v, %v", waits, err)
	}
	transactions, err := server.Transactions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range transactions {
		if tr.ID == waits[0].Blocking && (tr.Thread != want || tr.Waits || tr.RowsModified != 1) {
			t.Errorf("the blocker is %+v, want connection %d", tr, want)
		}
		if tr.ID == waits[0].Waiting && (!tr.Waits || tr.Waiting > tr.Age) {
			t.Errorf("the waiter is %+v", tr)
		}
	}
	threads, err := server.Threads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ports := 0
	for _, th := range threads {
		if th.User == "shop" && strings.HasPrefix(th.Host, "127.0.0.1:") {
			ports++
		}
	}
	if ports != 5 {
		t.Errorf("%d connections of the app with their ports in %+v", ports, threads)
	}
}

// TestMySQLQueryTime checks the query time where performance_schema is on and its totals can
// be read.
func TestMySQLQueryTime(t *testing.T) {
	t.Parallel()
	s := database(t, "--performance-schema=ON")
	section := mysqlSection(t, "main", s)
	x := watch(t, export{config: section})
	eventually(t, 10*time.Second, func() error {
		return x.scrape(t).want(0, "resp_collector_available", "collector=mysql", "reason=permission")
	})
	execute(t, s, "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'")
	x = watch(t, export{config: section})
	do(t, client(t, s), "DO SLEEP(1.2)")
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		if v, _ := m.sum("resp_mysql_query_seconds_total"); v < 1.2 || v > 100 {
			return fmt.Errorf("the time of queries is %v s", v)
		}
		return m.want(1, "resp_collector_available", "collector=mysql", "reason=ok")
	})
}

// sockets counts the sockets of a process.
func sockets(t *testing.T, pid int) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// hasty scrapes as a Prometheus does that waits 2.25 s.
func hasty(t *testing.T, x *exporter) (body string, took time.Duration) {
	t.Helper()
	began := time.Now()
	status, body, err := x.get("/metrics", "X-Prometheus-Scrape-Timeout-Seconds", "2.25")
	if took = time.Since(began); err != nil || status != http.StatusOK || took > scaled(2*time.Second) {
		t.Fatalf("status %d, %v, after %s", status, err, took)
	}
	return body, took
}

// TestMySQLHangs stops a server with SIGSTOP: a scrape loses only its metrics, no connection
// leaks, and its metrics return after SIGCONT.
func TestMySQLHangs(t *testing.T) {
	t.Parallel()
	s := database(t)
	x := watch(t, export{config: mysqlSection(t, "main", s)})
	up := func(v float64) func() error {
		return func() error { return x.scrape(t).want(v, "resp_up", "component=mysql:main") }
	}
	eventually(t, 20*time.Second, up(1))
	before := sockets(t, x.PID())
	goroutines, _ := x.scrape(t).sum("go_goroutines")
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hangs := `resp_up{component="mysql:main"} 0`
	eventually(t, 10*time.Second, func() error { // a read that began before is still well
		if body, _ := hasty(t, x); !strings.Contains(body, "\n"+hangs) {
			return errors.New("no " + hangs)
		}
		return nil
	})
	slowest := time.Duration(0)
	repeat(t, 50, 100*time.Millisecond, func() error {
		body, took := hasty(t, x)
		slowest = max(slowest, took)
		for _, line := range []string{hangs, `resp_host_memory_usage_ratio `, `resp_scrape_collector_success{collector="process"} 1`, `resp_collector_available{collector="mysql",reason="timeout"} 0`} {
			if !strings.Contains(body, "\n"+line) {
				return errors.New("no " + line)
			}
		}
		return nil
	})
	t.Logf("slowest of 50 scrapes while it hung: %s", slowest)
	eventually(t, 10*time.Second, func() error { // one that is being closed, or asked for something else, is no leak
		return wants(fmt.Sprintf("more sockets after 50 scrapes than the %d before", before), sockets(t, x.PID()) > before+1, false)
	})
	eventually(t, 20*time.Second, func() error { // those that wait for the server come and go
		after, _ := x.scrape(t).sum("go_goroutines")
		return wants(fmt.Sprintf("%v goroutines after 50 scrapes, more than the %v before", after, goroutines), after > goroutines+5, false)
	})
	if err := s.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	well := func() error { return all(up(1)(), x.scrape(t).want(1, "resp_mysql_connections")) }
	eventually(t, 5*time.Second, well) // the server has closed what was given up while it hung
	quiet(t, time.Second, 200*time.Millisecond, "the server that continued is up, with one connection", well)
	if n := strings.Count(x.Output(1<<20), "collector=mysql"); n > 4 {
		t.Errorf("%d lines of the log are about it", n)
	}
	silent(t, x)
}

// TestMySQLReload adds and removes servers by a reload: unchanged servers keep their
// connection.
func TestMySQLReload(t *testing.T) {
	t.Parallel()
	s := database(t)
	section := mysqlSection(t, "main", s)
	x := watch(t, export{config: section})
	connected := func() float64 {
		db, err := s.Root()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		var id float64
		if err := db.QueryRow("SELECT COALESCE(SUM(id), 0) FROM information_schema.processlist WHERE user = 'resp'").Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	reload := func(config string) {
		t.Helper()
		write(t, x.config, x.statsdSection()+config)
		if err := x.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=mysql:main") })
	before := connected()
	reload(strings.TrimSuffix(section, "]\n") + fmt.Sprintf(", {name: second, dsn: \"resp:%s@unix(%s)/\"}]\n", word, s.Socket))
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_up", "component=mysql:main"), m.want(1, "resp_up", "component=mysql:second"), m.want(2, "resp_mysql_connections", "mysql=main"))
	})
	reload(section)
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		if m.has("resp_up", "component=mysql:second") == nil {
			return fmt.Errorf("the server that was taken out is still there")
		}
		return wants("the connection", connected(), before)
	})
	reload("")
	eventually(t, 10*time.Second, func() error { return wants("connections", connected(), 0) })
}

func TestMySQLKilledAndStarted(t *testing.T) {
	t.Parallel()
	s := database(t)
	x := watch(t, export{config: mysqlSection(t, "main", s)})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=mysql:main") })
	s.Kill()
	eventually(t, 5*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_up", "component=mysql:main"), m.want(0, "resp_collector_available", "collector=mysql", "reason=not_found"))
	})
	repeat(t, 40, 100*time.Millisecond, func() error {
		if _, took := hasty(t, x); took > scaled(time.Second) {
			return fmt.Errorf("a scrape beside a dead server took %s", took)
		}
		return nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=mysql:main") })
}
