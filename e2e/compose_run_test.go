package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

// confinedTo is the user of shop and exporter in the compose file, without any
// capability and any way to one.
var confinedTo = []string{
	"setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs",
}

// uncontained is what the compose file starts, with this host's programs and
// without containers: the same files, with other addresses.
type uncontained struct {
	composed

	t *testing.T

	shop, mysql, redis, statsd, exporter, prometheus, alertmanager string // host:port
	run                                                            string // directory of the exporter's socket
}

// TestComposeRuns runs the configuration files of the compose file with the servers of
// this host: the exporter sees the app and both stores, as the shop's user and without a
// capability; Prometheus scrapes it with the shipped rules; an alert reaches it.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "mariadbd", "mariadb", "redis-server", "redis-cli", "curl", "gunicorn", "rq", "prometheus", "prometheus-alertmanager", "setpriv", "sha256sum")
	u := newUncontained(t)
	p := u.startPrometheus() // first: its alert takes longest
	u.startAlertmanager()
	u.startMariaDB()
	u.startRedis()
	x := u.startExporter()
	u.script("shop", "serve")
	u.script("jobs", "jobs")
	u.script("load", "load")

	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		requests, _ := m.sum("resp_http_requests_total", "app=shop", "code=200")
		states, _ := m.sum("resp_app_workers", "app=shop")
		return all(
			m.want(1, "resp_up", "component=app:shop"), m.want(1, "resp_up", "component=mysql:main"), m.want(1, "resp_up", "component=redis:cache"),
			wants("workers with a state", states, 4), wants("requests are reported", requests > 10, true),
			// Only the app itself reports routes and the restarts of its task.
			m.has("resp_http_requests_total", "app=shop", "route=/products"), m.want(0, "resp_task_restarts_total", "app=shop", "task=longest-queue"),
			m.want(60, "resp_pool_capacity", "app=shop", "pool=main"), m.want(1, "resp_task_workers", "app=shop", "queue=default"),
			m.has("resp_sessions", "app=shop"), m.has("resp_mysql_query_seconds_total", "mysql=main"), m.has("resp_listener_queue_length", "app=shop"),
			m.want(1, "resp_statsd_listening", "listen=unixgram://"+u.run+"/statsd.sock"),
			wants("something is forbidden", forbidden(m), ""),
		)
	})
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		taken, _ := m.sum("resp_heal_webhook_requests_total", "code=202")
		up, _, err := prom.One(t.Context(), p, `up{job="resp"}`)
		watchdog, _, err2 := prom.One(t.Context(), p, `count(ALERTS{alertname="RespWatchdog",alertstate="firing"})`)
		return all(err, err2, wants("the target of Prometheus", up, 1), wants("RespWatchdog fires", watchdog, 1), wants("the exporter was told", taken > 0, true))
	})
	u.health()
	u.doctor()
	for name := range u.project.Secrets {
		if said := x.Output(1 << 20); strings.Contains(said, u.secret(name)) {
			t.Errorf("the exporter's log has the secret %s", name)
		}
	}
}

// forbidden names the collectors that lack a right.
func forbidden(m metrics) (out string) {
	m.each("resp_collector_available", []string{"reason=permission"}, func(labels map[string]string, _ float64) { out += labels["collector"] + " " })
	return out
}

