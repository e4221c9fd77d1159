package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// payloads returns hostile label values: for a shell, a database, a template, a path, a URL, a
// page, a log.
func payloads(marker, url string) []string {
	return []string{
		"$(touch " + marker + ")", "`touch " + marker + "`", "shop; touch " + marker, "shop\ntouch " + marker, "|touch " + marker, "-rf", "--help", "$IFS$9",
		"shop'; DROP TABLE shop.orders; --", `shop" OR 1=1 -- `, "shop'); CALL resp_heal.kill_idle(1,1,0,0,@a); --", "1; KILL 1", "shop\x00", "shop*", "sess?on:", "*",
		"{{ .Labels }}", "{{7*7}}", "${jndi:ldap://127.0.0.1/x}", "%s%n", "<script>alert(1)</script>", "../../../../etc/passwd", "/etc/passwd",
		url + "/stolen", "@" + strings.TrimPrefix(url, "http://"), "shop\r\nX-Evil: 1", `","action":"run_command"`, strings.Repeat("A", 3_000), "\u202eshop", "shop ", "SHOP",
	}
}

// hostile is an alert that is full of a payload: as each name that an action
// looks at, but for those that labels say, and wherever else something may stand.
func hostile(alert, n, p string, labels map[string]string) map[string]any {
	set := map[string]string{"alertname": alert, "n": n, "severity": p, p: p}
	for _, name := range []string{"app", "pool", "mysql", "redis", "queue", "instance", "path", "url", "command", "user", "worker", "pid"} {
		set[name] = p
	}
	maps.Copy(set, labels)
	return map[string]any{
		"status": "firing", "labels": set, "annotations": map[string]string{"summary": p, "runbook_url": p, p: p}, "startsAt": time.Now().UTC(), "fingerprint": p, "generatorURL": p,
	}
}

// notify sends alerts as one notification, which must be taken.
func (h *sick) notify(t *testing.T, p string, alerts ...any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": p, "receiver": p, "externalURL": p, "status": "firing", "alerts": alerts,
		"commonLabels": map[string]string{p: p}, "commonAnnotations": map[string]string{p: p}, "groupLabels": map[string]string{p: p},
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, err := h.post("/api/v1/alerts", string(body), healToken); err != nil || status != 202 {
		t.Fatalf("%.40q: %d %s %v", p, status, answer, err)
	}
}

// TestHostileLabels sends alerts whose labels hold payloads. Labels only select among
// names of the configuration; they reach no command, statement, path, URL or page. No rule
// names an app, a pool, a server or a queue, so that each payload takes such a place.
func TestHostileLabels(t *testing.T) {
	t.Parallel()
	h, calls, out := startEvery(t)
	trap, trapped := receiver(t)
	marker := filepath.Join(openDir(t), "marker")
	evil := payloads(marker, strings.TrimSuffix(trap, "/hunter2-path"))
	before := h.loot(t)
	h.handedOver(t, calls, out, evil)
	seen, planned := map[string]step{}, map[string]int{}
	for i, p := range evil {
		var alerts []any
		for _, c := range everyAction {
			alerts = append(alerts, hostile(c.alert, fmt.Sprint(i), p, nil))
		}
		// And where the app is a real one, the rest of what is looked for in it.
		shop := map[string]string{"app": "shop", "again": "yes"}
		for _, alert := range []string{"Leaked", "Sessions", "Task"} {
			alerts = append(alerts, hostile(alert, fmt.Sprint(i), p, shop))
		}
		h.notify(t, p, alerts...)
		h.idle(t)
		for _, r := range h.list(t, "") { // which has not place for all of them
			seen[r.ID] = r
		}
	}
	for _, r := range seen {
		result := r.State
		if len(r.Before) > 0 {
			result = r.Before[0].Result
		}
		planned[r.Rule+" "+result]++
		if r.Alert.Labels["n"] == "" { // of handedOver
			continue
		}
		if r.Done != 0 || result != "refused" && result != "unplanned" && (r.Rule != "person" || result != "escalated") {
			t.Errorf("%s of %.60q is %s, done %d: %s %+v", r.Rule, r.Alert.Labels["app"], result, r.Done, r.Reason, r.Plan.Victims)
		}
	}
	t.Logf("runs: %v", planned)
	for _, c := range everyAction[:5] { // each payload came as far as that
		if n := planned[c.rule+" refused"] + planned[c.rule+" unplanned"]; n < len(evil) {
			t.Errorf("only %d runs of %s", n, c.rule)
		}
	}
	if now := h.loot(t); now != before {
		t.Errorf("something is changed:\n%s\nit was:\n%s", now, before)
	}
	if _, err := os.Stat(marker); err == nil || len(trapped)+len(calls) > 0 {
		t.Errorf("a payload was run (%v), or called (%d, and the hook %d)", err, len(trapped), len(calls))
	}
	h.escaped(t)
}

