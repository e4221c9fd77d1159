package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

const (
	maxStatementIDs = 100 // connections of one question
	maxDigest       = 400 // characters of one digest
)

// LastStatements returns the digest, which has no values in it, of the last
// statement of at most 100 connections, cut to 400 characters: DIGEST_TEXT of
// performance_schema.events_statements_current, joined here with
// performance_schema.threads. A connection whose statement is not known is not
// in the answer. It needs performance_schema and its consumer
// events_statements_current switched on, and SELECT on the four columns.
func (s *Server) LastStatements(ctx context.Context, ids []uint64) (map[uint64]string, error) {
	if len(ids) == 0 {
		return map[uint64]string{}, nil
	}
	if err := s.requirePerformanceSchema(ctx); err != nil {
		return nil, err
	}
	out := make(map[uint64]string)
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		_, err := l.lastStatements(ctx, ids, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// requirePerformanceSchema returns nil if performance_schema is switched on. The reason
// unsupported: it is off; any other error: that is not known.
func (s *Server) requirePerformanceSchema(ctx context.Context) error {
	variables, err := s.Variables(ctx)
	if err == nil && !strings.EqualFold(variables["performance_schema"], "ON") {
		err = &Error{Reason: reason.Unsupported, Text: "the last statements of connections need performance_schema=ON in the configuration of the server"}
	}
	return err
}

// KeepsStatements reports whether [Server.LastStatements] has something to return: it
// looks for the row of the exporter's own connection. false: there is none, as when the
// consumer events_statements_current is off. Errors are as those of LastStatements.
func (s *Server) KeepsStatements(ctx context.Context) (bool, error) {
	if err := s.requirePerformanceSchema(ctx); err != nil {
		return false, err
	}
	var rows int
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) (err error) {
		rows, err = l.lastStatements(ctx, []uint64{l.id}, make(map[uint64]string))
		return err
	})
	return rows > 0, err
}

// lastStatements sets in out the statements of these connections, of at most 100, and
// returns how many rows the server has for them.
func (l *link) lastStatements(ctx context.Context, ids []uint64, out map[uint64]string) (found int, err error) {
	connections := make(map[uint64]uint64) // by thread
	var threads []uint64
	query := "SELECT THREAD_ID, PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID IN (" + inList(ids) + ")"
	err = l.each(ctx, query, func(rows *sql.Rows) error {
		var thread, id uint64
		err := rows.Scan(&thread, &id)
		if err == nil && len(threads) < maxStatementIDs {
			connections[thread] = id
			threads = append(threads, thread)
		}
		return err
	})
	if err != nil || len(threads) == 0 {
		return 0, err
	}
	query = fmt.Sprintf("SELECT THREAD_ID, LEFT(DIGEST_TEXT, %d) FROM performance_schema.events_statements_current WHERE THREAD_ID IN (%s)", maxDigest, inList(threads))
	err = l.each(ctx, query, func(rows *sql.Rows) error {
		var thread uint64
		var digest sql.NullString
		if err := rows.Scan(&thread, &digest); err != nil {
			return err
		}
		found++
		// A statement inside a stored program has a row of its own, after the
		// one that called it.
		id, ok := connections[thread]
		if _, known := out[id]; ok && !known && digest.String != "" {
			out[id] = bounded(digest.String)
		}
		return nil
	})
	return found, err
}

// bounded returns text without blanks around it, cut to 400 characters, as a server
// should have cut it.
func bounded(s string) string {
	r := []rune(strings.TrimSpace(s))
	return string(r[:min(len(r), maxDigest)])
}

// inList returns the first 100 numbers, separated by commas, for an IN clause.
func inList(ids []uint64) string {
	var b []byte
	for i, id := range ids[:min(len(ids), maxStatementIDs)] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, id, 10)
	}
	return string(b)
}
