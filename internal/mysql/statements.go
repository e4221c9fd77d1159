package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxStatementIDs = 100 // connections of one question
	maxDigest       = 400 // characters of one digest
)

// LastStatements gives the digest, which has no values in it, of the last
// statement of at most 100 connections, cut to 400 characters: DIGEST_TEXT of
// performance_schema.events_statements_current, joined here with
// performance_schema.threads. A connection whose statement is not known is not
// in the answer. It needs performance_schema and its consumer
// events_statements_current switched on, and SELECT on the four columns.
func (s *Server) LastStatements(ctx context.Context, ids []uint64) (map[uint64]string, error) {
	if len(ids) == 0 {
		return map[uint64]string{}, nil
	}
	variables, err := s.Variables(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(variables["performance_schema"], "ON") {
		return nil, &Error{Kind: Unsupported, Text: "the last statements of its connections need performance_schema=ON in its configuration"}
	}
	out := make(map[uint64]string)
	err = s.use(ctx, statementLimit, func(ctx context.Context, l *link) error { return l.lastStatements(ctx, ids, out) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *link) lastStatements(ctx context.Context, ids []uint64, out map[uint64]string) error {
	connections := make(map[uint64]uint64) // by thread
	var threads []uint64
	query := "SELECT THREAD_ID, PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID IN (" + listOf(ids) + ")"
	err := l.each(ctx, query, func(rows *sql.Rows) error {
		var thread, id uint64
		err := rows.Scan(&thread, &id)
		if err == nil && len(threads) < maxStatementIDs {
			connections[thread] = id
			threads = append(threads, thread)
		}
		return err
	})
	if err != nil || len(threads) == 0 {
		return err
	}
	query = fmt.Sprintf("SELECT THREAD_ID, LEFT(DIGEST_TEXT, %d) FROM performance_schema.events_statements_current WHERE THREAD_ID IN (%s)", maxDigest, listOf(threads))
	return l.each(ctx, query, func(rows *sql.Rows) error {
		var thread uint64
		var digest sql.NullString
		if err := rows.Scan(&thread, &digest); err != nil {
			return err
		}
		// A statement inside a stored program has a row of its own, after the
		// one that called it.
		id, ok := connections[thread]
		if _, known := out[id]; ok && !known && digest.String != "" {
			out[id] = bounded(digest.String)
		}
		return nil
	})
}

// bounded trusts no server to have cut what it was told to.
func bounded(s string) string {
	r := []rune(strings.TrimSpace(s))
	return string(r[:min(len(r), maxDigest)])
}

// listOf writes at most 100 numbers for an IN.
func listOf(ids []uint64) string {
	var b []byte
	for i, id := range ids[:min(len(ids), maxStatementIDs)] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, id, 10)
	}
	return string(b)
}
