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

type found struct {
	Of, Reason, Detail string
	Remedy             []string `json:"cure"`
	Fault              bool
}

// examination says how to run the doctor.
type examination struct {
	config string
	file   string // empty: a new one with a StatsD port of its own
	args   []string
}

// doctor runs the command and gives its exit code and what it found. It must
// print no password and nothing of a DSN, in either form.
func doctor(t *testing.T, e examination) (int, examined) {
	t.Helper()
	if e.file == "" {
		e.file = filepath.Join(openDir(t), "resp-exporter.yml")
		write(t, e.file, fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\n", freeUDPPort(t))+e.config)
	}
	argv := []string{binary, "doctor", "--config.file=" + e.file, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))}
	argv = append(argv, e.args...)
	code, text := printed(t, argv)
	codeJSON, out := printed(t, append(argv, "--output=json"))
	var x examined
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
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

// printed runs a command that writes nothing to standard error.
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

// says is an error unless there is such a finding.
func (x examined) says(section string, want found) error {
	var all []string
	for _, s := range x.Sections {
		if s.Name != section {
			continue
		}
		for _, f := range s.Findings {
			remedy := strings.Join(f.Remedy, "\n")
			if f.Of == want.Of && f.Reason == want.Reason && f.Fault == want.Fault && strings.Contains(f.Detail, want.Detail) && strings.Contains(remedy, strings.Join(want.Remedy, "\n")) {
				return nil
			}
			all = append(all, fmt.Sprintf("%+v", f))
		}
	}
	return fmt.Errorf("no %+v in %s:\n%s", want, section, strings.Join(all, "\n"))
}

