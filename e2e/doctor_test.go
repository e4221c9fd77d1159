package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// examined is what `doctor --output=json` prints, as far as tests read it.
type examined struct {
	Status   string
	Sections []struct {
		Name, Status string
		Facts        []string
		Findings     []found
	}
}

// found is one finding.
type found struct {
	Of, Reason, Detail string
	Remedy             []string `json:"cure"`
	Fault              bool
}

// wantFinding is what a test expects of a finding. Its sentence is in the golden files.
type wantFinding struct {
	of, reason string
	remedy     []string // lines that its remedies have; nil: any
	fault      bool
}

// examination describes a run of the doctor.
type examination struct {
	config string
	file   string // empty: a new one with a StatsD port of its own
	args   []string
}

// doctor runs the command in both forms and returns its exit code and its findings.
// Neither form may have a password or a part of a DSN.
func doctor(t *testing.T, e examination) (int, examined) {
	t.Helper()
	if e.file == "" {
		e.file = filepath.Join(openDir(t), "resp-exporter.yml")
		write(t, e.file, fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\n", freeUDPPort(t))+e.config)
	}
	argv := []string{binary, "doctor", "--config.file=" + e.file, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))}
	argv = append(argv, e.args...)
	code, text := printed(t, argv)
	codeJSON, x, out := examine(t, argv)
	if code != codeJSON || code != map[string]int{"ok": 0, "fault": 1}[x.Status] || !strings.HasPrefix(text, "resp-exporter "+strings.ToUpper(x.Status)+" - ") {
		t.Errorf("%s, exit codes %d and %d:\n%s", x.Status, code, codeJSON, text)
	}
	for _, secret := range []string{word, redisPassword, "tcp(127", "unix(/", "redis://", "rediss://", "unix://"} {
		if strings.Contains(text, secret) || strings.Contains(out, secret) {
			t.Errorf("%q is printed:\n%s", secret, text)
		}
	}
	return code, x
}

// examine runs a doctor command with --output=json, and returns its exit code and its
// findings, also as text.
func examine(t *testing.T, argv []string) (code int, x examined, out string) {
	t.Helper()
	code, out = printed(t, append(slices.Clone(argv), "--output=json"))
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return code, x, out
}

// printed runs a command that writes nothing to standard error, and returns its exit code
// and its output.
func printed(t *testing.T, argv []string) (int, string) {
	t.Helper()
	var errOut strings.Builder
	c := exec.Command(argv[0], argv[1:]...) //nolint:gosec // the test's own
	c.Stderr = &errOut
	began := time.Now()
	out, err := c.Output()
	t.Logf("%s after %s", strings.Join(argv, " "), time.Since(began).Round(time.Millisecond))
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case errOut.Len() > 0:
		t.Errorf("standard error: %s", errOut.String())
	case ended:
		return exit.ExitCode(), string(out)
	case err != nil:
		t.Fatal(err)
	}
	return 0, string(out)
}

// says returns an error unless there is such a finding in a section, with a detail that
// has all of the values: names, numbers or codes.
func (x examined) says(section string, want wantFinding, values ...string) error {
	var all []string
	for _, s := range x.Sections {
		if s.Name != section {
			continue
		}
		for _, f := range s.Findings {
			if f.Of == want.of && f.Reason == want.reason && f.Fault == want.fault && hasAll(f.Detail, values) && hasAll(strings.Join(f.Remedy, "\n"), want.remedy) {
				return nil
			}
			all = append(all, fmt.Sprintf("%+v", f))
		}
	}
	return fmt.Errorf("no %+v in %s:\n%s", want, section, strings.Join(all, "\n"))
}

// tells returns an error unless one fact of a section has all of the values: addresses,
// names or numbers.
func (x examined) tells(section string, values ...string) error {
	for _, s := range x.Sections {
		if s.Name == section && slices.ContainsFunc(s.Facts, func(fact string) bool { return hasAll(fact, values) }) {
			return nil
		}
	}
	return fmt.Errorf("no fact of %s has %q: %+v", section, values, x.Sections)
}

