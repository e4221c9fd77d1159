package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A login that may end anything works, is warned of, and what to do instead is
// run as it stands: then nothing is left to say, and the procedure may be called.
func TestDoctorHealRights(t *testing.T) {
	t.Parallel()
	s := database(t)
	execute(t, s, "CREATE USER 'healer'@'127.0.0.1' IDENTIFIED BY '"+word+"'; GRANT PROCESS, CONNECTION ADMIN, SUPER ON *.* TO 'healer'@'127.0.0.1'")
	config := fmt.Sprintf(`mysql: [{name: main, dsn: "healer@tcp(127.0.0.1:%d)/", password_file: %s}]
healing:
  rules:
    - name: long
      match: {alertname: RespLong}
      steps: [{action: kill_long_queries, with: {mysql: main, users: [shop], min_time: 60s, max_victims: 5}}]
`, s.Port, passwordFile(t))
	state := "--state.dir=" + filepath.Join(t.TempDir(), "state")
	code, x := doctor(t, examination{config: config, args: []string{state}})
	want := found{"mysql:main", "ok", "has CONNECTION ADMIN and SUPER", []string{"mariadb < deploy/sql/mariadb-heal.sql, then procedure: resp_heal.kill_query in the step, then "}, false}
	if err := all(wants("exit code", code, 0), x.says("mysql", want)); err != nil {
		t.Fatal(err)
	}
	healProcedures(t, s)
	for _, f := range x.findings("mysql") {
		if strings.Contains(f.Detail, "CONNECTION ADMIN") {
			ways := strings.Split(f.Cure[0], ", then ")
			execute(t, s, ways[len(ways)-1])
		}
	}
	config = strings.Replace(config, "max_victims: 5}", "max_victims: 5, procedure: resp_heal.kill_query}", 1)
	code, x = doctor(t, examination{config: config, args: []string{state}})
	if err := wants("exit code", code, 0); err != nil {
		t.Error(err)
	}
	for _, f := range x.findings("mysql") {
		if strings.Contains(f.Detail, "anybody's connection") {
			t.Errorf("after the cure: %+v", f)
		}
	}
	db, err := s.OpenTCP("healer", word)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "CALL resp_heal.kill_query(1, 1, 1000, @done)"); err != nil {
		t.Errorf("the procedure: %v", err)
	}
}

// What the line for a leaked connection needs: where pools are, the server must
// keep statements and the user must see them; each cure is run as it stands.
func TestDoctorLastStatements(t *testing.T) {
	t.Parallel()
	s := database(t, "--performance-schema=ON")
	execute(t, s, "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'")
	section := mysqlSection(t, "main", s)
	const unknown = "the last statement of a leaked connection is not known"
	if _, x := doctor(t, examination{config: section}); len(x.findings("mysql")) != 0 {
		t.Errorf("without a pool: %+v", x.findings("mysql"))
	}
	section += "apps: [{name: shop, match: {listen: \":1\"}, pools: [{name: main, mysql: main, user: shop, size: 5}]}]\n"
	for _, want := range []found{
		{"mysql:main", "permission", unknown, []string{"GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO 'resp'@'127.0.0.1';"}, false},
		{"mysql:main", "disabled", unknown, []string{"performance_schema_consumer_events_statements_current=ON"}, false},
	} {
		_, x := doctor(t, examination{config: section})
		if err := all(x.says("mysql", want), wants("findings", len(x.findings("mysql")), 1)); err != nil {
			t.Fatal(err)
		}
		cure := x.findings("mysql")[0].Cure
		execute(t, s, strings.TrimSuffix(cure[len(cure)-1], " which holds until its next restart"))
	}
	if _, x := doctor(t, examination{config: section}); len(x.findings("mysql")) != 0 {
		t.Errorf("after the cures: %+v", x.findings("mysql"))
	}
}
