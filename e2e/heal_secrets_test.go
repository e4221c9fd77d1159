package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

// everyRule has one rule for each action. URL, HOOK and ARGV are replaced.
const everyRule = `    - name: leaked
      match: {alertname: Leaked}
      steps: [{action: kill_leaked_connections, with: {min_idle: 3s, max_victims: 50, max_fraction: 1, max_trx_rows: 100, procedure: resp_heal.kill_idle}}, {action: escalate}]
    - name: long
      match: {alertname: Long}
      steps: [{action: kill_long_queries, with: {users: [shop], min_time: 2s, max_victims: 5, procedure: resp_heal.kill_query}}, {action: escalate}]
    - name: recycle
      match: {alertname: Recycle}
      steps: [{action: recycle_worker, with: {pick: largest, min_age: 1s, IMPORT}, verify_within: 60s}, {action: escalate}]
    - name: sessions
      match: {alertname: Sessions}
      steps: [{action: purge_sessions, with: {min_idle: 3s, max_keys: 1000, max_fraction: 1}}, {action: escalate}]
    - name: task
      match: {alertname: Task}
      steps: [{action: restart_task, with: {idempotent: true, min_stuck: 3s}, verify_within: 60s}, {action: escalate}]
    - name: call
      match: {alertname: Call}
      steps: [{action: call_http, with: {url: "URL", token_file: HOOK}}, {action: escalate}]
    - name: command
      match: {alertname: Command}
      steps: [{action: run_command, with: {argv: [ARGV]}}, {action: escalate}]
    - name: person
      match: {alertname: Person}
      steps: [{action: escalate}]`

// everyAction lists which alert starts each rule of everyRule, and how its run ends.
var everyAction = []struct{ rule, alert, state string }{
	{"leaked", "Leaked", "verified"}, {"long", "Long", "verified"}, {"recycle", "Recycle", "verified"}, {"sessions", "Sessions", "verified"},
	{"task", "Task", "verified"}, {"call", "Call", "verified"}, {"command", "Command", "verified"}, {"person", "Person", "escalated"},
}

// received is what a hook got.
type received struct{ path, header, body string }

// receiver is a server that keeps what it is sent. Its path is a secret, too.
func receiver(t *testing.T) (url string, got chan received) {
	t.Helper()
	got = make(chan received, 16)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		got <- received{r.URL.String(), fmt.Sprint(r.Header), string(b)}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hunter2-path", got
}

