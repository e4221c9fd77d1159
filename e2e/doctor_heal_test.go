package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctorHealRights checks that a user that may end any connection is noted, that the
// remedy can be run as it stands, and that afterwards the note is gone and the procedure
// may be called.
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
	want := wantFinding{"mysql:main", "ok", []string{"mariadb < deploy/sql/mariadb-heal.sql, then procedure: resp_heal.kill_query in the step, then "}, false}
	if err := all(wants("exit code", code, 0), x.says("mysql", want)); err != nil {
		t.Fatal(err)
	}
	healProcedures(t, s)
	for _, f := range x.findings("mysql") {
		if strings.Contains(f.Detail, "CONNECTION ADMIN") {
			ways := strings.Split(f.Remedy[0], ", then ")
			execute(t, s, ways[len(ways)-1])
		}
	}
	config = strings.Replace(config, "max_victims: 5}", "max_victims: 5, procedure: resp_heal.kill_query}", 1)
	code, x = doctor(t, examination{config: config, args: []string{state}})
	if err := wants("exit code", code, 0); err != nil {
		t.Error(err)
	}
	for _, f := range x.findings("mysql") {
		if strings.Contains(f.Detail, "end any connection") {
			t.Errorf("after the remedy: %+v", f)
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

// TestTruthDoctorKnowsThatHealingCannotEnd checks that a step is a fault if its user lacks
// the right and it has no procedure, or if the procedure does not exist, and that the
// remedy, run as it stands, ends the fault.
func TestTruthDoctorKnowsThatHealingCannotEnd(t *testing.T) {
	t.Parallel()
	s := database(t)
	execute(t, s, "CREATE USER 'healer'@'127.0.0.1' IDENTIFIED BY '"+word+"'; GRANT PROCESS ON *.* TO 'healer'@'127.0.0.1'")
	token := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	config := fmt.Sprintf(`mysql: [{name: main, dsn: "healer@tcp(127.0.0.1:%d)/", password_file: %s}]
healing:
  mode: enforce
  token_file: %s
  rules:
    - name: long
      match: {alertname: RespLong}
      steps: [{action: kill_long_queries, with: {mysql: main, users: [shop], min_time: 60s, max_victims: 5}}]
`, s.Port, passwordFile(t), token)
	state := "--state.dir=" + filepath.Join(t.TempDir(), "state")
	remedy := []string{"mariadb < deploy/sql/mariadb-heal.sql, then procedure: resp_heal.kill_query in the step, then "}
	code, x := doctor(t, examination{config: config, args: []string{state}})
	if err := all(wants("exit code", code, 1), x.says("mysql", wantFinding{"mysql:main", "permission", remedy, true})); err != nil {
		t.Error(err)
	}
	code, x = doctor(t, examination{config: strings.Replace(config, "mode: enforce", "mode: dry_run", 1), args: []string{state}})
	if err := all(wants("exit code of a plan", code, 0), x.says("mysql", wantFinding{"mysql:main", "permission", remedy, false})); err != nil {
		t.Error(err)
	}
	config = strings.Replace(config, "max_victims: 5}", "max_victims: 5, procedure: resp_heal.kill_query}", 1)
	code, x = doctor(t, examination{config: config, args: []string{state}})
	if err := all(wants("exit code", code, 1), x.says("mysql", wantFinding{"mysql:main", "not_found", remedy, true})); err != nil {
		t.Fatal(err)
	}
	healProcedures(t, s)
	for _, f := range x.findings("mysql") {
		if f.Fault {
			ways := strings.Split(f.Remedy[0], ", then ")
			execute(t, s, ways[len(ways)-1])
		}
	}
	if code, x = doctor(t, examination{config: config, args: []string{state}}); code != 0 {
		t.Errorf("after the remedy: %d %+v", code, x.findings("mysql"))
	}
}

// TestTruthDoctorKnowsThatHealingIsOff checks that an unusable state directory is a fault,
// and the mode off a note.
func TestTruthDoctorKnowsThatHealingIsOff(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for name, c := range map[string]struct {
		mode, state string
		code        int
		want        wantFinding
	}{
		"a parent that is not there": {"enforce", dir + "/none/state", 1, wantFinding{"heal", "permission", nil, true}},
		"a file in its place":        {"enforce", write(t, dir+"/file", "x"), 1, wantFinding{"heal", "permission", nil, true}},
		"below a file":               {"dry_run", dir + "/file/state", 1, wantFinding{"heal", "permission", nil, true}},
		"by the configuration":       {"off", dir + "/state", 0, wantFinding{"heal", "disabled", nil, false}},
	} {
		code, x := doctor(t, examination{config: strings.Replace(healing(t), "mode: enforce", "mode: "+c.mode, 1), args: []string{"--state.dir=" + c.state}})
		if err := all(wants("exit code", code, c.code), x.says("heal", c.want)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDoctorLastStatements checks the two settings that the log line of a leaked
// connection needs: the server must keep statements, and the user must see them. Each
// remedy is run as it stands.
func TestDoctorLastStatements(t *testing.T) {
	t.Parallel()
	s := database(t, "--performance-schema=ON")
	execute(t, s, "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'")
	section := mysqlSection(t, "main", s)
	if _, x := doctor(t, examination{config: section}); len(x.findings("mysql")) != 0 {
		t.Errorf("without a pool: %+v", x.findings("mysql"))
	}
	section += "apps: [{name: shop, match: {listen: \":1\"}, pools: [{name: main, mysql: main, user: shop, size: 5}]}]\n"
	for _, want := range []wantFinding{
		{"mysql:main", "permission", []string{"GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO 'resp'@'127.0.0.1';"}, false},
		{"mysql:main", "disabled", []string{"performance_schema_consumer_events_statements_current=ON"}, false},
	} {
		_, x := doctor(t, examination{config: section})
		if err := all(x.says("mysql", want), wants("findings", len(x.findings("mysql")), 1)); err != nil {
			t.Fatal(err)
		}
		remedy := x.findings("mysql")[0].Remedy
		execute(t, s, strings.TrimSuffix(remedy[len(remedy)-1], " which holds until its next restart"))
	}
	if _, x := doctor(t, examination{config: section}); len(x.findings("mysql")) != 0 {
		t.Errorf("after the remedies: %+v", x.findings("mysql"))
	}
}
