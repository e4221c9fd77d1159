package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killlongqueries"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// longRunner is a running statement with a channel for its end.
type longRunner struct {
	conn  *sql.Conn
	ended chan error
}

func runLong(t *testing.T, s *mariadb.Server, user string, prepared bool, statement string) longRunner {
	t.Helper()
	db, err := s.OpenTCP(user, user)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := longRunner{conn, make(chan error, 1)}
	go func() {
		arguments := []any{}
		if prepared {
			arguments = append(arguments, 600)
		}
		rows, err := conn.QueryContext(ctx, statement, arguments...)
		if err == nil {
			for rows.Next() { // as an app reads
			}
			err = rows.Err()
			_ = rows.Close()
		}
		r.ended <- err
	}()
	t.Cleanup(func() { cancel(); _ = conn.Close(); _ = db.Close() })
	return r
}

func TestKillLongQueries(t *testing.T) {
	t.Parallel()
	s, server := healingServer(t)
	allow(t, s)
	plain := []longRunner{
		runLong(t, s, "shop", false, "SELECT SLEEP(600)"),
		runLong(t, s, "shop", false, "/* trace=1 */ (SELECT SLEEP(600), 'hunter2')"),
		runLong(t, s, "shop", true, "SELECT SLEEP(?)"),
	}
	left := []longRunner{
		runLong(t, s, "shop", false, "SELECT id, SLEEP(600) FROM shop.orders WHERE id = 1 FOR UPDATE"),
		runLong(t, s, "shop", false, "SELECT SLEEP(600) INTO @a"),
		runLong(t, s, "shop", false, "SELECT /*!50000 SLEEP(600) */"),
		runLong(t, s, "shop", false, "UPDATE shop.orders SET paid = SLEEP(600) WHERE id = 2"),
		runLong(t, s, "report", false, "SELECT SLEEP(600)"),
	}
	settings := config.KillLong{MySQL: "main", Users: []string{"shop"}, MinTime: 2 * time.Second, MaxVictims: 2, Procedure: "resp_heal.kill_query"}
	deps := killlongqueries.Deps{Database: func(string) dbconn.Database { return dbconn.MySQL(server) }}
	run := func(k *killlongqueries.Action, total int, measure float64) {
		t.Helper()
		var p action.Plan
		eventually(t, 20*time.Second, func() (err error) {
			p, err = k.Plan(t.Context(), action.PlanRequest{})
			return all(err, wants("found", p.Measure, measure), wants("planned", p.Total, total))
		})
		if done, err := k.Apply(t.Context(), p); done != total || err != nil {
			t.Fatalf("done %d, %v", done, err)
		}
		verified(t, k, p)
	}
	run(killlongqueries.New(deps, settings), 2, 3)
	// The last one without the procedure, by a user that may end anything.
	execute(t, s, "CREATE USER 'healer'@'127.0.0.1' IDENTIFIED BY 'healer'; GRANT PROCESS, CONNECTION ADMIN ON *.* TO 'healer'@'127.0.0.1'")
	strong := watched(t, s, "healer", "healer")
	settings.Procedure = ""
	run(killlongqueries.New(killlongqueries.Deps{Database: func(string) dbconn.Database { return dbconn.MySQL(strong) }}, settings), 1, 1)
	for i, r := range plain {
		var answer *mysqldriver.MySQLError
		select {
		case err := <-r.ended:
			if !errors.As(err, &answer) || answer.Number != 1317 {
				t.Errorf("plain %d ended with %v", i, err)
			}
		case <-time.After(scaled(20 * time.Second)):
			t.Fatalf("plain %d did not end", i)
		}
		if err := r.conn.PingContext(t.Context()); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	for i, r := range left {
		select {
		case err := <-r.ended:
			t.Errorf("statement %d that was to be left alone ended: %v", i, err)
		default:
		}
	}
	for user, want := range map[*mysql.Server]string{server: "", strong: "CONNECTION ADMIN"} {
		if got, err := user.ExcessPrivileges(t.Context()); err != nil || strings.Join(got, ",") != want {
			t.Errorf("excess is %v, %v", got, err)
		}
	}
}
