package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// neighbour is the user of another tenant. The app of this file runs as the attacker.
const neighbour = 65533

// healer starts an exporter in enforce mode with these lines of configuration
// and of healing.rules.
func healer(t *testing.T, config string, rules ...string) *sick {
	t.Helper()
	needRoot(t)
	token := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	config += joined(append([]string{"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: " + token, "  breaker: {failures: 100, window: 1h, hold: 1m}", "  rules:"}, rules...)...)
	state := filepath.Join(openDir(t), "state")
	return &sick{exporter: watch(t, export{config: config, args: []string{"--state.dir=" + state}}), state: state, token: token}
}

// ends waits until the newest run of a rule has ended, and reports its state.
func (h *sick) ends(t *testing.T, rule string) (last step) {
	t.Helper()
	eventually(t, 90*time.Second, func() error {
		list := h.list(t, rule)
		if len(list) == 0 {
			return fmt.Errorf("no run of %s", rule)
		}
		switch last = list[0]; last.State {
		case "queued", "running", "verifying":
			return fmt.Errorf("the run of %s is %s", rule, last.State)
		}
		return nil
	})
	return last
}

// spares waits until the newest run of a rule has ended, and returns an error unless it was
// refused and the process is the same as before. It does not wait for a process that has
// ended.
func (h *sick) spares(t *testing.T, rule string, w tenantWorker) error {
	t.Helper()
	var last step
	eventually(t, 90*time.Second, func() error {
		list := h.list(t, rule)
		if len(list) == 0 {
			return fmt.Errorf("no run of %s", rule)
		}
		if last = list[0]; alive(w.pid, w.start) == nil && (last.State == "queued" || last.State == "running" || last.State == "verifying") {
			return fmt.Errorf("the run of %s is %s", rule, last.State)
		}
		return nil
	})
	t.Logf("%s: %s, %s", rule, last.State, last.Reason)
	return all(alive(w.pid, w.start), wants("state", last.State, "refused"), wants("done", last.Done, 0))
}

// tenantWorker is a process that the attacker names.
type tenantWorker struct {
	pid   int
	start string
}

// under returns the one child of a supervisor, once it has a connection.
func under(t *testing.T, p *run.Proc) (w tenantWorker) {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		kids := procid.Children("/proc", p.PID())
		if len(kids) != 1 {
			return fmt.Errorf("%d children", len(kids))
		}
		start, err := startOf(kids[0])
		w = tenantWorker{kids[0], start}
		if err == nil && sockets(t, w.pid) == 0 {
			err = fmt.Errorf("process %d has no connection yet", w.pid)
		}
		return err
	})
	return w
}

// claim writes into a Redis, as any app with it may, that a process is a worker
// of a queue which holds a job for an hour, while another one waits.
func (r *redisServer) claim(t *testing.T, queue, name string, pid int) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	now, old := time.Now().UTC().Format(time.RFC3339), time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	r.cli("HSET", "rq:worker:"+name, "hostname", host, "pid", strconv.Itoa(pid), "birth", now, "last_heartbeat", now, "current_job", "job-"+name)
	r.cli("HSET", "rq:job:job-"+name, "started_at", old, "origin", queue)
	r.cli("SADD", "rq:workers:"+queue, "rq:worker:"+name)
	r.cli("RPUSH", "rq:queue:"+queue, "another")
}

// held waits until a worker of RQ has worked for longer than d on the only job of the queue
// that is under way (RQ: the job's started_at).
func (r *redisServer) held(t *testing.T, queue string, d time.Duration) {
	t.Helper()
	eventually(t, d+20*time.Second, func() error {
		began, err := time.Parse(time.RFC3339, r.cli("HGET", "rq:job:"+r.cli("ZRANGE", "rq:wip:"+queue, "0", "-1"), "started_at"))
		return all(err, wants("the job was started long ago", time.Since(began) > d, true))
	})
}

