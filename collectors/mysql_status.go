package collectors

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	mysqlPoolFamily         = gauge("mysql_buffer_pool_bytes", "Size of InnoDB's buffer pool. On MariaDB this and all that is counted about the buffer pool, temporary tables, deadlocks and aborted connections is up to ten seconds old.", "mysql")
	mysqlPoolFreeFamily     = gauge("mysql_buffer_pool_free_bytes", "Part of the buffer pool that has no page in it.", "mysql")
	mysqlPoolDirtyFamily    = gauge("mysql_buffer_pool_dirty_bytes", "Part of the buffer pool that was changed and is not written to the disk yet.", "mysql")
	mysqlPoolRequestsFamily = counter("mysql_buffer_pool_read_requests_total", "Reads of a page from the buffer pool.", "mysql")
	mysqlPoolReadsFamily    = counter("mysql_buffer_pool_disk_reads_total", "Reads of a page that was not in the buffer pool and came from the disk.", "mysql")
	mysqlDeadlocksFamily    = counter("mysql_deadlocks_total", "Deadlocks of InnoDB, each of which ended a transaction. On MySQL the value is up to ten seconds old; absent without the right PROCESS, and on versions that do not count them.", "mysql")
	mysqlAbortedFamily      = counter("mysql_aborted_clients_total", "Connections that ended without being closed by the client: it ended, sent nothing for wait_timeout, or was killed.", "mysql")
	mysqlRefusedFamily      = counter("mysql_aborted_connects_total", "Attempts to connect that failed: a wrong password, no right, too many connections, or no login in time.", "mysql")
	mysqlTempFamily         = counter("mysql_temporary_tables_total", "Internal temporary tables that the server created for statements, in memory or on disk.", "mysql")
	mysqlTempDiskFamily     = counter("mysql_temporary_disk_tables_total", "Internal temporary tables on disk. MySQL 8 does not count those in memory-mapped files.", "mysql")
)

// mysqlEngineDescs returns the descriptors of the metrics that [mysqlRead.addEngine]
// adds.
func mysqlEngineDescs() []*prometheus.Desc {
	return descs(mysqlPoolFamily, mysqlPoolFreeFamily, mysqlPoolDirtyFamily, mysqlPoolRequestsFamily, mysqlPoolReadsFamily, mysqlDeadlocksFamily,
		mysqlAbortedFamily, mysqlRefusedFamily, mysqlTempFamily, mysqlTempDiskFamily)
}

// readStatus reads SHOW GLOBAL STATUS and adds the metrics of its counters, without what
// the server does not report. Threads_running is without the exporter's own connection.
func (l *mysqlRead) readStatus(ctx context.Context) error {
	status, err := l.Server.Status(ctx)
	if err != nil {
		return err
	}
	if v, ok := status["Threads_running"]; ok {
		l.hasThreadsRunning = true
		l.set(&l.server.ThreadsRunning, mysqlRunningFamily, max(v-1, 0), l.Name)
	}
	if v, ok := status["Threads_connected"]; ok {
		l.set(&l.server.Connections, mysqlConnectionsFamily, v, l.Name)
	}
	l.addEngine(status)
	return nil
}

// addEngine adds the metrics of statements, connections and the buffer pool, the last in
// bytes. It skips what the server does not report.
func (l *mysqlRead) addEngine(status map[string]float64) {
	page, paged := status["Innodb_page_size"]
	for _, c := range []struct {
		name  string
		f     *family
		pages bool // the number is one of pages
	}{
		{"Queries", mysqlQueriesFamily, false}, {"Slow_queries", mysqlSlowFamily, false},
		{"Innodb_buffer_pool_pages_total", mysqlPoolFamily, true}, {"Innodb_buffer_pool_pages_free", mysqlPoolFreeFamily, true},
		{"Innodb_buffer_pool_pages_dirty", mysqlPoolDirtyFamily, true},
		{"Innodb_buffer_pool_read_requests", mysqlPoolRequestsFamily, false}, {"Innodb_buffer_pool_reads", mysqlPoolReadsFamily, false},
		{"Innodb_deadlocks", mysqlDeadlocksFamily, false}, {"Aborted_clients", mysqlAbortedFamily, false}, {"Aborted_connects", mysqlRefusedFamily, false},
		{"Created_tmp_tables", mysqlTempFamily, false}, {"Created_tmp_disk_tables", mysqlTempDiskFamily, false},
	} {
		v, ok := status[c.name]
		switch {
		case ok && !c.pages:
			l.add(c.f, v, l.Name)
		case ok && paged:
			l.add(c.f, v*page, l.Name)
		}
	}
}