// idle waits until nothing waits or acts.
func (h *sick) idle(t *testing.T) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		for _, r := range h.list(t, "") {
			switch r.State {
			case "queued", "running", "verifying", "leased", "step_failed":
				return fmt.Errorf("%s is %s", r.Rule, r.State)
			}
		}
		return nil
	})
}

// loot is what a payload would have taken, changed or ended.
func (h *sick) loot(t *testing.T) string {
	t.Helper()
	db, err := h.stores.db.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var tables, users string
	for query, to := range map[string]*string{
		"SELECT GROUP_CONCAT(table_schema, '.', table_name ORDER BY 1 SEPARATOR ' ') FROM information_schema.tables WHERE table_schema IN ('shop', 'resp_heal')": &tables,
		"SELECT GROUP_CONCAT(user, '@', host ORDER BY 1 SEPARATOR ' ') FROM mysql.user":                                                                          &users,
	} {
		if err := db.QueryRowContext(t.Context(), query).Scan(to); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(tables, "shop.orders") {
		t.Fatalf("tables are %s", tables)
	}
	expires, keys, none := h.stores.redis.expiries("session:")
	queue := h.stores.redis.cli("LLEN", "rq:queue:default") + " " + h.stores.redis.cli("ZCARD", "rq:wip:default")
	m := h.scrapedInTime(t)
	workers, _ := m.sum("resp_task_workers", "app=shop")
	return joined(tables, users, fmt.Sprint("sessions ", keys, none, expires), "jobs "+queue, fmt.Sprint("leaked ", h.leaky(t)), fmt.Sprint("workers ", m.pids("shop"), workers),
		fmt.Sprint("status ", h.shop.get("/healthz")))
}

// handedOver checks what a program and a hook get: fixed arguments, a fixed environment,
// path and headers, and the payloads only in strings of JSON.
func (h *sick) handedOver(t *testing.T, calls chan received, out string, evil []string) {
	t.Helper()
	labels := map[string]string{}
	for i, p := range evil {
		labels[fmt.Sprintf("p%02d", i)] = p
	}
	given := func(where, body string) {
		t.Helper()
		var g struct {
			Alert struct{ Labels map[string]string }
		}
		if err := json.Unmarshal([]byte(body), &g); err != nil {
			t.Errorf("%s got %q: %v", where, body, err)
		}
		for name, p := range labels {
			got := g.Alert.Labels[name]
			if len(p) < 256 && !strings.ContainsAny(p, "\r\n\x00") && got != p || len(got) > 300 || strings.ContainsAny(got, "\r\n\x00") {
				t.Errorf("%s got %.60q for %.60q", where, got, p)
			}
		}
		if strings.Contains(body, "root:x:") {
			t.Errorf("%s got a file: %s", where, body)
		}
	}
	for _, alert := range []string{"Command", "Call"} {
		set := maps.Clone(labels)
		set["alertname"] = alert
		h.notify(t, "x", map[string]any{"status": "firing", "labels": set, "startsAt": time.Now().UTC(), "annotations": map[string]string{"summary": "<script>alert(1)</script>{{7*7}}"}})
		h.becomes(t, 30*time.Second, strings.ToLower(alert), "verified")
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	fixed, body, _ := strings.Cut(string(b), "{")
	lines := strings.Split(strings.TrimSpace(fixed), "\n")
	if len(lines) < 3 || !slices.Equal(lines[:2], []string{"one", "two words"}) {
		t.Fatalf("arguments are %q", lines)
	}
	for _, line := range lines[2:] { // what the shell of the program has added is PWD and the like
		if name, _, _ := strings.Cut(line, "="); !slices.Contains([]string{"PATH", "PWD", "OLDPWD", "SHLVL", "_"}, name) || strings.Contains(line, "touch") {
			t.Errorf("in the environment is %q", line)
		}
	}
	given("the program", "{"+body)
	c := <-calls
	if c.path != "/hunter2-path" || strings.Contains(c.header, "touch") || strings.Contains(strings.ToLower(c.header), "evil") || strings.Contains(c.header, "script") {
		t.Errorf("called %+v", c)
	}
	given("the hook", c.body)
}

// escaped checks that the page has the payloads as text, and that they add no line to the
// log and the journal.
func (h *sick) escaped(t *testing.T) {
	t.Helper()
	shown := h.shown(t)
	if page := shown["/"]; strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}") {
		t.Error("the page has a payload as it is, or not at all")
	}
	for line := range strings.Lines(shown["the log"]) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "touch ") {
			t.Errorf("a line of the log is %q", line)
		}
	}
	for line := range strings.Lines(shown["the journal"]) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the journal is %.300q", line)
		}
	}
	for where, text := range shown {
		if strings.Contains(text, "root:x:") {
			t.Errorf("a file is in %s", where)
		}
	}
}