// TestDoctorMySQL checks that each fault of a MySQL server has a reason and a remedy that
// names the account as the server knows it.
func TestDoctorMySQL(t *testing.T) {
	t.Parallel()
	s := database(t)
	execute(t, s, "CREATE USER 'bare'@'127.0.0.1' IDENTIFIED BY '"+word+"'; CREATE USER 'crowded'@'%' IDENTIFIED BY '"+word+"' WITH MAX_USER_CONNECTIONS 1")
	db, err := s.OpenTCP("crowded", word)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	at := fmt.Sprintf("tcp(127.0.0.1:%d)/", s.Port)
	for name, c := range map[string]struct {
		dsn  string
		want wantFinding
		code int
	}{
		"well":     {"resp:" + word + "@" + at, wantFinding{"mysql:main", "unsupported", []string{"performance_schema=ON below [mysqld]"}, false}, 0},
		"password": {"resp:wrong@" + at, wantFinding{"mysql:main", "permission", []string{"ALTER USER 'resp'@'HOST' IDENTIFIED BY 'PASSWORD'"}, true}, 1},
		"grant":    {"bare:" + word + "@" + at, wantFinding{"mysql:main", "permission", []string{"GRANT PROCESS ON *.* TO 'bare'@'127.0.0.1';"}, true}, 1},
		"port":     {fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/", word, freePort(t)), wantFinding{"mysql:main", "not_found", []string{"systemctl status mariadb"}, true}, 1},
		"socket":   {"resp:" + word + "@unix(" + s.Socket + ".none)/", wantFinding{"mysql:main", "not_found", nil, true}, 1},
		"tls":      {"resp:" + word + "@" + at + "?tls=true", wantFinding{"mysql:main", "unsupported", []string{"ssl_cert and ssl_key"}, true}, 1},
		"crowded":  {"crowded:" + word + "@" + at, wantFinding{"mysql:main", "busy", []string{"ALTER USER 'crowded'@'HOST' WITH MAX_USER_CONNECTIONS 3;"}, true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, x := doctor(t, examination{config: fmt.Sprintf("mysql: [{name: main, dsn: %q}]\n", c.dsn)})
			if err := all(wants("exit code", code, c.code), x.says("mysql", c.want)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDoctorMySQLStates changes a running server: performance_schema without the right to
// read it, read_only, and no free connection.
func TestDoctorMySQLStates(t *testing.T) {
	t.Parallel()
	s := database(t, "--performance-schema=ON")
	section := mysqlSection(t, "main", s)
	code, x := doctor(t, examination{config: section})
	if err := all(wants("exit code", code, 1), x.says("mysql", wantFinding{"mysql:main", "permission",
		[]string{"GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1';"}, true})); err != nil {
		t.Error(err)
	}
	for _, f := range x.findings("mysql") { // the one remedy is run as it stands
		execute(t, s, f.Remedy[0])
	}
	execute(t, s, "SET GLOBAL read_only = ON")
	code, x = doctor(t, examination{config: section})
	if err := all(wants("exit code", code, 0), x.says("mysql", wantFinding{"mysql:main", "ok", nil, false})); err != nil {
		t.Error(err)
	}
	replica := fmt.Sprintf("mysql: [{name: main, dsn: \"resp@tcp(127.0.0.1:%d)/\", fallback_dsns: [\"resp@unix(%s)/\"], password_file: %s}]\n", freePort(t), s.Socket, passwordFile(t))
	code, x = doctor(t, examination{config: replica})
	if err := all(wants("exit code", code, 1), x.says("mysql", wantFinding{"mysql:main", "ok", nil, false}),
		x.says("mysql", wantFinding{"mysql:main", "not_found", nil, true})); err != nil {
		t.Error(err)
	}
	execute(t, s, "SET GLOBAL read_only = OFF; SET GLOBAL max_connections = 10")
	for range 10 {
		client(t, s)
	}
	code, x = doctor(t, examination{config: section})
	if err := all(wants("exit code", code, 1), x.says("mysql", wantFinding{"mysql:main", "busy", []string{"SHOW PROCESSLIST"}, true})); err != nil {
		t.Error(err)
	}
}

func (x examined) findings(section string) []found {
	for _, s := range x.Sections {
		if s.Name == section {
			return s.Findings
		}
	}
	return nil
}

// TestDoctorRedis checks the reason and the remedy of each refused connection to a Redis,
// for each kind of user.
func TestDoctorRedis(t *testing.T) {
	t.Parallel()
	full := startRedis(t)
	start(t, run.Spec{Name: "blocked", Path: "redis-cli", Args: []string{"-p", strconv.Itoa(full.port), "BLPOP", "queue", "0"}})
	eventually(t, 5*time.Second, func() error { return wants("blocked", full.info("blocked_clients"), 1) })
	full.cli("CONFIG", "SET", "maxclients", "1")
	loading := startRedis(t, append(redisUserArgs(), "--rdbcompression", "no")...)
	loading.cli("EVAL", "for i=1,10000 do redis.call('SET', 'secretkey'..i, string.rep('x', 500)) end", "0")
	loading.cli("SAVE")
	loading.proc.Stop()
	// It loads for ten minutes, and answers several times a second: after each kilobyte, two keys.
	loading.args = append(loading.args, "--key-load-delay", "60000", "--loading-process-events-interval-bytes", "1024")
	loading.start()
	r, replica := startRedis(t), startRedis(t)
	r.cli("ACL", "SETUSER", "noinfo", "on", ">"+redisPassword, "-@all", "+ping", "+client|setname")
	replica.cli("REPLICAOF", "127.0.0.1", strconv.Itoa(r.port))
	local := fmt.Sprintf("127.0.0.1:%d", r.port)
	login := redisUser + ":" + redisPassword + "@"
	for name, c := range map[string]struct {
		url  string
		want *wantFinding
		code int
	}{
		"well":           {"redis://" + login + local, nil, 0},
		"replica":        {strings.Replace(replica.url(), redisUser+"@", login, 1), &wantFinding{"redis:cache", "ok", nil, false}, 0},
		"wrong password": {"redis://" + redisUser + ":wrong@" + local, &wantFinding{"redis:cache", "permission", []string{"ACL SETUSER " + redisUser + " on '>PASSWORD'"}, true}, 1},
		"no info":        {"redis://noinfo:" + redisPassword + "@" + local, &wantFinding{"redis:cache", "permission", []string{"ACL SETUSER noinfo +info"}, true}, 1},
		"loading":        {strings.Replace(loading.url(), redisUser+"@", login, 1), &wantFinding{"redis:cache", "busy", []string{"INFO persistence"}, true}, 1},
		"full":           {strings.Replace(full.url(), redisUser+"@", login, 1), &wantFinding{"redis:cache", "busy", []string{"CLIENT LIST"}, true}, 1},
		"nobody":         {fmt.Sprintf("redis://127.0.0.1:%d", freePort(t)), &wantFinding{"redis:cache", "not_found", []string{"systemctl status redis-server"}, true}, 1},
		"not TLS":        {"rediss://" + login + local, &wantFinding{"redis:cache", "timeout", nil, true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			code, x := doctor(t, examination{config: fmt.Sprintf("redis: [{name: cache, url: %q}]\n", c.url)})
			err := wants("exit code", code, c.code)
			if c.want != nil {
				err = all(err, x.says("redis", *c.want))
			} else if n := len(x.findings("redis")); n > 0 {
				err = all(err, fmt.Errorf("%+v", x.findings("redis")))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDoctorUnprivileged runs an unprivileged exporter beside an app of root: doctor lists
// what it cannot read with all remedies. It is a fault for configured apps only, and a
// note for discovered ones.
func TestDoctorUnprivileged(t *testing.T) {
	t.Parallel()
	dir, program := public(t)
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1"}})
	file := write(t, filepath.Join(dir, "resp-exporter.yml"), fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\napps: [{name: shop, match: {cmdline: %q}}, {name: none, match: {cmdline: %q}}]\n",
		freeUDPPort(t), a.name+":app", "no_such_program_"+a.name))
	run := func(args ...string) (int, examined, string) {
		return examine(t, append(append(slices.Clone(nobody), program, "doctor", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))), args...))
	}
	code, seen, out := run("--config.file=" + file)
	remedies := []string{"AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH", "setcap cap_sys_ptrace,cap_dac_read_search=ep " + program}
	if err := all(wants("exit code", code, 1), seen.tells("exporter", "65534", "CAP_SYS_PTRACE"), seen.tells("process", "shop", "gunicorn", "2", "(uid 0)"),
		seen.says("listener", wantFinding{"app:shop", "permission", remedies, true}), seen.says("workers", wantFinding{"app:shop", "permission", remedies, true}),
		seen.says("process", wantFinding{"app:none", "not_found", nil, true})); err != nil {
		t.Errorf("%v in\n%s", err, out)
	}
	code, seen, out = run()
	if err := all(wants("exit code", code, 0), seen.says("process", wantFinding{"app:" + a.name, "permission", nil, false})); err != nil {
		t.Errorf("without a configuration: %v in\n%s", err, out)
	}
	// The exporter itself, as that user: one line of its log for each collector, however often it is scraped.
	x := watch(t, export{config: fmt.Sprintf("apps: [{name: shop, match: {cmdline: %q}}]\n", a.name+":app"), wrap: nobody, binary: program, statsd: "statsd: {listen: []}\n"})
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_collector_available", "collector=process", "reason=permission"), m.want(0, "resp_collector_available", "collector=workers", "reason=permission"))
	})
	for range 10 {
		x.scrape(t)
	}
	for _, collector := range []string{"process", "workers", "listener", "memory"} {
		if n := x.loggedLacks(collector, "permission"); n > 1 {
			t.Errorf("%d lines about %s in the log:\n%s", n, collector, x.Output(4000))
		}
	}
	if code, x := doctor(t, examination{file: file}); code != 1 || len(x.findings("workers")) > 0 || len(x.findings("process")) != 1 {
		t.Errorf("as root: %d %+v", code, x)
	}
}

// TestDoctorBesideAnExporter checks that a running exporter at the addresses is no fault,
// and that another program there is one.
func TestDoctorBesideAnExporter(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	code, seen := doctor(t, examination{file: x.config, args: []string{"--web.listen-address=" + strings.TrimPrefix(x.url, "http://")}})
	ours := fmt.Sprintf("(pid %d)", x.PID())
	if err := all(wants("exit code", code, 0), seen.tells("statsd", "udp://"+x.udp, ours), seen.tells("statsd", "unixgram://"+x.socket, ours), seen.tells("exporter", ours),
		wants("findings about addresses", len(seen.findings("statsd")), 0)); err != nil {
		t.Error(err)
	}
	if status, _, err := x.get("/-/healthy"); status != 200 || err != nil {
		t.Errorf("the exporter after it: %d, %v", status, err)
	}
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1"}})
	code, seen = doctor(t, examination{args: []string{"--web.listen-address=" + a.listen}})
	if err := all(wants("exit code", code, 1), seen.says("exporter", wantFinding{"", "in_use", []string{"--web.listen-address="}, true}, a.listen)); err != nil {
		t.Error(err)
	}
}

// TestDoctorFiles checks sockets and files that the exporter's user cannot open, and
// secrets that everybody can read.
func TestDoctorFiles(t *testing.T) {
	t.Parallel()
	dir, program := public(t)
	r := startRedis(t)
	if err := os.Chmod(r.socket(), 0o770); err != nil {
		t.Fatal(err)
	}
	secret := write(t, filepath.Join(dir, "password"), redisPassword)
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "resp-exporter.yml"), fmt.Sprintf(`statsd: {listen: ["unixgram://%s/closed/statsd.sock"]}
redis: [{name: socket, url: "unix://%s:%s@%s"}, {name: secret, url: "redis://%s@127.0.0.1:%d", password_file: %s}]
`, dir, redisUser, redisPassword, r.socket(), redisUser, r.port, secret))
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, x, out := examine(t, append(slices.Clone(nobody), program, "doctor", "--config.file="+file, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))))
	err := all(wants("exit code", code, 1),
		x.says("redis", wantFinding{"redis:socket", "permission", []string{"SupplementaryGroups=root", "usermod -aG root nobody"}, true}),
		x.says("redis", wantFinding{"redis:secret", "permission", []string{"chown nobody " + secret}, true}),
		x.says("statsd", wantFinding{"statsd:unixgram://" + dir + "/closed/statsd.sock", "permission", []string{"install -d -o nobody " + dir + "/closed"}, true}),
		x.says("exporter", wantFinding{"", "ok", []string{"chmod o-rwx,g-w " + file}, false}, file, "0644"))
	if err != nil || strings.Contains(out, redisPassword) || strings.Contains(out, r.socket()) {
		t.Errorf("%v in\n%s", err, out)
	}
}

// TestDoctorHiddenProcesses checks a /proc mounted with hidepid, and a StatsD address that
// another program uses.
func TestDoctorHiddenProcesses(t *testing.T) {
	t.Parallel()
	dir, program := public(t)
	need(t, "unshare")
	root := filepath.Join(dir, "proc")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	holder, err := net.ListenPacket("udp", "127.0.0.1:0") // this process is the other program
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	listen := "udp://" + holder.LocalAddr().String()
	file := write(t, filepath.Join(dir, "resp-exporter.yml"), fmt.Sprintf("statsd: {listen: [%q]}\napps: [{name: shop, match: {listen: \":1\"}}]\n", listen))
	code, x := doctor(t, examination{file: file})
	if err := all(wants("exit code", code, 1), x.says("statsd", wantFinding{"statsd:" + listen, "in_use", []string{"statsd: {listen:"}, true}, fmt.Sprintf("(pid %d)", os.Getpid()))); err != nil {
		t.Error(err)
	}
	code, x, out := examine(t, []string{
		"unshare", "--mount", "sh", "-c", `mount -t proc -o hidepid=invisible proc "$0" && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`, root,
		program, "doctor", "--config.file=" + file, "--path.procfs=" + root, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t)),
	})
	if err := all(wants("exit code", code, 1), x.says("process", wantFinding{"", "permission", []string{"ProtectProc=default"}, true}, "hidepid="),
		x.says("process", wantFinding{"app:shop", "not_found", nil, true})); err != nil {
		t.Errorf("%v in\n%s", err, out)
	}
}