func newUncontained(t *testing.T) *uncontained {
	t.Helper()
	dir := openDir(t)
	fillRepo(t, dir)
	// Containers get single files; here other users need access to the directory.
	if err := os.Chmod(filepath.Join(dir, "deploy/compose/secrets"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := compose(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := (rules.Scaling{By: faster, Least: shortest}).ScaleDir(rulesDir, filepath.Join(dir, "rules")); err != nil {
		t.Fatal(err)
	}
	u := &uncontained{composed: c, t: t, statsd: fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t)), run: openDir(t)}
	if err := os.Chown(u.run, 65532, 65532); err != nil { // the exporter's own, as in the image
		t.Fatal(err)
	}
	for _, address := range []*string{&u.shop, &u.redis, &u.exporter, &u.prometheus, &u.alertmanager} {
		*address = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	return u
}

func (u *uncontained) secret(name string) string {
	u.t.Helper()
	b, err := os.ReadFile(u.project.Secrets[name].File)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(b)
}

// configured returns the configuration file of a service with this host's paths
// and addresses.
func (u *uncontained) configured(service string) string {
	u.t.Helper()
	file, missing := u.settings(service)
	if len(missing) > 0 {
		u.t.Fatal(missing)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		u.t.Fatal(err)
	}
	here := strings.NewReplacer(
		"tcp(mysql:3306)", "tcp("+u.mysql+")", "@redis:6379", "@"+u.redis, `":8000"`, `"`+u.shop+`"`, "127.0.0.1:9125", u.statsd, "/run/resp-exporter/", u.run+"/",
		"shop:9868", u.exporter, "alertmanager:9093", u.alertmanager,
	)
	write(u.t, file, here.Replace(string(text)))
	return file
}

// serve starts a program with the flags of its service, but those of others, and
// waits until it answers.
func (u *uncontained) serve(service, program, address, path string, flags ...string) *run.Proc {
	u.t.Helper()
	args := append([]string{"--config.file=" + u.configured(service), "--web.listen-address=" + address}, flags...)
	for _, arg := range u.project.Services[service].Command {
		name, _, _ := strings.Cut(arg, "=")
		if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, name+"=") }) {
			args = append(args, arg)
		}
	}
	argv := []string{program}
	if service == "resp-exporter" {
		argv = append(slices.Clone(confinedTo), program)
	}
	p := start(u.t, run.Spec{Name: service, Path: argv[0], Args: append(argv[1:], args...)})
	ctx, cancel := context.WithTimeout(u.t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+path); err != nil {
		u.t.Fatal(err)
	}
	return p
}

func (u *uncontained) startPrometheus() (url string) {
	u.t.Helper()
	u.serve("prometheus", "prometheus", u.prometheus, "/-/ready", "--storage.tsdb.path="+filepath.Join(u.dir, "tsdb"))
	return "http://" + u.prometheus
}

func (u *uncontained) startAlertmanager() {
	u.t.Helper()
	u.serve("alertmanager", "prometheus-alertmanager", u.alertmanager, "/-/ready", "--storage.path="+filepath.Join(u.dir, "am"))
}

