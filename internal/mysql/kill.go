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

// Statement returns the text of the statement that a connection runs now, for judging and
// nothing else: it holds values. whole is false and the text "" when there is none, one
// of 60,000 characters or more, or in MariaDB another one than c's; MySQL does not number
// them.
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

// Kill has the server end a connection: KILL CONNECTION. It needs CONNECTION ADMIN or
// SUPER, see [Session.CallKillIdle] for a way without. done: the server has accepted it;
// false if the connection was gone already. The session's own is an error. The caller has
// just read what c is.
func (v *Session) Kill(ctx context.Context, c Connection) (done bool, err error) {
	if c.ID == v.l.id {
		return false, &Error{Reason: reason.Failed, Text: "the exporter's own connection is not ended"}
	}
	return v.exec(ctx, fmt.Sprintf("KILL CONNECTION %d", c.ID))
}

// KillQuery ends the statement that a connection runs. done is false if it was over
// already; in MySQL only if the connection is gone. MariaDB gets the number of the
// statement and ends no other one; MySQL knows connections only, and would end the next
// statement if c's had just ended. The session's own connection is an error.
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

// CallKillIdle calls the procedure kill_idle of deploy/sql, named "schema.name", which ends
// a connection that is asleep in a transaction. It needs only EXECUTE on it, no right to
// kill. done is false if the procedure refused, or the connection had ended before.
func (v *Session) CallKillIdle(ctx context.Context, procedure string, c Connection, minIdle time.Duration, maxRows int) (done bool, err error) {
	return v.call(ctx, procedure, fmt.Sprintf("%d, %d, %d, %d", c.ID, c.Query, max(minIdle.Milliseconds(), 0), max(maxRows, 0)))
}

// CallKillQuery calls the procedure kill_query of deploy/sql, which ends a statement. done
// is false if the procedure refused, or the statement had ended before.
func (v *Session) CallKillQuery(ctx context.Context, procedure string, c Connection, minTime time.Duration) (done bool, err error) {
	return v.call(ctx, procedure, fmt.Sprintf("%d, %d, %d", c.ID, c.Query, max(minTime.Milliseconds(), 0)))
}

// call calls a procedure whose last argument says whether it did something, and returns
// that; false also if the connection or statement had ended before. errProcedure: its
// name has another form.
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

// exec runs a KILL, or a CALL that kills. done: the server did it without an error, which for a
// CALL, or KILL QUERY in MySQL, need not have ended anything; false without an error: the server
// says that there is no such connection or statement.
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

// CanExecute reports whether information_schema.ROUTINES shows a procedure, "schema.name",
// to the login: one that does not exist, or on which the login has no right, is not in it.
// A name of another form is an error.
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

// ExcessPrivileges returns those rights of the login on the whole server that
// [ParseExcessPrivileges] knows, by SHOW GRANTS: they end any connection, or let it run
// statements as others. It is empty if the login has none; the procedures of deploy/sql
// need none.
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

// ParseExcessPrivileges returns the rights on the whole server (*.*) in lines of SHOW
// GRANTS that are too strong for an exporter, each once, in alphabetical order: "ALL
// PRIVILEGES", "CONNECTION ADMIN", "CONNECTION_ADMIN" and "SUPER".
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
