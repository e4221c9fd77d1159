package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// scraped is a Prometheus with the shipped rules as they are, at one interval.
type scraped struct {
	base     string
	interval time.Duration
}

// observed is the shop with all its stores, customers and faults, beside an app of an
// event loop, seen by two exporters, each of which is scraped by two Prometheus servers.
type observed struct {
	*sick

	second  *exporter
	mail    *taskApp // the shop's tasks in Celery
	servers []scraped
	faults  *faults
}

// observedRules are the healing rules of both exporters. The first exporter carries
// them out, the second one only plans.
var observedRules = []string{
	"    - name: connections", "      match: {alertname: RespPoolLeak}", "      cooldown: 20s", "      steps:", "        - action: kill_leaked_connections",
	"          with: {app: shop, pool: main, min_idle: 3s, max_victims: 50, max_fraction: 0.9, max_trx_rows: 100, procedure: resp_heal.kill_idle}",
	"          verify_within: 20s", "        - action: escalate",
	"    - name: sessions", "      match: {alertname: RespSessionsWithoutExpiry}", "      cooldown: 20s", "      steps:", "        - action: purge_sessions",
	"          with: {app: shop, redis: cache, grace: 1m, min_idle: 1s, max_keys: 10000, max_fraction: 1}", "          verify_within: 20s",
	"    - name: call", "      match: {alertname: Sick}", "      steps: [{action: escalate}]",
	"  budgets: {max_runs: 1000}", // for as long as other tests take
}

// startObserved starts all of it. What the dashboards show over time is there
// some minutes later.
func startObserved(t *testing.T) *observed {
	t.Helper()
	need(t, "celery", "prometheus", "prometheus-alertmanager")
	relay := newRelay(t)
	o := &observed{sick: startSick(t, sickness{
		rules: observedRules, workers: 4, pool: ", size: 5, max_overflow: 10", tasks: ", {type: rq, redis: cache, queues: [newsletter]}, {type: celery, redis: cache, queues: [mail]}",
		more:     []string{"slow_request: 500ms"},
		gunicorn: []string{"--statsd-host", relay.address},
		mariadb:  []string{"--performance-schema=ON", "--long-query-time=0.2", "--slow-query-log=1"},
		redis: func(r *redisServer) {
			r.cli("CONFIG", "SET", "maxmemory", "64mb")
			r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(strings.ReplaceAll(celeryRights, "QUEUE", "mail"))...)...)
		},
	})}
	execute(t, o.stores.db, timeOfQueries)
	o.mail = &taskApp{t: t, redis: o.stores.redis, dir: openDir(t)}
	write(t, filepath.Join(o.mail.dir, "tasks.py"), celeryApp)
	o.mail.env = []string{fmt.Sprintf("BROKER=redis://127.0.0.1:%d/0", o.stores.redis.port), "PYTHONPATH=" + o.mail.dir, "C_FORCE_ROOT=1", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	o.mail.celery("mail")
	o.loops(t)
	o.leaks(t, relay.address)
	o.loses(t, relay.address)
	o.watchAgain(t)
	relay.to(t, o.udp, o.second.udp)
	manager := o.alertmanager(t)
	for _, interval := range []time.Duration{15 * time.Second, 60 * time.Second} {
		o.servers = append(o.servers, scraped{o.prometheus(t, interval, manager), interval})
	}
	o.faults = o.makeFaults(t, relay.address)
	return o
}

// timeOfQueries is the right of docs/mysql.md for the time that queries take.
const timeOfQueries = `GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'`

// loses makes stores that do not answer known to the exporter, and an address for
// StatsD that is taken; and it leaves few routes to the app.
func (o *observed) loses(t *testing.T, taken string) {
	t.Helper()
	text, err := os.ReadFile(o.config)
	if err != nil {
		t.Fatal(err)
	}
	nobody := freePort(t)
	write(t, o.config, strings.NewReplacer(
		"\nmysql: [", fmt.Sprintf("\nmysql: [{name: gone, dsn: 'resp@tcp(127.0.0.1:%d)/'}, ", nobody),
		"\nredis:\n", fmt.Sprintf("\nredis:\n  - {name: gone, url: 'redis://127.0.0.1:%d/0'}\n", nobody),
		"unixgram://"+o.socket+`"]}`, "unixgram://"+o.socket+`", "udp://`+taken+`"], max_routes: 3}`,
	).Replace(string(text)))
	if err := o.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		m := o.scrape(t)
		return all(m.want(0, "resp_up", "component=mysql:gone"), m.want(0, "resp_up", "component=redis:gone"), m.want(0, "resp_statsd_listening", "listen=udp://"+taken))
	})
}

