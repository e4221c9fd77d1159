package e2e_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// TestMySQLCounters provokes a deadlock, a connection that its client leaves, a wrong
// password and a temporary table on disk, and compares what is counted with the server.
func TestMySQLCounters(t *testing.T) {
	t.Parallel()
	s := database(t)
	provokeDeadlock(t, client(t, s), client(t, s))
	do(t, client(t, s), "SET SESSION tmp_memory_table_size = 0", "SELECT paid, COUNT(*) FROM shop.orders GROUP BY paid")
	do(t, client(t, s), "SET SESSION wait_timeout = 1")
	db, err := s.OpenTCP("shop", "wrong")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err == nil {
		t.Error("the server accepts a wrong password")
	}
	_ = db.Close()
	status := statusOf(t, s)
	eventually(t, 20*time.Second, func() error { return wants("aborted clients", status("Aborted_clients") >= 1, true) })
	x := watch(t, export{config: mysqlSection(t, "main", s)})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		page := status("Innodb_page_size")
		return all(
			m.want(1, "resp_mysql_deadlocks_total", "mysql=main"),
			m.want(status("Aborted_clients"), "resp_mysql_aborted_clients_total", "mysql=main"),
			m.want(status("Aborted_connects"), "resp_mysql_aborted_connects_total", "mysql=main"),
			m.want(status("Created_tmp_disk_tables"), "resp_mysql_temporary_disk_tables_total", "mysql=main"),
			between(m, "resp_mysql_temporary_tables_total", status("Created_tmp_disk_tables"), status("Created_tmp_tables")),
			m.want(page*status("Innodb_buffer_pool_pages_total"), "resp_mysql_buffer_pool_bytes", "mysql=main"),
			between(m, "resp_mysql_buffer_pool_bytes", 24<<20, 32<<20), // as the server was started
			between(m, "resp_mysql_buffer_pool_free_bytes", 1, 32<<20), between(m, "resp_mysql_buffer_pool_dirty_bytes", 0, 32<<20),
			between(m, "resp_mysql_buffer_pool_disk_reads_total", 1, status("Innodb_buffer_pool_reads")),
			between(m, "resp_mysql_buffer_pool_read_requests_total", status("Innodb_buffer_pool_reads"), status("Innodb_buffer_pool_read_requests")),
		)
	})
	if status("Aborted_connects") < 1 || status("Created_tmp_disk_tables") < 1 {
		t.Errorf("%v aborted connects, %v temporary tables on disk", status("Aborted_connects"), status("Created_tmp_disk_tables"))
	}
	silent(t, x)
}

// between returns an error unless a value of the server main is in a range.
func between(m metrics, metric string, low, high float64) error {
	v, ok := m.sum(metric, "mysql=main")
	return wants(fmt.Sprintf("%s is %v, in %v to %v", metric, v, low, high), ok && v >= low && v <= high, true)
}

// statusOf returns a function that reads one value of the server's global status.
func statusOf(t *testing.T, s *mariadb.Server) func(name string) float64 {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return func(name string) (v float64) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(new(string), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// provokeDeadlock locks the same two rows on two connections in different order: the server
// ends one of both transactions.
func provokeDeadlock(t *testing.T, a, b *sql.Conn) {
	t.Helper()
	do(t, a, "START TRANSACTION", "UPDATE shop.orders SET paid = 1 WHERE id = 1")
	do(t, b, "START TRANSACTION", "UPDATE shop.orders SET paid = 1 WHERE id = 2")
	first := make(chan error, 1)
	go func() {
		_, err := a.ExecContext(t.Context(), "UPDATE shop.orders SET paid = 2 WHERE id = 2")
		first <- err
	}()
	_, second := b.ExecContext(t.Context(), "UPDATE shop.orders SET paid = 2 WHERE id = 1")
	if second == nil { // the other one was ended; it waits no more
		do(t, b, "ROLLBACK")
	}
	if err := <-first; (err == nil) == (second == nil) {
		t.Fatalf("one of both must be ended: %v, %v", err, second)
	}
	if second != nil {
		do(t, a, "ROLLBACK")
	}
}