// hookCommand returns a program that writes its arguments and standard input to a file, in
// a directory that only root can change.
func hookCommand(t *testing.T) (path, out string) {
	t.Helper()
	dir, err := os.MkdirTemp("/root", "resp-e2e-") //nolint:usetesting // anybody may write to the directory above the others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	out = filepath.Join(dir, "out")
	path = filepath.Join(dir, "note")
	text := "#!/bin/sh\n{ for a in \"$@\"; do printf '%s\\n' \"$a\"; done; env; cat; } > " + out + ".new && mv " + out + ".new " + out + "\n"
	if err := actiontest.WriteProgram(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, out
}

// startEvery starts a shop with a rule for each action, and what each has to do.
func startEvery(t *testing.T, mariadb ...string) (h *sick, calls chan received, out string) {
	t.Helper()
	needRoot(t)
	url, calls := receiver(t)
	secret := write(t, filepath.Join(t.TempDir(), "hook"), "hunter2-token-of-the-hook\n")
	program, out := hookCommand(t)
	section := strings.NewReplacer("URL", url, "HOOK", secret, "ARGV", program+", one, two words", "IMPORT", importCheck).Replace(everyRule)
	h = startSick(t, sickness{mariadb: mariadb, rules: []string{section}, more: []string{"thresholds: {response_time: {warning: 1, critical: 2}}"}})
	h.leak(t, 5)
	r := h.stores.redis
	r.restored("session:eternal:hunter2-id:", 200, 0, "IDLETIME 9000")
	r.restored("session:expires:hunter2-id:", 200, 7_200_000, "IDLETIME 9000")
	if status := h.shop.get("/fault/stuck-job?s=600"); status != http.StatusAccepted {
		t.Fatalf("status %d", status)
	}
	eventually(t, 20*time.Second, func() error { return wants("jobs under way", r.cli("ZCARD", "rq:wip:default"), "1") })
	waits := startPython(t, h.stores, "import stores, rq\nrq.Queue('default', connection=stores.cache()).enqueue('jobs.write_order', {'1': 31337}, job_timeout=60)")
	<-waits.Done()
	long(t, h)
	lasts(t, h, 1, 0)
	h.shop.behind("/fault/slow-query?s=55") // it ends first, so it begins last
	lasts(t, h, 2, 4)
	return h, calls, out
}

// lasts waits until so many long statements of startEvery have run for that long. Both began
// last, so that after 4 s all it starts has lasted longer than any minimum of everyRule.
func lasts(t *testing.T, h *sick, statements, seconds int) {
	t.Helper()
	db, err := h.stores.db.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	eventually(t, 20*time.Second, func() error {
		n := 0
		err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = 'shop' AND COMMAND = 'Query' AND INFO LIKE '%SLEEP(%' AND TIME >= ?", seconds).Scan(&n)
		return all(err, wants(fmt.Sprintf("statements that have run for %d s", seconds), n, statements))
	})
}

// long runs a statement of the shop's user with a literal that must be seen nowhere, for longer
// than a test lasts: the shop's own engine would give up before.
func long(t *testing.T, h *sick) *run.Proc {
	t.Helper()
	return startPython(t, h.stores, `import os, sqlalchemy
with sqlalchemy.create_engine(os.environ["SHOP_DB"]).connect() as c:
    c.execute(sqlalchemy.text("SELECT SLEEP(1000), 'hunter2-literal', 8675309"))`)
}

// TestHealingKeepsSecrets checks after a run of each action that tokens, passwords,
// addresses with logins, values of statements and names of sessions and jobs are in no
// output: log, journal, page, metrics, API, errors.
func TestHealingKeepsSecrets(t *testing.T) {
	t.Parallel()
	h, calls, out := startEvery(t)
	expires, _, _ := h.stores.redis.expiries("session:expires:")
	for _, c := range everyAction {
		labels := []string{"app=shop"}
		switch c.rule {
		case "leaked":
			labels = append(labels, "pool=main")
		case "long":
			labels = []string{"mysql=main"}
		case "sessions":
			labels = append(labels, "redis=cache")
		case "task":
			labels = append(labels, "queue=default")
		}
		h.reported(t, c.alert, labels...)
		h.becomes(t, 90*time.Second, c.rule, c.state)
	}
	if now, keys, none := h.stores.redis.expiries("session:expires:"); now != expires || keys != 200 || none != 0 {
		t.Errorf("sessions that have an expiry were changed: %d, %d without", keys, none)
	}
	select {
	case c := <-calls:
		if !strings.Contains(c.header, "hunter2-token-of-the-hook") || strings.Contains(c.body, "hunter2") {
			t.Errorf("the hook got %+v", c)
		}
	default:
		t.Error("nobody was called")
	}
	if b, err := os.ReadFile(out); err != nil || strings.Contains(string(b), "hunter2") {
		t.Errorf("the program got %s, %v", b, err)
	}
	// Errors have no secrets either.
	h.stores.db.Stop()
	h.stores.redis.proc.Stop()
	for _, body := range []string{"{", `{"version":"4","alerts":[{"status":"x"}]}`, notification("Leaked", "hunt")} {
		for _, token := range []string{healToken, "wrong"} {
			if _, _, err := h.post("/api/v1/alerts", body, token); err != nil {
				t.Error(err)
			}
		}
	}
	shown := h.shown(t)
	words := []string{healToken, "hunter2", word, redisPassword, shopWord, redisUser, "redis://", "@tcp(", "resp@", "8675309", "31337", "write_order", "SLEEP(55)", "SLEEP(1000)", "session:expires"}
	for where, text := range shown {
		if len(text) == 0 {
			t.Errorf("%s is empty", where)
		}
		for _, w := range words {
			if i := strings.Index(text, w); i >= 0 {
				t.Errorf("%q is in %s: …%s…", w, where, text[max(i-80, 0):min(i+80, len(text))])
			}
		}
	}
	for _, c := range everyAction[:7] {
		if !strings.Contains(shown["the journal"], `"rule":"`+c.rule+`"`) {
			t.Errorf("the journal has nothing of %s", c.rule)
		}
	}
}

// shown is everything that the exporter shows or has written.
func (h *sick) shown(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"the log": h.Output(4 << 20)}
	paths := []string{"/", "/metrics", "/api/v1/status", "/api/v1/runs"}
	for _, r := range h.list(t, "") {
		paths = append(paths, "/api/v1/runs/"+r.ID)
	}
	for _, path := range append(paths, "/api/v1/runs/r-none", "/api/v1/pause") {
		_, body, err := h.get(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		out[path] = body
	}
	files, err := filepath.Glob(filepath.Join(h.state, "*.json*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out["the journal"] += string(b)
	}
	return out
}
