package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// healingServer starts a database with the procedures of the shipped file and with users
// that are not the app's. It returns the exporter's client of it too.
func healingServer(t *testing.T, args ...string) (*mariadb.Server, *mysql.Server) {
	t.Helper()
	s := database(t, append([]string{"--max-connections=400", "--event-scheduler=ON"}, args...)...)
	healProcedures(t, s)
	execute(t, s, "CREATE USER 'report'@'%' IDENTIFIED BY 'report'; GRANT SELECT, UPDATE ON shop.* TO 'report'@'%'")
	return s, watched(t, s, "resp", word)
}

// healProcedures creates the procedures of the shipped file in a database.
func healProcedures(t *testing.T, s *mariadb.Server) {
	t.Helper()
	need(t, "mariadb")
	file, err := os.Open("../deploy/sql/mariadb-heal.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	load := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "-u", "root", "-S", s.Socket)
	load.Stdin = file
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("deploy/sql/mariadb-heal.sql: %v\n%s", err, out)
	}
}

// watched returns the exporter's client of a server, with one of its users.
func watched(t *testing.T, s *mariadb.Server, user, password string) *mysql.Server {
	server := mysql.Open(mysql.Options{Name: "main", DSN: config.Secret(fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/", user, password, s.Port))})
	t.Cleanup(server.Close)
	return server
}

func allow(t *testing.T, s *mariadb.Server) {
	t.Helper()
	execute(t, s, "INSERT INTO resp_heal.allowed VALUES ('shop')")
}

func killLeaked(server *mysql.Server, settings config.KillLeaked) *killleakedconnections.Action {
	// Who holds the connections is not looked for: they are this test's own.
	settings.App, settings.Clients = "shop", config.ClientsUser
	return killleakedconnections.New(killleakedconnections.Deps{
		Apps: func() []config.App {
			return []config.App{{Name: "shop", Pools: []config.Pool{{Name: "main", MySQL: "main", User: "shop", LeakAfter: time.Minute}}}}
		},
		Database: func(string) dbconn.Database { return dbconn.MySQL(server) },
	}, settings)
}

// crowd opens n connections of a user, each of which has done these statements.
func crowd(t *testing.T, s *mariadb.Server, user string, n int, statements ...string) (ids []uint64) {
	t.Helper()
	db, err := s.OpenTCP(user, user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for range n {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		do(t, conn, statements...)
		ids = append(ids, connectionID(t, conn))
	}
	return ids
}

// unchanged waits until connections have been in their present state for d.
func unchanged(t *testing.T, s *mariadb.Server, d time.Duration, ids ...uint64) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	eventually(t, 10*d, func() error {
		for _, id := range ids {
			var ms float64
			if err := db.QueryRowContext(t.Context(), "SELECT TIME_MS FROM information_schema.processlist WHERE ID = ?", id).Scan(&ms); err != nil {
				return fmt.Errorf("connection %d: %w", id, err)
			}
			if ms <= float64(d.Milliseconds()) {
				return fmt.Errorf("connection %d has been in its state for %.0f ms only", id, ms)
			}
		}
		return nil
	})
}

// present lists the connections of a server by id, without those of the test and of root.
func present(t *testing.T, s *mariadb.Server) (ids []uint64) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT ID FROM information_schema.processlist WHERE USER NOT IN ('resp', 'root') ORDER BY ID")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func victimIDs(p action.Plan) (ids []uint64) {
	for _, v := range p.Victims {
		id, _ := strconv.ParseUint(v.ID, 10, 64)
		ids = append(ids, id)
	}
	return ids
}

// without returns the sorted numbers of a that are not in b.
func without(a, b []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(a), func(id uint64) bool { return slices.Contains(b, id) })
}

// verified calls Verify until it is verified, as the runner does.
func verified(t *testing.T, a action.Action, p action.Plan) (seen []action.Outcome) {
	t.Helper()
	p.Private = nil // as after a crash
	eventually(t, 60*time.Second, func() error {
		o, err := a.Verify(t.Context(), p)
		if err == nil {
			seen = append(seen, o)
		}
		if o != action.Verified || err != nil {
			return fmt.Errorf("%s, %w", o, err)
		}
		return nil
	})
	return seen
}

// TestKillLeakedOfTwoHundred checks that exactly the planned connections of two hundred
// are ended, by a user without the right to end one directly.
func TestKillLeakedOfTwoHundred(t *testing.T) {
	t.Parallel()
	s, server := healingServer(t)
	transaction := []string{"START TRANSACTION", "SELECT * FROM shop.orders"}
	leaked := crowd(t, s, "shop", 60, transaction...)
	crowd(t, s, "shop", 80, "SELECT 1")
	crowd(t, s, "report", 40, transaction...)
	for range 20 {
		background(t, client(t, s), "DO SLEEP(600)")
	}
	if _, err := server.Ping(t.Context()); err != nil { // the connection of scrapes is there, too
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error { return wants("connections", len(present(t, s)), 201) }) // and the event scheduler
	before := present(t, s)
	settings := config.KillLeaked{MinIdle: 2 * time.Second, MaxVictims: 25, MaxFraction: 0.5, MaxTrxRows: 10}
	direct := killLeaked(server, settings)
	var p action.Plan
	eventually(t, 20*time.Second, func() (err error) {
		p, err = direct.Plan(t.Context(), action.PlanRequest{})
		return all(err, wants("leaked", p.Measure, 60))
	})
	var fault *mysql.Error
	if done, err := direct.Apply(t.Context(), p); done != 0 || !errors.As(err, &fault) || fault.Need != "CONNECTION ADMIN" {
		t.Errorf("KILL without the right for it: %d, %v", done, err)
	}
	settings.Procedure = "resp_heal.kill_idle"
	k := killLeaked(server, settings)
	if p, err := k.Plan(t.Context(), action.PlanRequest{}); err != nil || p.Total != 25 {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	if done, err := k.Apply(t.Context(), p); done != 0 || err != nil {
		t.Errorf("the procedure ended %d connections of a user that is not allowed, %v", done, err)
	}
	if gone := without(before, present(t, s)); len(gone) > 0 {
		t.Fatalf("gone are %v", gone)
	}
	allow(t, s)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil || len(p.Victims) != 25 || len(without(victimIDs(p), leaked)) > 0 {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	if done, err := k.Apply(t.Context(), p); done != 25 || err != nil {
		t.Errorf("done %d, %v", done, err)
	}
	verified(t, k, p)
	planned := victimIDs(p)
	slices.Sort(planned)
	if gone := without(before, present(t, s)); !slices.Equal(gone, planned) {
		t.Errorf("planned were %v, gone are %v", planned, gone)
	}
	eventually(t, 20*time.Second, func() error { // the server ends what was closed a little later
		if n := sessionsOf(t, s); n > 1 {
			return fmt.Errorf("%d connections of the exporter's user are left", n)
		}
		return nil
	})
}

// sessionsOf counts the connections of the exporter's user.
func sessionsOf(t *testing.T, s *mariadb.Server) (n int) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = 'resp'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHealProceduresRefuse checks that the procedures refuse calls that the exporter never
// makes.
func TestHealProceduresRefuse(t *testing.T) {
	t.Parallel()
	s, _ := healingServer(t)
	allow(t, s)
	idle, foreign := crowd(t, s, "shop", 1, "SELECT 1")[0], crowd(t, s, "report", 1, "START TRANSACTION", "SELECT * FROM shop.orders")[0]
	changed := crowd(t, s, "shop", 1, "START TRANSACTION", "UPDATE shop.orders SET paid = 9 WHERE id = 2")[0]
	db, err := s.OpenTCP("resp", word)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	call := func(procedure, arguments string) (n int) {
		if _, err := db.Exec("CALL resp_heal." + procedure + "(" + arguments + ", @n)"); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT @n").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	query := func(id uint64) (n uint64) {
		if err := db.QueryRow("SELECT QUERY_ID FROM information_schema.processlist WHERE ID = ?", id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	unchanged(t, s, time.Second, idle, foreign, changed)
	before := present(t, s)
	kill := func(id uint64) int { return call("kill_idle", fmt.Sprintf("%d, %d, 0, 100", id, query(id))) }
	for name, id := range map[string]uint64{"idle": idle, "foreign": foreign} {
		if n := kill(id); n != 0 {
			t.Errorf("%s: ended", name)
		}
	}
	youngLives(t, s, kill)
	for name, arguments := range map[string]string{
		"too many rows": fmt.Sprintf("%d, %d, 0, 0", changed, query(changed)), "another statement": fmt.Sprintf("%d, %d, 0, 100", changed, query(changed)-1),
		"too young": fmt.Sprintf("%d, %d, 600000, 100", changed, query(changed)), "the event scheduler": "1, 0, 0, 100", "itself": "CONNECTION_ID(), 0, 0, 100", "nobody": "999999, 1, 0, 100",
	} {
		if n := call("kill_idle", arguments); n != 0 {
			t.Errorf("%s: ended", name)
		}
	}
	if gone := without(before, present(t, s)); len(gone) > 0 {
		t.Errorf("gone are %v", gone)
	}
	if n := call("kill_idle", fmt.Sprintf("%d, %d, 0, 1", changed, query(changed))); n != 1 {
		t.Error("a leaked connection was not ended")
	}
	if _, err := db.Exec("SELECT * FROM resp_heal.allowed"); err == nil {
		t.Error("the exporter's user may read the table")
	}
	if locked, err := s.Open("resp_heal", ""); err != nil || locked.Ping() == nil {
		t.Error("the account of the procedures can log in")
	}
}

// youngLives checks that a transaction that has been idle for less than a second is not
// ended. A busy machine may need longer for the call alone: then it is tried again.
func youngLives(t *testing.T, s *mariadb.Server, kill func(id uint64) int) {
	eventually(t, 20*time.Second, func() error {
		young, began := client(t, s), time.Now()
		id := connectionID(t, young)
		do(t, young, "START TRANSACTION", "SELECT * FROM shop.orders")
		if n := kill(id); n == 0 || time.Since(began) > time.Second {
			return wants("connections that are ended", n, 0)
		}
		t.Fatal("young: ended")
		return nil
	})
}

// TestKillLeakedAfterRestart checks that no connection is ended after a restart of the
// server: the planned ids belong to other connections.
func TestKillLeakedAfterRestart(t *testing.T) {
	t.Parallel()
	s, server := healingServer(t)
	allow(t, s)
	statements := []string{"START TRANSACTION", "SELECT * FROM shop.orders"}
	crowd(t, s, "shop", 30, statements...)
	k := killLeaked(server, config.KillLeaked{MinIdle: time.Second, MaxVictims: 30, MaxFraction: 1, MaxTrxRows: 10, Procedure: "resp_heal.kill_idle"})
	var p action.Plan
	plan := func() (err error) {
		p, err = k.Plan(t.Context(), action.PlanRequest{})
		return all(err, wants("leaked", p.Measure, 30))
	}
	eventually(t, 20*time.Second, plan)
	s.Kill()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := crowd(t, s, "shop", 45, statements...)
	if len(without(victimIDs(p), again)) == 30 {
		t.Fatalf("no number is used again: %v, %v", victimIDs(p), again)
	}
	unchanged(t, s, time.Second, again...) // so that they could be taken for leaked ones
	if done, err := k.Apply(t.Context(), p); done != 0 || err == nil {
		t.Errorf("done %d, %v", done, err)
	}
	if gone := without(again, present(t, s)); len(gone) > 0 {
		t.Errorf("gone are %v", gone)
	}
	p.Private = nil
	if o, err := k.Verify(t.Context(), p); o != action.Unchanged || err != nil { // 45 leak now
		t.Errorf("%s, %v", o, err)
	}
}

// TestKillLeakedRollback checks that a transaction with many changes is refused, and that
// the rollback of an ended one counts as progress.
func TestKillLeakedRollback(t *testing.T) {
	t.Parallel()
	s, server := healingServer(t, "--innodb-log-file-size=256M")
	allow(t, s)
	execute(t, s, "CREATE TABLE shop.big (id INT PRIMARY KEY, n INT); INSERT INTO shop.big SELECT seq, 0 FROM shop.seq_1_to_300000")
	crowd(t, s, "shop", 1, "START TRANSACTION", "UPDATE shop.big SET n = 1")
	settings := config.KillLeaked{MinIdle: time.Second, MaxVictims: 5, MaxFraction: 1, MaxTrxRows: 10_000, Procedure: "resp_heal.kill_idle"}
	var p action.Plan
	capped := killLeaked(server, settings)
	eventually(t, 20*time.Second, func() (err error) {
		p, err = capped.Plan(t.Context(), action.PlanRequest{})
		return all(err, wants("leaked", p.Measure, 1))
	})
	if p.Refused.Code != action.CodeTooManyRows || p.Total != 0 {
		t.Errorf("plan: %+v", p)
	}
	settings.MaxTrxRows = 1_000_000
	k := killLeaked(server, settings)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 1 {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	if done, err := k.Apply(t.Context(), p); done != 1 || err != nil {
		t.Fatalf("done %d, %v", done, err)
	}
	if o, err := k.Verify(t.Context(), p); o != action.InProgress || err != nil { // first: the rollback does not wait for this test
		t.Errorf("the first look gave %s, %v", o, err)
	}
	if again, err := k.Plan(t.Context(), action.PlanRequest{}); err != nil || again.Total != 0 {
		t.Errorf("what rolls back is in a plan: %+v, %v", again, err)
	}
	verified(t, k, p)
}

// TestHealDocs compares the statements of the documentation with those of the tests.
func TestHealDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/actions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"INSERT INTO resp_heal.allowed VALUES ('shop')", "mariadb < /usr/share/resp-exporter/sql/mariadb-heal.sql", purgeRights, removeRights} {
		if !bytes.Contains(page, []byte(s)) {
			t.Errorf("docs/actions.md does not have %q", s)
		}
	}
}