// startMariaDB starts a server in the place of MySQL, and runs the files that
// the image runs, in the same order.
func (u *uncontained) startMariaDB() {
	u.t.Helper()
	db, err := mariadb.Start(u.t.Context(), dataDir(u.t), "--performance-schema=ON", "--performance-schema-consumer-events-statements-current=ON")
	if db != nil {
		u.t.Cleanup(db.Stop)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	u.mysql = fmt.Sprintf("127.0.0.1:%d", db.Port)
	execute(u.t, db, "ALTER USER 'root'@'localhost' IDENTIFIED BY '"+u.secret("mysql_root")+"'")
	var files []string
	byTarget := map[string]string{}
	for _, v := range u.project.Services["mysql"].Volumes {
		if v.Type == types.VolumeTypeBind && filepath.Dir(v.Target) == "/docker-entrypoint-initdb.d" {
			files, byTarget[v.Target] = append(files, v.Target), v.Source
		}
	}
	slices.Sort(files)
	// The client's own way to this server; in the image it needs none.
	bin := u.t.TempDir()
	if err := actiontest.WriteProgram(filepath.Join(bin, "mysql"), []byte("#!/bin/sh\nexec mariadb --no-defaults --socket="+db.Socket+` "$@"`+"\n"), 0o700); err != nil {
		u.t.Fatal(err)
	}
	for _, target := range files {
		cmd := exec.CommandContext(u.t.Context(), byTarget[target])
		if strings.HasSuffix(target, ".sql") {
			text, err := os.Open(byTarget[target])
			if err != nil {
				u.t.Fatal(err)
			}
			defer func() { _ = text.Close() }()
			cmd = exec.CommandContext(u.t.Context(), filepath.Join(bin, "mysql"), "--user=root", "--password="+u.secret("mysql_root"))
			cmd.Stdin = text
		}
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SECRETS="+u.secrets(), "HEAL_SQL="+filepath.Join(u.dir, "deploy/sql/mariadb-heal.sql"))
		if out, err := cmd.CombinedOutput(); err != nil {
			u.t.Fatalf("%s: %v\n%s", target, err, out)
		}
	}
}

func (u *uncontained) secrets() string { return filepath.Join(u.dir, "deploy/compose/secrets") }

func (u *uncontained) startRedis() {
	u.t.Helper()
	_, port, _ := strings.Cut(u.redis, ":")
	data := openDir(u.t)
	entry := u.project.Services["redis"].Entrypoint
	start(u.t, run.Spec{
		Name: "redis", Path: entry[0], Args: []string{u.hostPath("redis", entry[1]), "--port", port, "--bind", "127.0.0.1"},
		Env: []string{"SECRETS=" + u.secrets(), "RUN_DIR=" + data, "DATA_DIR=" + data},
	})
}

func (u *uncontained) startExporter() *exporter {
	u.t.Helper()
	program, state := filepath.Join(u.dir, "resp-exporter"), filepath.Join(u.dir, "state")
	if err := errors.Join(copyFile(binary, program), os.Mkdir(state, 0o700), os.Chown(state, 65532, 65532)); err != nil {
		u.t.Fatal(err)
	}
	x := &exporter{url: "http://" + u.exporter, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}
	u.t.Cleanup(x.client.CloseIdleConnections)
	x.Proc = u.serve("resp-exporter", program, u.exporter, "/-/ready", "--state.dir="+state, "--control.dir="+filepath.Join(u.run, "control"))
	return x
}

// script starts a part of the shop as its image does.
func (u *uncontained) script(service, part string) {
	u.t.Helper()
	if got := u.project.Services[service].Command; !slices.Equal(got, []string{part}) {
		u.t.Fatalf("%s is started with %v", service, got)
	}
	argv := append(slices.Clone(confinedTo), "/bin/sh", filepath.Join(u.dir, "deploy/compose/shop/start.sh"), part)
	start(u.t, run.Spec{
		Name: service, Path: argv[0], Args: argv[1:], Dir: filepath.Join(u.dir, "e2e/shop"), Session: true,
		Env: []string{
			"PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1", "HOME=/", "SECRETS=" + u.secrets(), "MYSQL_ADDRESS=" + u.mysql, "REDIS_ADDRESS=" + u.redis,
			"SHOP_ADDRESS=" + u.shop, "STATSD_ADDRESS=" + u.statsd, "SHOP_URL=http://" + u.shop,
			// In the image, resp_flask.py is beside the shop.
			"PYTHONPATH=" + filepath.Join(u.dir, "integrations/flask"), "RESP_CONTROL_DIR=" + filepath.Join(u.run, "control"),
		},
	})
}

// health runs the health checks of the compose file that this host can run.
func (u *uncontained) health() {
	u.t.Helper()
	here := strings.NewReplacer(
		"127.0.0.1:8000", u.shop, "redis-cli ", "redis-cli -p "+strings.TrimPrefix(u.redis, "127.0.0.1:")+" ", "127.0.0.1:9090", u.prometheus, "127.0.0.1:9093", u.alertmanager,
		"/bin/resp-exporter", binary, "--self", "--self\n--url=http://"+u.exporter,
	)
	for _, service := range []string{"shop", "redis", "prometheus", "alertmanager", "resp-exporter"} {
		test := u.project.Services[service].HealthCheck.Test
		argv := strings.Split(here.Replace(strings.Join(test[1:], "\n")), "\n")
		if test[0] == "CMD-SHELL" {
			argv = []string{"/bin/sh", "-c", argv[0]}
		}
		if argv[0] == "wget" { // busybox's, which this host need not have
			argv = []string{"curl", "-fsS", argv[len(argv)-1]}
		}
		eventually(u.t, 20*time.Second, func() error { // an engine tries it again, too
			if out, err := composeRun(u.dir, argv[0], argv[1:]...); err != nil {
				return fmt.Errorf("%s: %v: %w\n%s", service, argv, err, out)
			}
			return nil
		})
	}
}

// doctor runs the subcommand doctor, and fails the test if it reports a missing permission.
func (u *uncontained) doctor() {
	u.t.Helper()
	argv := append(slices.Clone(confinedTo), filepath.Join(u.dir, "resp-exporter"), "doctor", "--config.file="+filepath.Join(u.dir, "resp-exporter.yml"),
		"--web.listen-address=127.0.0.1:0", "--state.dir="+filepath.Join(u.dir, "state"), "--control.dir="+filepath.Join(u.run, "control"))
	out, err := composeRun(u.dir, argv[0], argv[1:]...)
	// Debian's gunicorn sets a title with python3-setproctitle, which the shop's image does not have.
	title := "note, permission: recycle_worker of shop would be refused: the command line of the app cannot be read"
	if strings.Contains(strings.ReplaceAll(out, title, ""), "permission") || !strings.Contains(out, "runs as") {
		u.t.Errorf("doctor: %v\n%s", err, out)
	}
}
