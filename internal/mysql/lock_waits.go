package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// maxMetadataLocks is how many metadata locks one read keeps.
const maxMetadataLocks = 5000

// LockWaits returns who waits for whom, by ids of transactions, at most 1,000 pairs, with
// the tables if those may be read; in MySQL 8, of the first 100 pairs. Join them with
// [Server.Transactions] in the exporter: a join in the server costs it fifty times as
// much. It needs the right PROCESS, and in MySQL 8 SELECT on
// performance_schema.data_lock_waits.
func (s *Server) LockWaits(ctx context.Context) ([]LockWait, error) {
	var out []LockWait
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		if l.process != nil {
			return l.process
		}
		out = nil
		var ids []string
		err := l.each(ctx, l.lockWaitsQuery(), func(rows *sql.Rows) error {
			w, lock, err := scanLockWait(rows)
			if err != nil {
				return err
			}
			if out = appendBounded(out, w, maxLockWaits, &s.left.lockWaits); len(ids) < len(out) {
				ids = append(ids, lock)
			}
			return nil
		})
		if err != nil || len(out) == 0 {
			return err
		}
		return l.nameTables(ctx, out, ids)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// lockWaitsQuery returns the statement for the waits of transactions, at most one more
// than is kept.
func (l *link) lockWaitsQuery() string {
	query := "SELECT requesting_trx_id, blocking_trx_id, requested_lock_id FROM information_schema.innodb_lock_waits"
	if l.hasDataLocks() {
		query = "SELECT requesting_engine_transaction_id, blocking_engine_transaction_id, requesting_engine_lock_id FROM performance_schema.data_lock_waits"
	}
	return fmt.Sprintf("%s LIMIT %d", query, maxLockWaits+1)
}

// scanLockWait returns one row of [link.lockWaitsQuery], without the table, and the id of
// the lock.
func scanLockWait(rows *sql.Rows) (w LockWait, lock string, err error) {
	err = rows.Scan(&w.Waiting, &w.Blocking, &lock)
	w.Waiting, w.Blocking = clip(w.Waiting), clip(w.Blocking)
	return w, clip(lock), err
}

// hasDataLocks reports whether the server has the tables of MySQL 8.
func (l *link) hasDataLocks() bool { return !l.version.MariaDB && l.version.Major >= 8 }

// nameTables sets the tables of waits, whose locks have these ids in the same order; in
// MySQL 8 those of the first 100, else by the first 2,000 locks. What cannot be read, such
// as without a right, stays empty without an error; an error means that the connection is
// lost.
func (l *link) nameTables(ctx context.Context, waits []LockWait, ids []string) error {
	query := "SELECT lock_id, lock_table FROM information_schema.innodb_locks"
	if l.hasDataLocks() {
		query = "SELECT ENGINE_LOCK_ID, CONCAT('`', OBJECT_SCHEMA, '`.`', OBJECT_NAME, '`') FROM performance_schema.data_locks WHERE ENGINE_LOCK_ID IN (" + quotedIDs(ids) + ")"
	}
	tables := make(map[string]string)
	err := l.each(ctx, fmt.Sprintf("%s LIMIT %d", query, 2*maxLockWaits), func(rows *sql.Rows) error {
		var id, table sql.NullString
		err := rows.Scan(&id, &table)
		if name := strings.Split(clip(table.String), "`"); len(name) >= 4 { // `shop`.`orders` /* Partition `p0` */
			tables[clip(id.String)] = name[1] + "." + name[3]
		}
		return err
	})
	for i := range waits {
		waits[i].Table = tables[ids[i]]
	}
	if err != nil && !classify(err).lost {
		return nil
	}
	return err
}

// quotedIDs returns at most 100 ids of locks for an IN clause, without those that have
// another form. It begins with the empty id, so that it is never empty.
func quotedIDs(ids []string) string {
	out := []string{"''"}
	for _, id := range ids[:min(len(ids), maxStatementIDs)] {
		if strings.Trim(id, "0123456789abcdefABCDEF:_-") == "" {
			out = append(out, "'"+id+"'")
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}

// MetadataLocks returns the metadata locks, at most 5,000: in MariaDB those that are
// held, by the plugin metadata_lock_info; else those that connections hold or wait for,
// by performance_schema.metadata_locks, which needs its instrument, and SELECT on it and
// on two columns of performance_schema.threads. The reason unsupported: the server keeps
// neither.
func (s *Server) MetadataLocks(ctx context.Context) ([]locks.Lock, error) {
	var out []locks.Lock
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) (err error) {
		if !l.version.MariaDB {
			return &Error{Reason: reason.Unsupported}
		}
		const query = `SELECT THREAD_ID, SUBSTRING_INDEX(UPPER(LOCK_TYPE), ' ', 1), TABLE_SCHEMA, TABLE_NAME, REPLACE(LOCK_MODE, 'MDL_', ''), 'GRANTED'
			FROM information_schema.METADATA_LOCK_INFO LIMIT `
		out, err = s.metadataLocks(ctx, l, query)
		return err
	})
	if err == nil || classify(err).Reason != reason.Unsupported {
		return out, err
	}
	if err := s.requirePerformanceSchema(ctx); err != nil {
		return nil, err
	}
	err = s.use(ctx, statementLimit, func(ctx context.Context, l *link) (err error) {
		connections := make(map[uint64]uint64) // by thread
		err = l.each(ctx, fmt.Sprintf("SELECT THREAD_ID, PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID > 0 LIMIT %d", maxThreads), func(rows *sql.Rows) error {
			var thread, id uint64
			err := rows.Scan(&thread, &id)
			connections[thread] = id
			return err
		})
		if err != nil {
			return err
		}
		const query = "SELECT OWNER_THREAD_ID, OBJECT_TYPE, OBJECT_SCHEMA, OBJECT_NAME, LOCK_TYPE, LOCK_STATUS FROM performance_schema.metadata_locks LIMIT "
		out, err = s.metadataLocks(ctx, l, query)
		for i := range out {
			out[i].Connection = connections[out[i].Connection]
		}
		out = slices.DeleteFunc(out, func(l locks.Lock) bool { return l.Connection == 0 })
		return err
	})
	return out, err
}

// metadataLocks returns the rows of one of the two tables, at most 5,000; whether there
// are more is counted in s.left. With an error it returns what was read.
func (s *Server) metadataLocks(ctx context.Context, l *link, query string) (out []locks.Lock, err error) {
	err = l.each(ctx, query+strconv.Itoa(maxMetadataLocks+1), func(rows *sql.Rows) error {
		var x locks.Lock
		var schema, table, status sql.NullString
		if err := rows.Scan(&x.Connection, &x.Space, &schema, &table, &x.Mode, &status); err != nil {
			return err
		}
		x.Space, x.Mode, x.Pending = clip(x.Space), clip(x.Mode), status.String == "PENDING"
		if x.Object = clip(schema.String); table.String != "" && x.Space != "SCHEMA" {
			x.Object += "." + clip(table.String)
		}
		out = appendBounded(out, x, maxMetadataLocks, &s.left.lockWaits)
		return nil
	})
	return out, err
}

// ClientPIDs returns the process ids that the clients say they have, by connection: _pid
// of performance_schema.session_connect_attrs. Anybody may claim any. At most
// 20,000 are read, and what is no number is left out. It needs performance_schema and SELECT
// on three columns of that table.
func (s *Server) ClientPIDs(ctx context.Context) (map[uint64]int, error) {
	if err := s.requirePerformanceSchema(ctx); err != nil {
		return nil, err
	}
	out := make(map[uint64]int)
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		query := fmt.Sprintf("SELECT PROCESSLIST_ID, ATTR_VALUE FROM performance_schema.session_connect_attrs WHERE ATTR_NAME = '_pid' LIMIT %d", maxThreads)
		return l.each(ctx, query, func(rows *sql.Rows) error {
			var id uint64
			var pid sql.NullString
			err := rows.Scan(&id, &pid)
			if n, bad := strconv.ParseUint(pid.String, 10, 31); bad == nil && err == nil {
				out[id] = int(n)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
