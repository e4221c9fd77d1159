package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// Names of a database, a table and a user with all that a name may have in MariaDB, up to
// its 64 characters, and a value that must be seen nowhere.
const (
	oddDatabase = "d`\"'<q7>\n\u202e\u2702"
	oddUser     = "u, or end connection 1 (KILL 1)`\"'<q8>\n\x1b[2J\u202e"
	oddValue    = "hunter3hunter3"
)

func oddTable() string {
	t := "t`\"'\\ ,%s}}{{\r\n) KILL 1"
	return t + strings.Repeat("x", 64-len(t))
}

// quoted returns a name in backticks.
func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// oddStatements run for minutes. Their comments and values look like other statements.
func oddStatements() []string {
	return []string{
		"/* KILL 5 " + oddValue + " */ SELECT SLEEP(600)",
		"SELECT SLEEP(600) -- ; KILL 6 " + oddValue,
		"# KILL QUERY 7\nSELECT SLEEP(600)",
		"SELECT /*! SLEEP(600), */ SLEEP(600), '" + oddValue + "'",
		"SELECT SLEEP(600), '" + strings.Repeat(oddValue+" KILL 8 ", 1<<20/22) + "'",
		"SELECT SLEEP(600), '\xff\xfe\xc3" + oddValue + "\x00\x1b[2J'",
		"SELECT SLEEP(600), '' '' 'it''s \\' KILL 9 " + oddValue + "' FROM " + quoted(oddDatabase) + "." + quoted(oddTable()),
		"SELECT SLEEP(600) AS `KILL 10`, 0x" + strings.Repeat("41", 5000),
	}
}

// loggedIn opens a connection of a user whose name may be odd.
func loggedIn(t *testing.T, s *mariadb.Server, user, password string) *sql.Conn {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = user, password, "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return conn
}

// rootDo executes one statement as the administrator, whatever is in it.
func rootDo(t *testing.T, s *mariadb.Server, statement string) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}

// waited waits until a connection has been in its state for so many seconds.
func waited(t *testing.T, s *mariadb.Server, id uint64, seconds int) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	eventually(t, 10*time.Second, func() error {
		var passed int
		if err := db.QueryRowContext(t.Context(), "SELECT TIME FROM information_schema.processlist WHERE ID = ?", id).Scan(&passed); err != nil {
			return err
		}
		return wants("long enough in its state", passed >= seconds, true)
	})
}

// advisedKill matches the id of a connection that a text advises to end.
var advisedKill = regexp.MustCompile(`KILL (?:QUERY |CONNECTION )?(\d+)`)

// clean reports what a text has that must not be shown.
func clean(where, text string, ids []uint64) (faults []error) {
	if !utf8.ValidString(text) {
		faults = append(faults, fmt.Errorf("%s: not UTF-8", where))
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\u202e' }); i >= 0 {
		faults = append(faults, fmt.Errorf("%s: %q", where, text[max(0, i-40):min(len(text), i+40)]))
	}
	for _, bad := range []string{oddValue, word, "<q7>", "<q8>"} { // in the page and its parts tags are escaped
		if strings.Contains(text, bad) && (!strings.HasPrefix(bad, "<") || where == "/" || where == "/api/v1/page") {
			faults = append(faults, fmt.Errorf("%s has %q", where, bad))
		}
	}
	const forged = "or end connection 1 (KILL 1)"
	for line := range strings.Lines(text) {
		if strings.Contains(line, forged) && !strings.HasPrefix(line, "u, "+forged) && !strings.Contains(line, "\"u, "+forged) && !strings.Contains(line, "&#34;u, "+forged) {
			faults = append(faults, fmt.Errorf("%s has a name that reads like advice: %.300q", where, line))
		}
	}
	text = strings.ReplaceAll(text, forged, "")
	for _, m := range advisedKill.FindAllStringSubmatch(text, -1) {
		id, _ := strconv.ParseUint(m[1], 10, 64)
		if !slices.Contains(ids, id) {
			faults = append(faults, fmt.Errorf("%s advises %q, and the connections are %v", where, m[0], ids))
		}
	}
	return faults
}

