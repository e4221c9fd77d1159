package mysql

import (
	"context"
	"database/sql"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// sumsAge is how old values may be that cost the server more than the others.
const sumsAge = 10 * time.Second

// sums returns the names in SHOW GLOBAL STATUS that are read from a MariaDB at most every
// ten seconds. Names that a flavour or a version does not know are missing in its answer.
func sums() []string {
	return []string{
		"Slow_queries", "Aborted_clients", "Aborted_connects", "Created_tmp_tables", "Created_tmp_disk_tables", "Innodb_deadlocks", "Innodb_page_size",
		"Innodb_buffer_pool_pages_total", "Innodb_buffer_pool_pages_free", "Innodb_buffer_pool_pages_dirty", "Innodb_buffer_pool_read_requests", "Innodb_buffer_pool_reads",
	}
}

// Status returns values of SHOW GLOBAL STATUS: Threads_connected, Threads_running,
// Queries and the names of sums. A name that the server does not know is missing. For
// MariaDB, which pays for it by connection, the sums are at most ten seconds old, and
// Threads_running is left out if [Server.Threads] can be counted instead.
func (s *Server) Status(ctx context.Context) (map[string]float64, error) {
	var out map[string]float64
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) (err error) {
		if l.version.MariaDB && l.process == nil {
			out, err = l.statusOfMariaDB(ctx)
			return err
		}
		if out, err = l.status(ctx, "GLOBAL", append(sums(), "Threads_connected", "Threads_running", "Queries")...); err == nil {
			err = l.addDeadlocks(ctx, out)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// fresh reports whether the sums are young enough not to be read again.
func (l *link) fresh() bool { return l.sums != nil && time.Since(l.summed) <= sumsAge }

// statusOfMariaDB returns the status variables of [Server.Status] by name, without
// Threads_running. Those that are expensive to read are those of an earlier read for as
// long as it is fresh.
func (l *link) statusOfMariaDB(ctx context.Context) (map[string]float64, error) {
	now := []string{"Threads_connected", "Queries"}
	if !l.fresh() { // the one question has both
		out, err := l.status(ctx, "GLOBAL", append(sums(), now...)...)
		if err != nil {
			return nil, err
		}
		l.sums, l.summed = maps.Clone(out), time.Now()
		maps.DeleteFunc(l.sums, func(name string, _ float64) bool { return slices.Contains(now, name) })
		return out, nil
	}
	out, err := l.status(ctx, "SESSION", now...)
	if err == nil {
		maps.Copy(out, l.sums)
	}
	return out, err
}

// deadlocksOfMySQL is a query for the deadlocks that MySQL has counted since the counter
// was switched on, which it is by default. MySQL 8 has them nowhere in its status.
const deadlocksOfMySQL = "SELECT NAME, `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks' AND STATUS = 'enabled'"

// addDeadlocks adds the deadlocks to the status of a MySQL that does not have them there.
// They are at most ten seconds old, and need the right PROCESS. If they cannot be read
// they are left out; an error means that the connection is lost.
func (l *link) addDeadlocks(ctx context.Context, status map[string]float64) error {
	if _, ok := status["Innodb_deadlocks"]; ok || l.version.MariaDB || l.process != nil {
		return nil
	}
	if !l.fresh() {
		counted, err := l.numbers(ctx, deadlocksOfMySQL)
		if err != nil && classify(err).lost {
			return err
		}
		l.sums, l.summed = counted, time.Now()
	}
	if n, ok := l.sums["lock_deadlocks"]; ok {
		status["Innodb_deadlocks"] = n
	}
	return nil
}

// status returns the numbers of some status variables by name; those that the server does
// not have are missing.
func (l *link) status(ctx context.Context, scope string, names ...string) (map[string]float64, error) {
	return l.numbers(ctx, "SHOW "+scope+" STATUS WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')")
}

// numbers returns the rows of a query as numbers by their names, without those that are
// negative or not finite. A text is an error, with which those before it are returned.
func (l *link) numbers(ctx context.Context, query string) (map[string]float64, error) {
	out := make(map[string]float64, len(sums()))
	return out, l.each(ctx, query, func(rows *sql.Rows) error {
		var name string
		var value float64
		err := rows.Scan(&name, &value)
		if value >= 0 && !math.IsInf(value, 1) {
			out[name] = value
		}
		return err
	})
}
