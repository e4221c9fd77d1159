package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// inShell runs a remedy as it stands in an administrator's shell.
func inShell(t *testing.T, remedy string) {
	t.Helper()
	out, err := exec.Command("bash", "-c", remedy).CombinedOutput() //nolint:gosec // that it can be run is what is tested
	if text := string(out); err != nil || strings.Contains(text, "ERR ") {
		t.Fatalf("%s: %v\n%s", remedy, err, text)
	}
}

// applyRemedies runs the first remedy of each fault of the sections with f, each once,
// and fails the test unless one remedy was enough.
func applyRemedies(t *testing.T, e examination, sections []string, f func(remedy string)) {
	t.Helper()
	_, x := doctor(t, e)
	if x.faults(sections) == 0 {
		t.Fatalf("nothing is wrong to begin with: %+v", x)
	}
	var done []string
	for _, section := range sections {
		for _, found := range x.findings(section) {
			if !found.Fault {
				continue
			}
			if len(found.Remedy) == 0 {
				t.Fatalf("no remedy for %+v", found)
			}
			if !slices.Contains(done, found.Remedy[0]) {
				f(found.Remedy[0])
				done = append(done, found.Remedy[0])
			}
		}
	}
	if len(done) != 1 {
		t.Errorf("%d remedies for one user: %q", len(done), done)
	}
	if _, x := doctor(t, e); x.faults(sections) > 0 {
		t.Errorf("after the remedy: %+v", x)
	}
}

// faults counts those of some sections.
func (x examined) faults(sections []string) int {
	n := 0
	for _, s := range sections {
		for _, f := range x.findings(s) {
			if f.Fault {
				n++
			}
		}
	}
	return n
}

// remedies returns the remedies of all findings.
func (x examined) remedies() (all []string) {
	for _, s := range x.Sections {
		for _, f := range s.Findings {
			all = append(all, f.Remedy...)
		}
	}
	return all
}

// TestTruthRemediesOfRedis checks for a Redis user without any right, with some, and with
// keys but no command that one shell line grants all rights that the configuration needs.
func TestTruthRemediesOfRedis(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for _, c := range [][]string{{"SET", "web[*]?:1", "x"}, {"SET", "session:1", "x"}, {"RPUSH", "rq:queue:default", "job1"}, {"RPUSH", "mail", "{}"}} {
		r.cli(c[0], c[1:]...)
		r.cli("-n", append([]string{"3"}, c...)...)
	}
	file := write(t, filepath.Join(openDir(t), "pass word"), redisPassword)
	for name, rights := range map[string]string{
		"nothing": "-@all", "some": "+ping +llen +scan ~rq:*", "all keys": "-@all ~*", "other keys": "+ping +info +client|setname +select +scan +ttl +memory|usage ~other:*",
		"no login": "off",
	} {
		t.Run(name, func(t *testing.T) {
			user := "hunter" + strings.ReplaceAll(name, " ", "")
			argv := append([]string{"SETUSER", user, "reset", "on", ">" + redisPassword}, strings.Fields(rights)...)
			if name == "no login" {
				argv = []string{"SETUSER", user, "reset", "on", ">another"}
			}
			r.cli("ACL", argv...)
			applyRemedies(t, examination{config: fmt.Sprintf("redis: [{name: store, url: \"redis://%s@127.0.0.1:%d/3\", password_file: %q}]\n", user, r.port, file) + joined(
				"apps:",
				`  - name: shop`, `    match: {user: root}`,
				`    tasks: [{type: rq, redis: store}, {type: celery, redis: store, queues: [mail, "a*b"]}]`,
				`    sessions: [{redis: store, prefix: "session:"}]`,
				`  - name: blog`, `    match: {user: root}`,
				`    sessions: [{redis: store, prefix: "web[*]?:"}]`,
			)}, []string{"redis", "tasks", "sessions"}, func(remedy string) { inShell(t, remedy) })
		})
	}
}

// TestTruthRemediesOfMySQL checks for a MariaDB user without any right that one line of
// its client grants all.
func TestTruthRemediesOfMySQL(t *testing.T) {
	t.Parallel()
	need(t, "mariadb")
	s := database(t, "--performance-schema=ON", "--performance-schema-consumer-events-statements-current=ON")
	execute(t, s, "CREATE USER 'o''bare'@'127.0.0.1' IDENTIFIED BY '"+word+"'")
	config := fmt.Sprintf("mysql: [{name: main, dsn: \"o'bare@tcp(127.0.0.1:%d)/\", password_file: %s}]\n", s.Port, passwordFile(t)) +
		"apps: [{name: shop, match: {cmdline: no-such-app}, pools: [{name: main, mysql: main, user: shop}]}]\n" // other apps of root belong to other tests
	applyRemedies(t, examination{config: config}, []string{"mysql", "pool"}, func(remedy string) { inClient(t, s, remedy) })
}

func inClient(t *testing.T, s *mariadb.Server, remedy string) {
	t.Helper()
	tool(t, "", "mariadb", "--no-defaults", "-S", s.Socket, "-u", "root", "-e", remedy)
}

// TestTruthRemediesOfProcesses runs an exporter without rights beside an app of another
// user, of its own user but not dumpable, and in another network namespace. It checks that
// the capabilities that are printed for the binary suffice.
func TestTruthRemediesOfProcesses(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "ip", "setcap")
	for name, l := range map[string]launch{
		"of root":      {server: "gunicorn", args: []string{"-w", "1"}},
		"not dumpable": {server: "gunicorn", args: []string{"-w", "1", "--user", "65534", "--group", "65534"}},
		"in a namespace": {server: "gunicorn", args: []string{"-w", "1"},
			wrap: []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, program := public(t)
			a := serve(t, l)
			eventually(t, 20*time.Second, func() error { // its port cannot be reached in a namespace
				return wants("a worker in "+a.Output(3000), strings.Contains(a.Output(3000), "Booting worker"), true)
			})
			file := write(t, filepath.Join(dir, "resp-exporter.yml"), fmt.Sprintf("statsd: {listen: []}\napps: [{name: shop, match: {cmdline: %q}}]\n", a.name+":app"))
			argv := append(slices.Clone(nobody), program, "doctor", "--config.file="+file, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", freePort(t)))
			for range 3 { // one right may reveal that another is missing
				code, x, out := examine(t, argv)
				if code == 0 {
					return
				}
				remedies := x.remedies()
				i := slices.IndexFunc(remedies, func(r string) bool { return strings.HasPrefix(r, "as root: setcap ") })
				if i < 0 {
					t.Fatalf("no remedy for the binary in\n%s", out)
				}
				if name == "not dumpable" && slices.ContainsFunc(remedies, func(r string) bool { return strings.Contains(r, "User=nobody") }) {
					t.Errorf("its uid is offered in\n%s", out)
				}
				inShell(t, strings.TrimPrefix(remedies[i], "as root: "))
			}
			code, _, out := examine(t, argv)
			if code != 0 {
				t.Errorf("after the remedies:\n%s", out)
			}
		})
	}
}