// TestAttackStatements checks that names and statements of a database that are made to
// look like something else are shown cleaned or not at all: on the page, in JSON, in
// metrics, in advice, in the log and in the journal.
func TestAttackStatements(t *testing.T) {
	t.Parallel()
	s := database(t, "--innodb-lock-wait-timeout=600", "--max-allowed-packet=8M")
	healProcedures(t, s)
	allow(t, s)
	table := quoted(oddDatabase) + "." + quoted(oddTable())
	for _, statement := range []string{
		"CREATE DATABASE " + quoted(oddDatabase), "CREATE TABLE " + table + " (id INT PRIMARY KEY, paid INT)", "INSERT INTO " + table + " VALUES (1, 0), (2, 0)",
		"CREATE USER " + quoted(oddUser) + "@'%' IDENTIFIED BY 'odd'", "GRANT ALL ON *.* TO " + quoted(oddUser) + "@'%'", "GRANT ALL ON " + quoted(oddDatabase) + ".* TO shop@'%'",
		"DROP TABLE shop.orders", "CREATE VIEW shop.orders AS SELECT * FROM " + table,
	} {
		rootDo(t, s, statement)
	}
	shop := holder(t, 2, address(s), launch{})
	h := healer(t, "monitoring_interval: 1s\n"+mysqlSection(t, "main", s)+joined("apps:",
		fmt.Sprintf("  - {name: shop, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop}]}", shop.name+":app")),
		"    - name: query", "      match: {alertname: Slow}", "      cooldown: 60s", "      steps:", "        - action: kill_long_queries",
		"          with: {mysql: main, users: [shop], min_time: 1s, max_victims: 50, procedure: resp_heal.kill_query}", "          verify_within: 20s",
		"    - name: blocking", "      match: {alertname: Blocked}", "      cooldown: 60s", "      steps:", "        - action: kill_blocking_transaction",
		"          with: {min_idle: 2s, min_blocked: 1, max_victims: 5, max_trx_rows: 100, procedure: resp_heal.kill_idle}", "          verify_within: 20s")
	odd := loggedIn(t, s, oddUser, "odd")
	blocker := connectionID(t, odd)
	do(t, odd, "USE "+quoted(oddDatabase), "START TRANSACTION", "UPDATE "+quoted(oddTable())+" SET paid = 1 WHERE id = 1")
	shop.behind("/pay?row=1")
	shop.behind("/pay?row=1")
	for i, statement := range oddStatements() {
		c := loggedIn(t, s, "shop", "shop")
		if i == 5 {
			do(t, c, "SET NAMES binary")
		}
		background(t, c, statement)
	}
	eventually(t, 60*time.Second, func() error {
		_, body, err := h.get("/api/v1/status")
		if err != nil {
			return err
		}
		if pairs := lockWaits(t, s); len(pairs) == 0 || !strings.Contains(body, `"chains":[{`) && !strings.Contains(strings.ReplaceAll(body, " ", ""), `"chains":[{`) {
			return fmt.Errorf("no chain yet: %v", pairs)
		}
		return nil
	})
	ids := append(present(t, s), blocker)
	for _, p := range lockWaits(t, s) {
		ids = append(ids, p[0], p[1])
	}
	waited(t, s, blocker, 3) // longer than min_idle and min_time
	h.reported(t, "Slow", "app=shop", "mysql=main")
	h.ends(t, "query")
	h.reported(t, "Blocked", "app=shop", "pool=main")
	h.ends(t, "blocking")
	texts := map[string]string{"log": h.Output(1 << 20)}
	for _, path := range []string{"/", "/metrics", "/api/v1/status", "/api/v1/page", "/api/v1/runs", "/api/v1/history", "/api/v1/incidents"} {
		status, body, err := h.get(path)
		if err != nil || status != 200 {
			t.Fatalf("%s: status %d, %v", path, status, err)
		}
		if strings.HasPrefix(path, "/api/") {
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			flat := new(strings.Builder)
			flatten(v, flat)
			body = flat.String()
		}
		texts[path] = body
	}
	for _, rule := range []string{"query", "blocking"} {
		for _, r := range h.list(t, rule) {
			texts["run of "+rule] += fmt.Sprintf("%+v\n", r)
			t.Logf("%s: %s, done %d, %s", rule, r.State, r.Done, r.Reason)
		}
	}
	files, err := os.ReadDir(h.state)
	if err != nil || len(files) == 0 {
		t.Fatalf("state directory: %d files, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(h.state, f.Name()))
		if err != nil || bytes.Contains(b, []byte(oddValue)) {
			t.Errorf("%s: %v, or it has a value of a statement", f.Name(), err)
		}
		if strings.HasPrefix(f.Name(), "journal") || strings.HasSuffix(f.Name(), ".jsonl") {
			texts[f.Name()] = string(b)
		}
	}
	for where, text := range texts {
		for _, err := range clean(where, text, ids) {
			t.Error(err)
		}
	}
	if !strings.Contains(texts["/api/v1/status"], "KILL") {
		t.Error("nothing is advised")
	}
	t.Logf("advice: %q", regexp.MustCompile(`[^\n]*KILL[^\n]*`).FindAllString(texts["/api/v1/status"], 4))
}

// flatten writes all strings of a JSON value, one a line.
func flatten(v any, into *strings.Builder) {
	switch x := v.(type) {
	case string:
		into.WriteString(x + "\n")
	case []any:
		for _, e := range x {
			flatten(e, into)
		}
	case map[string]any:
		for k, e := range x {
			into.WriteString(k + "\n")
			flatten(e, into)
		}
	}
}