// TestAttackTenantNamesWorkers checks that no process of another owner is signalled that
// an app's Redis names as a worker that hangs: one of another user, of another Redis or
// database, with another name there, with a false title, or of a queue of two apps. The
// app's own worker that hangs is replaced.
func TestAttackTenantNamesWorkers(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights + " " + restartRights)
	other := startRedis(t)
	rq := func(uid int, url, queue string) []string {
		return attackAs(uid, "/usr/bin/rq", "worker", "-u", url, queue)
	}
	at := func(r *redisServer, db int) string { return fmt.Sprintf("redis://127.0.0.1:%d/%d", r.port, db) }
	fake := func(title string, port int) []string {
		return attackAs(neighbour, "/bin/bash", "-c", `exec -a "$0" /usr/bin/python3 -c "import socket, time; c = socket.create_connection(('127.0.0.1', $1)); time.sleep(3600)"`, title, strconv.Itoa(port))
	}
	cases := map[string][]string{ // by queue: the process that is named
		"users":     rq(neighbour, at(b.redis, 0), "theirs"),       // another user's, of the same Redis
		"elsewhere": rq(neighbour, at(other, 0), "elsewhere"),      // another user's, of another Redis
		"servers":   rq(attacker, at(other, 0), "servers"),         // of another Redis
		"databases": rq(attacker, at(b.redis, 1), "databases"),     // of another database
		"names":     rq(attacker, at(b.redis, 0), "named"),         // another worker of this Redis
		"shared":    rq(attacker, at(b.redis, 0), "shared"),        // of another app, which has a queue of that name
		"titles":    fake("rq: Listening on titles", b.redis.port), // no worker at all
	}
	workers := make(map[string]tenantWorker)
	processes := make(map[string]*run.Proc)
	for queue, argv := range cases {
		processes[queue] = b.supervised(argv...)
	}
	for queue, p := range processes {
		workers[queue] = under(t, p)
	}
	own := b.supervised(rq(attacker, at(b.redis, 0), "own")...)
	under(t, own)
	b.enqueue("own", "900", "0.1")

	module := unique("tenant")
	config := redisSection(t, "broker", b.redis.url(), "again", "unix://"+redisUser+"@"+b.redis.socket()) + joined(
		"monitoring_interval: 1s", "apps:",
		"  - {name: shop, match: {cmdline: "+module+", user: \"65534\"}, tasks: [{type: rq, redis: broker, queues: [users, elsewhere, servers, databases, names, titles, shared, own]}]}",
		"  - {name: blog, match: {cmdline: "+module+"blog, user: \"65534\"}, tasks: [{type: rq, redis: again, queues: [shared]}]}")
	var rules []string
	for queue := range workers {
		rules = append(rules, restartRule(queue, "2s")...)
	}
	h := healer(t, config, append(rules, restartRule("own", "180s")...)...)
	for queue, w := range workers {
		name := "w" + queue
		if queue == "shared" { // as in the entry
			name = strings.TrimPrefix(strings.Fields(b.redis.cli("SMEMBERS", "rq:workers:shared"))[0], "rq:worker:")
		}
		b.redis.claim(t, queue, name, w.pid)
		h.reported(t, "Stuck-"+queue, "app=shop", "queue="+queue)
	}
	for queue, w := range workers {
		if t.Failed() {
			break // what the others wait for is the run that has done harm
		}
		if err := h.spares(t, queue, w); err != nil {
			t.Errorf("%s: %v", queue, err)
		}
	}
	if t.Failed() {
		return
	}
	b.redis.held(t, "own", 5*time.Second) // longer than min_stuck
	h.reported(t, "Stuck-own", "app=shop", "queue=own")
	if last := h.ends(t, "own"); last.State != "verified" || last.Done != 1 {
		t.Errorf("the app's own worker: %s, %s", last.State, last.Reason)
	}
	if log := b.redis.cli("ACL", "LOG"); strings.Contains(log, redisUser) {
		t.Errorf("refused: %s", log)
	}
}

// restartRule is a rule that restarts workers when an alert of the queue comes.
func restartRule(queue, verify string) []string {
	return []string{
		"    - name: " + queue, "      match: {alertname: Stuck-" + queue + "}", "      cooldown: 180s", "      steps:",
		"        - action: restart_task", "          with: {idempotent: true, min_stuck: 4s}", "          verify_within: " + verify,
	}
}

// TestAttackTenantNamesWorkersWithoutClientList checks that without the right to CLIENT
// LIST the kernel's table of sockets is the proof: a worker of the app's user that is
// connected to another Redis is not a worker of this one, even if its port is the same.
func TestAttackTenantNamesWorkersWithoutClientList(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	other := startRedis(t)
	w := under(t, b.supervised(attackAs(attacker, "/usr/bin/rq", "worker", "-u", fmt.Sprintf("redis://127.0.0.1:%d/0", other.port), "mail")...))
	under(t, b.supervised(attackAs(attacker, "/usr/bin/rq", "worker", "-u", fmt.Sprintf("redis://127.0.0.1:%d/0", b.redis.port), "own")...))
	b.enqueue("own", "900", "0.1")
	b.redis.claim(t, "mail", "evil", w.pid)
	h := healer(t, redisSection(t, "broker", b.redis.url())+
		"apps: [{name: shop, match: {cmdline: "+unique("tenant")+", user: \"65534\"}, tasks: [{type: rq, redis: broker, queues: [mail, own]}]}]\n",
		append(restartRule("mail", "2s"), restartRule("own", "180s")...)...)
	h.reported(t, "Stuck-mail", "app=shop", "queue=mail")
	if err := h.spares(t, "mail", w); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	b.redis.held(t, "own", 5*time.Second) // longer than min_stuck
	h.reported(t, "Stuck-own", "app=shop", "queue=own")
	if last := h.ends(t, "own"); last.State != "verified" || last.Done != 1 {
		t.Errorf("the app's own worker: %s, %s", last.State, last.Reason)
	}
}
