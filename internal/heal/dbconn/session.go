// Package dbconn has what the actions on a MySQL or MariaDB server share: a
// session on the server, and the holders of the client's ends of its connections.
package dbconn

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// MaxVictims bounds the victims of one run on a database, so that each is in
// [action.Plan.Victims], from which an interrupted run is verified.
const MaxVictims = 100

// VictimPause is between two victims: what waited for the one before may continue, and a
// mistake does less harm.
const VictimPause = 50 * time.Millisecond

// Database is a MySQL or MariaDB server on which something may be ended.
type Database interface {
	// Session opens a connection for one action. The caller closes it.
	Session(ctx context.Context) (Session, error)
}

// Session is one connection to a [Database]; [mysql.Session] documents its methods.
type Session interface {
	Server() string
	User() string
	Version() mysql.Version
	Connections(ctx context.Context) ([]mysql.Connection, error)
	Connection(ctx context.Context, id uint64) (mysql.Connection, bool, error)
	Statement(ctx context.Context, c mysql.Connection) (string, bool, error)
	Waits(ctx context.Context) ([]mysql.ConnectionWait, error)
	Kill(ctx context.Context, c mysql.Connection) (bool, error)
	KillQuery(ctx context.Context, c mysql.Connection) (bool, error)
	CallKillIdle(ctx context.Context, procedure string, c mysql.Connection, minIdle time.Duration, maxRows int) (bool, error)
	CallKillQuery(ctx context.Context, procedure string, c mysql.Connection, minTime time.Duration) (bool, error)
	Close()
}

// MySQL returns a server of the configuration as a [Database].
func MySQL(s *mysql.Server) Database { return database{s} }

type database struct{ server *mysql.Server }

// Session implements [Database]: a session on the server, which the caller closes.
func (d database) Session(ctx context.Context) (Session, error) {
	s, err := d.server.Session(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	return s, nil
}

// IsProtected reports whether a user is "" or a name that the server shows for its own threads or for
// a login in progress (system user, event_scheduler, unauthenticated user), in whatever case. No
// list of users in the configuration may name one.
func IsProtected(user string) bool {
	switch strings.ToLower(strings.TrimSpace(user)) {
	case "", "system user", "event_scheduler", "unauthenticated user":
		return true
	}
	return false
}

// CheckUsers returns why a list of users must not be used to end anything: it is empty, or has
// a user of the server's own threads, a wildcard or own, the exporter's user ("": not known
// yet). zero: it may be used.
func CheckUsers(users []string, own string) action.Refusal {
	for _, u := range users {
		switch {
		case IsProtected(u):
			return action.Refuse(action.CodeUserOfServer, "users contains a user of the server's own threads")
		case strings.ContainsAny(u, "%*"):
			return action.Refuse(action.CodeUserPattern, "users must be exact names without wildcards")
		case own != "" && u == own:
			return action.Refuse(action.CodeUserOwn, "users contains the exporter's own user: give the exporter a separate user")
		}
	}
	if len(users) == 0 {
		return action.Refuse(action.CodeNoUsers, "users is empty: name the users whose connections may be ended")
	}
	return action.Refusal{}
}

// ShareOf returns a fraction of n, rounded down, at most n; 0 for a fraction or an n that
// is not above 0.
func ShareOf(fraction float64, n int) int {
	if !(fraction > 0) || n <= 0 {
		return 0
	}
	return int(math.Floor(min(fraction, 1)*float64(n) + 1e-9))
}

// SortOldestFirst sorts connections in place by the time in their present state, the
// longest first.
func SortOldestFirst(list []mysql.Connection) {
	slices.SortFunc(list, func(a, b mysql.Connection) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.ID, b.ID))
	})
}

// IsRollingBack reports whether a connection was ended and is still listed, or rolls back
// its changes.
func IsRollingBack(c mysql.Connection) bool {
	return c.Command == "Killed" || c.TrxState == "ROLLING BACK" || strings.HasPrefix(c.State, "Rollback")
}

// SameStatement reports whether two readings have one connection id, user, host and number
// of the last statement, and the time of the second is not shorter. Only MariaDB numbers
// its statements: in MySQL a new one that lasts as long is not noticed.
func SameStatement(before, now mysql.Connection) bool {
	return before.ID == now.ID && before.User == now.User && before.Host == now.Host &&
		before.Query == now.Query && now.Time >= before.Time
}
