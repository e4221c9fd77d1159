package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// TestDoctorAskedApp checks that an app whose workers refuse the directory of control files is
// a fault before an alert comes, also for restart_task, and no more once they follow it; then
// a task that no worker has is a note.
func TestDoctorAskedApp(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	lib, err := filepath.Abs(integration)
	if err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(openDir(t), "control")
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, 65534, 65534)); err != nil { //nolint:gosec // as apps read it
		t.Fatal(err)
	}
	env := append(withoutTitles(t), "RESP_STATSD=", "CONTROL="+theirs)
	env[0] += ":" + lib
	a := serve(t, launch{server: "gunicorn", source: "shop/asked.py", args: []string{"-w", "2"}, env: env})
	token := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	e := examination{
		config: fmt.Sprintf("apps: [{name: shop, match: {listen: %q}}]\n", a.listen) + joined("healing:", "  mode: enforce", "  token_file: "+token, "  rules:",
			"    - name: silent", "      match: {alertname: RespTaskSilent}", "      steps:", restartStep),
		args: []string{"--state.dir=" + filepath.Join(openDir(t), "state"), "--control.dir=" + filepath.Join(openDir(t), "own")},
	}
	asked := func(code int, want wantFinding) func() error {
		return func() error {
			for range 20 { // each worker answers
				a.get("/")
			}
			got, x := doctor(t, e)
			return all(wants("exit code", got, code), x.says("heal", want))
		}
	}
	eventually(t, 40*time.Second, asked(1, wantFinding{"app:shop", "permission", []string{"in the environment of the app: RESP_CONTROL_USER="}, true}))
	if err := os.Chown(theirs, 0, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, 40*time.Second, asked(0, wantFinding{"app:shop", "not_found", nil, false})) // once both workers follow it
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
