package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The answers that mean that there was nothing left to end.
const (
	noSuchThread = 1094
	noSuchQuery  = 1957
)

// maxStatement bounds the text of one statement, in characters. A longer one
// cannot be judged by its beginning.
const maxStatement = 60_000

// errProcedure is about a name that is put into a statement.
var errProcedure = &Error{Reason: reason.Unsupported, Text: "the procedure must be named schema.name, of letters, digits, _ and $"}

// procedureForm is the form of each half of schema.name.
var procedureForm = regexp.MustCompile(`^[A-Za-z0-9_$]+$`)

// Statement returns the text of the statement that a connection runs now, for
// judging and nothing else: it holds values. whole is false when there is none,
// another one than c's, or a very long one.
func (v *Session) Statement(ctx context.Context, c Connection) (text string, whole bool, err error) {
	query := fmt.Sprintf("SELECT LEFT(INFO, %d), CHAR_LENGTH(INFO) FROM information_schema.processlist WHERE ID = %d", maxStatement, c.ID)
	if v.l.version.MariaDB {
		query += fmt.Sprintf(" AND QUERY_ID = %d", c.Query)
	}
	err = v.read(ctx, query, func(rows *sql.Rows) error {
		var s sql.NullString
		var n sql.NullInt64
		if err := rows.Scan(&s, &n); err != nil {
			return err
		}
		text, whole = s.String, s.Valid && n.Int64 < maxStatement
		return nil
	})
	if err != nil || !whole {
		return "", false, err
	}
	return text, true, nil
}

// Kill ends a connection: KILL CONNECTION. It needs CONNECTION ADMIN or SUPER,
// see [Session.CallKillIdle] for a way without. done is false when the
// connection was gone already. What c is must have been looked at a moment ago.
func (v *Session) Kill(ctx context.Context, c Connection) (done bool, err error) {
	if c.ID == v.l.id {
		return false, &Error{Reason: reason.Failed, Text: "the exporter's own connection is not ended"}
	}
	return v.exec(ctx, fmt.Sprintf("KILL CONNECTION %d", c.ID))
}

// KillQuery ends the statement that a connection runs. MariaDB is told the
// number of the statement and ends no other one; MySQL knows connections only,
// and would end the next statement if c's had just ended.
func (v *Session) KillQuery(ctx context.Context, c Connection) (done bool, err error) {
	switch {
	case c.ID == v.l.id:
		return false, &Error{Reason: reason.Failed, Text: "the exporter's own statement is not ended"}
	case v.l.version.MariaDB && c.Query == 0:
		return false, nil
	case v.l.version.MariaDB:
		return v.exec(ctx, fmt.Sprintf("KILL QUERY ID %d", c.Query))
	default:
		return v.exec(ctx, fmt.Sprintf("KILL QUERY %d", c.ID))
	}
}

// CallKillIdle has the procedure kill_idle of deploy/sql, named "schema.name",
// end a connection that is asleep in a transaction. It needs EXECUTE on it, and
// nothing that kills. done is false when the procedure did not agree.
func (v *Session) CallKillIdle(ctx context.Context, procedure string, c Connection, minIdle time.Duration, maxRows int) (done bool, err error) {
	return v.call(ctx, procedure, fmt.Sprintf("%d, %d, %d, %d", c.ID, c.Query, max(minIdle.Milliseconds(), 0), max(maxRows, 0)))
}

// CallKillQuery has the procedure kill_query of deploy/sql end a statement.
func (v *Session) CallKillQuery(ctx context.Context, procedure string, c Connection, minTime time.Duration) (done bool, err error) {
	return v.call(ctx, procedure, fmt.Sprintf("%d, %d, %d", c.ID, c.Query, max(minTime.Milliseconds(), 0)))
}

// call calls a procedure whose last argument reports whether it did something.
func (v *Session) call(ctx context.Context, procedure, arguments string) (bool, error) {
	schema, name, _ := strings.Cut(procedure, ".")
	if !text.Matches(procedureForm, schema, 64) || !text.Matches(procedureForm, name, 64) {
		return false, errProcedure
	}
	called, err := v.exec(ctx, fmt.Sprintf("CALL `%s`.`%s`(%s, @resp_done)", schema, name, arguments))
	if err != nil || !called {
		return false, err
	}
	var n sql.NullInt64
	err = v.read(ctx, "SELECT @resp_done", func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n.Int64 == 1, err
}

// exec runs a statement; done is false when what it should end had ended.
func (v *Session) exec(ctx context.Context, statement string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	err = v.l.exec(ctx, statement)
	var answer *mysqldriver.MySQLError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &answer) && (answer.Number == noSuchThread || answer.Number == noSuchQuery):
		return false, nil
	default:
		return false, classify(err)
	}
}

// CanExecute reports whether the login may call a procedure, "schema.name": those that
// it may not call are not in its information_schema.ROUTINES.
func (s *Server) CanExecute(ctx context.Context, procedure string) (bool, error) {
	schema, name, _ := strings.Cut(procedure, ".")
	if !text.Matches(procedureForm, schema, 64) || !text.Matches(procedureForm, name, 64) {
		return false, errProcedure
	}
	n := 0
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		query := fmt.Sprintf("SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA = '%s' AND ROUTINE_NAME = '%s'", schema, name)
		return l.each(ctx, query, func(rows *sql.Rows) error { return rows.Scan(&n) })
	})
	return n > 0, err
}

// ExcessPrivileges returns those rights of the login that end any connection of the server,
// and let it set variables with which it could run statements as others:
// SHOW GRANTS. The procedures of deploy/sql need none of them.
func (s *Server) ExcessPrivileges(ctx context.Context) ([]string, error) {
	var grants []string
	err := s.use(ctx, statementLimit, func(ctx context.Context, l *link) error {
		return l.each(ctx, "SHOW GRANTS", func(rows *sql.Rows) error {
			var line string // with the password's hash in it: it goes nowhere
			err := rows.Scan(&line)
			grants = append(grants, line)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return ParseExcessPrivileges(grants), nil
}

// ParseExcessPrivileges finds in lines of SHOW GRANTS the rights that are too strong for an
// exporter, in alphabetical order: "ALL PRIVILEGES", "CONNECTION ADMIN",
// "CONNECTION_ADMIN" and "SUPER".
func ParseExcessPrivileges(grants []string) []string {
	tooStrong := []string{"ALL PRIVILEGES", "CONNECTION ADMIN", "CONNECTION_ADMIN", "SUPER"}
	var out []string
	for _, line := range grants {
		rights, ok := strings.CutPrefix(strings.ToUpper(line), "GRANT ")
		rights, _, global := strings.Cut(rights, " ON *.* TO ")
		if !ok || !global {
			continue
		}
		for right := range strings.SplitSeq(rights, ",") {
			if right = strings.TrimSpace(right); slices.Contains(tooStrong, right) && !slices.Contains(out, right) {
				out = append(out, right)
			}
		}
	}
	slices.Sort(out)
	return out
}