// tells is an error unless a fact has these words.
func (x examined) tells(section, words string) error {
	for _, s := range x.Sections {
		if s.Name == section && strings.Contains(strings.Join(s.Facts, "\n"), words) {
			return nil
		}
	}
	return fmt.Errorf("%s does not tell %q: %+v", section, words, x.Sections)
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
		want found
		fact string
		code int
	}{
		"well":     {"resp:" + word + "@" + at, found{"mysql:main", "unsupported", "performance_schema=ON", []string{"performance_schema=ON below [mysqld]"}, false}, "main is MariaDB 10.", 0},
		"password": {"resp:wrong@" + at, found{"mysql:main", "permission", "refuses the user or the password", []string{"ALTER USER 'resp'@'HOST' IDENTIFIED BY 'PASSWORD'"}, true}, "main cannot be queried, by TCP", 1},
		"grant":    {"bare:" + word + "@" + at, found{"mysql:main", "permission", "the user lacks a right", []string{"GRANT PROCESS ON *.* TO 'bare'@'127.0.0.1';"}, true}, "main is MariaDB 10.", 1},
		"port":     {fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/", word, freePort(t)), found{"mysql:main", "not_found", "connection refused", []string{"systemctl status mariadb"}, true}, "", 1},
		"socket":   {"resp:" + word + "@unix(" + s.Socket + ".none)/", found{"mysql:main", "not_found", "its socket does not exist", nil, true}, "by a UNIX socket", 1},
		"tls":      {"resp:" + word + "@" + at + "?tls=true", found{"mysql:main", "unsupported", "the DSN requires TLS", []string{"ssl_cert and ssl_key"}, true}, "by TLS", 1},
		"crowded":  {"crowded:" + word + "@" + at, found{"mysql:main", "busy", "max_user_connections", []string{"ALTER USER 'crowded'@'HOST' WITH MAX_USER_CONNECTIONS 3;"}, true}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, x := doctor(t, examination{config: fmt.Sprintf("mysql: [{name: main, dsn: %q}]\n", c.dsn)})
			if err := all(wants("exit code", code, c.code), x.says("mysql", c.want), x.tells("mysql", c.fact)); err != nil {
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
	if err := all(wants("exit code", code, 1), x.says("mysql", found{"mysql:main", "permission", "query time cannot be read",
		[]string{"GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1';"}, true})); err != nil {
		t.Error(err)
	}
	for _, f := range x.findings("mysql") { // the remedy is one: what it says is run as it stands
		execute(t, s, f.Remedy[0])
	}
	execute(t, s, "SET GLOBAL read_only = ON")
	code, x = doctor(t, examination{config: section})
	if err := all(wants("exit code", code, 0), x.says("mysql", found{"mysql:main", "ok", "is read-only, probably a replica", nil, false})); err != nil {
		t.Error(err)
	}
	replica := fmt.Sprintf("mysql: [{name: main, dsn: \"resp@tcp(127.0.0.1:%d)/\", fallback_dsns: [\"resp@unix(%s)/\"], password_file: %s}]\n", freePort(t), s.Socket, passwordFile(t))
	code, x = doctor(t, examination{config: replica})
	if err := all(wants("exit code", code, 1), x.tells("mysql", "by fallback 1"), x.says("mysql", found{"mysql:main", "ok", "is read-only", nil, false}),
		x.says("mysql", found{"mysql:main", "not_found", "number 1 of fallback_dsns is in use", nil, true})); err != nil {
		t.Error(err)
	}
	execute(t, s, "SET GLOBAL read_only = OFF; SET GLOBAL max_connections = 10")
	for range 10 {
		client(t, s)
	}
	code, x = doctor(t, examination{config: section})
	if err := all(wants("exit code", code, 1), x.says("mysql", found{"mysql:main", "busy", "max_connections", []string{"SHOW PROCESSLIST"}, true})); err != nil {
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
	loading := startRedis(t, redisUserArgs()...)
	loading.cli("EVAL", "for i=1,10000 do redis.call('SET', 'secretkey'..i, string.rep('x', 500)) end", "0")
	loading.cli("SAVE")
	loading.proc.Stop()
	loading.args = append(loading.args, "--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
	loading.start()
	r, replica := startRedis(t), startRedis(t)
	r.cli("ACL", "SETUSER", "noinfo", "on", ">"+redisPassword, "-@all", "+ping", "+client|setname")
	replica.cli("REPLICAOF", "127.0.0.1", strconv.Itoa(r.port))
	local := fmt.Sprintf("127.0.0.1:%d", r.port)
	login := redisUser + ":" + redisPassword + "@"
	for name, c := range map[string]struct {
		url  string
		want *found
		fact string
		code int
	}{
		"well":           {"redis://" + login + local, nil, "cache is Redis ", 0},
		"replica":        {strings.Replace(replica.url(), redisUser+"@", login, 1), &found{"redis:cache", "ok", "is a replica", nil, false}, "slave", 0},
		"wrong password": {"redis://" + redisUser + ":wrong@" + local, &found{"redis:cache", "permission", "refuses the user or the password", []string{"ACL SETUSER " + redisUser + " on '>PASSWORD'"}, true}, "cache cannot be queried, by TCP", 1},
		"no info":        {"redis://noinfo:" + redisPassword + "@" + local, &found{"redis:cache", "permission", "needs a right", []string{"ACL SETUSER noinfo +info"}, true}, "answers, but does not report", 1},
		"loading":        {strings.Replace(loading.url(), redisUser+"@", login, 1), &found{"redis:cache", "busy", "is loading its data", []string{"INFO persistence"}, true}, "", 1},
		"full":           {strings.Replace(full.url(), redisUser+"@", login, 1), &found{"redis:cache", "busy", "maxclients", []string{"CLIENT LIST"}, true}, "", 1},
		"nobody":         {fmt.Sprintf("redis://127.0.0.1:%d", freePort(t)), &found{"redis:cache", "not_found", "does not listen", []string{"systemctl status redis-server"}, true}, "", 1},
		"not TLS":        {"rediss://" + login + local, &found{"redis:cache", "timeout", "its url must begin with redis, not rediss", nil, true}, "by TLS", 1},
	} {
		t.Run(name, func(t *testing.T) {
			code, x := doctor(t, examination{config: fmt.Sprintf("redis: [{name: cache, url: %q}]\n", c.url)})
			err := all(wants("exit code", code, c.code), x.tells("redis", c.fact))
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
	run := func(args ...string) (int, string) {
		return printed(t, append(append(slices.Clone(nobody), program, "doctor", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))), args...))
	}
	code, out := run("--config.file=" + file)
	err := wants("exit code", code, 1)
	for _, want := range []string{
		"runs as nobody (uid 65534), without CAP_SYS_PTRACE", "shop is gunicorn: 2 processes, user root (uid 0)",
		"fault, permission: the listeners of shop need its uid or CAP_SYS_PTRACE", "fault, permission: what the workers of shop do needs CAP_SYS_PTRACE",
		"remedy: in the unit: AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH", "or: as root: setcap cap_sys_ptrace,cap_dac_read_search=ep " + program,
		"fault, not_found: no process found for none",
	} {
		if !strings.Contains(out, want) {
			err = all(err, fmt.Errorf("no %q", want))
		}
	}
	if err != nil {
		t.Errorf("%v in\n%s", err, out)
	}
	code, out = run()
	if code != 0 || !strings.Contains(out, "note, permission: the descriptors of "+a.name) {
		t.Errorf("without a configuration: %d\n%s", code, out)
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
		if n := strings.Count(x.Output(1<<20), "collector="+collector+" "); n > 1 {
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
	ours := fmt.Sprintf("in use by resp-exporter (pid %d)", x.PID())
	if err := all(wants("exit code", code, 0), seen.tells("statsd", "udp://"+x.udp+" is "+ours), seen.tells("statsd", "unixgram://"+x.socket+" is "+ours), seen.tells("exporter", ours)); err != nil {
		t.Error(err)
	}
	if status, _, err := x.get("/-/healthy"); status != 200 || err != nil {
		t.Errorf("the exporter after it: %d, %v", status, err)
	}
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "1"}})
	code, seen = doctor(t, examination{args: []string{"--web.listen-address=" + a.listen}})
	if err := all(wants("exit code", code, 1), seen.says("exporter", found{"", "in_use", a.listen + " is in use by gunicorn", []string{"--web.listen-address="}, true})); err != nil {
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
	code, out := printed(t, append(slices.Clone(nobody), program, "doctor", "--config.file="+file, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t))))
	err := wants("exit code", code, 1)
	for _, want := range []string{
		"redis socket has a socket that the exporter's user may not open", "in the unit: SupplementaryGroups=root", "usermod -aG root nobody",
		"redis secret cannot be queried: its password_file cannot be read", "chown nobody " + secret,
		"cannot be opened", "install -d -o nobody " + dir + "/closed",
		file + " contains a password, and every user can read it (mode 0644)", "chmod o-rwx,g-w " + file,
	} {
		if !strings.Contains(out, want) {
			err = all(err, fmt.Errorf("no %q", want))
		}
	}
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
	if err := all(wants("exit code", code, 1), x.says("statsd", found{"statsd:" + listen, "in_use", fmt.Sprintf("(pid %d)", os.Getpid()), []string{"statsd: {listen:"}, true})); err != nil {
		t.Error(err)
	}
	code, out := printed(t, []string{
		"unshare", "--mount", "sh", "-c", `mount -t proc -o hidepid=invisible proc "$0" && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`, root,
		program, "doctor", "--config.file=" + file, "--path.procfs=" + root, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t)),
	})
	if code != 1 || !strings.Contains(out, "does not show the processes of other users (hidepid=") || !strings.Contains(out, "in the unit: ProtectProc=default") || !strings.Contains(out, "no process found for shop") {
		t.Errorf("%d\n%s", code, out)
	}
}