// leaks starts another shop of which one worker leaks 40 kB in each second request. It
// reports its requests to a StatsD address.
func (o *observed) leaks(t *testing.T, statsd string) {
	t.Helper()
	name := unique("leaks")
	a := serve(t, launch{server: "gunicorn", name: name, args: []string{"-w", "1", "--statsd-host", statsd, "--dogstatsd-tags", "app:" + name}})
	o.configure(t, a)
	a.traffic(t, 4, "/leak?kb=40", "/products")
}

// watchAgain starts a second exporter that sees the same, and only plans.
func (o *observed) watchAgain(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(o.config)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "statsd:") {
			kept = append(kept, line)
		}
	}
	config := strings.Replace(strings.Join(kept, ""), "mode: enforce", "mode: dry_run", 1)
	o.second = watch(t, export{config: config, args: []string{"--state.dir=" + filepath.Join(openDir(t), "state"), "--leak.time-scale=150"}})
}

// alertmanager starts an Alertmanager with the shipped routes, which notifies the first
// exporter, and returns its address.
func (o *observed) alertmanager(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	routed, err := rules.Routing{Webhook: o.url + "/api/v1/alerts", TokenFile: o.token, Interval: 15 * time.Second, Repeat: time.Minute}.Route(text)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := openDir(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := start(t, run.Spec{Name: "alertmanager", Path: "prometheus-alertmanager", Args: []string{
		"--config.file=" + write(t, filepath.Join(dir, "alertmanager.yml"), string(routed)), "--storage.path=" + filepath.Join(dir, "am"),
		"--web.listen-address=" + address, "--cluster.listen-address=", "--log.level=error",
	}})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return address
}

// prometheus starts one that scrapes both exporters, Alertmanager and itself.
func (o *observed) prometheus(t *testing.T, interval time.Duration, manager string) string {
	t.Helper()
	shipped, err := filepath.Abs(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := openDir(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := joined(
		fmt.Sprintf("global: {scrape_interval: %s, evaluation_interval: %[1]s}", interval),
		"rule_files: ["+filepath.Join(shipped, "*.rules.yml")+"]",
		fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}", manager),
		"scrape_configs:",
	)
	for _, job := range [][]string{{"resp", o.instance(), strings.TrimPrefix(o.second.url, "http://")}, {"alertmanager", manager}, {"prometheus", address}} {
		config += fmt.Sprintf("  - {job_name: %s, static_configs: [{targets: ['%s']}]}\n", job[0], strings.Join(job[1:], "', '"))
	}
	p := start(t, run.Spec{Name: "prometheus-" + interval.String(), Path: "prometheus", Args: []string{
		"--config.file=" + write(t, filepath.Join(dir, "prometheus.yml"), config),
		"--storage.tsdb.path=" + filepath.Join(dir, "tsdb"), "--web.listen-address=" + address, "--log.level=warn",
	}})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

// instance is how Prometheus calls the first exporter.
func (o *observed) instance() string { return strings.TrimPrefix(o.url, "http://") }

// relay returns each datagram that it receives to several receivers, as an app
// has but one address to report to.
type relay struct {
	address string

	mu sync.Mutex
	on []net.Conn
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	in, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: in.LocalAddr().String()}
	t.Cleanup(func() { _ = in.Close() })
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, _, err := in.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			r.mu.Lock()
			for _, c := range r.on {
				_, _ = c.Write(buffer[:n])
			}
			r.mu.Unlock()
		}
	}()
	return r
}

// to sets the addresses that get all later datagrams.
func (r *relay) to(t *testing.T, addresses ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addresses {
		c, err := net.Dial("udp", a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		r.on = append(r.on, c)
	}
}

// datagram sends one line of StatsD.
func datagram(address, line string) error {
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(line))
	return errors.Join(err, c.Close())
}
