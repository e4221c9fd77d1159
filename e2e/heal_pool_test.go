package e2e_test

import (
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rulePool ends leaked connections, all of them if need be.
var rulePool = []string{
	"    - name: pool", "      match: {alertname: RespPoolLeak}", "      cooldown: 30s", "      steps:", "        - action: kill_leaked_connections",
	"          with: {app: shop, pool: main, min_idle: 3s, max_victims: 50, max_fraction: 0.9, max_trx_rows: 100, procedure: resp_heal.kill_idle}",
	"          verify_within: 30s", "        - action: escalate",
}

// leaky lists the connections of the shop's user that sleep in a transaction.
func (h *sick) leaky(t *testing.T) (ids []uint64) {
	t.Helper()
	db, err := h.stores.db.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT p.ID FROM information_schema.processlist p JOIN information_schema.innodb_trx x ON x.trx_mysql_thread_id = p.ID
		WHERE p.USER = 'shop' AND p.COMMAND = 'Sleep' AND p.TIME >= 2 ORDER BY p.ID`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// leak requests that the shop leaks n connections.
func (h *sick) leak(t *testing.T, n int) {
	t.Helper()
	for range n {
		if status := h.shop.get("/fault/leak-connection"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
}

// TestScenarioPoolStress leaks connections under load until the shipped rule fires. It
// checks that of more than two hundred connections exactly the leaked ones end, that the
// pool recovers, and that no request fails.
func TestScenarioPoolStress(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{rules: rulePool, pool: ", size: 5, max_overflow: 10"})
	execute(t, h.stores.db, "CREATE USER 'report'@'%' IDENTIFIED BY 'report'; GRANT SELECT ON shop.* TO 'report'@'%'; CREATE USER 'cron'@'%' IDENTIFIED BY 'cron'")
	others := slices.Concat(
		crowd(t, h.stores.db, "report", 120, "START TRANSACTION", "SELECT * FROM shop.products"), // as sick as the leaked ones, and not ours
		crowd(t, h.stores.db, "cron", 68, "SELECT 1"))
	_, alertmanager := h.alerting(t)
	l := h.shop.traffic(t, 12, "/products", "/", "/products/3")
	quiet := l.quiet(t)
	fault := time.Now()
	var leaked []uint64
	untold(t, alertmanager, func() { // or the first ones may end before the last one leaks
		h.leak(t, 12)
		eventually(t, 20*time.Second, func() error {
			leaked = h.leaky(t)
			return all(wants("leaked", len(leaked), 12), h.scrape(t).want(12, "resp_pool_connections", "app=shop", "state=leaked"))
		})
		if n := len(present(t, h.stores.db)); n < 200 {
			t.Errorf("%d connections", n)
		}
	})
	last := h.becomes(t, 90*time.Second, "pool", "verified")
	t.Logf("verified %s after the fault", time.Since(fault).Round(time.Second))
	healed := time.Now()
	var planned []uint64
	for _, v := range last.Plan.Victims {
		id, err := strconv.ParseUint(v.ID, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		planned = append(planned, id)
	}
	slices.Sort(planned)
	there := present(t, h.stores.db)
	if gone := without(leaked, there); last.Done != 12 || !slices.Equal(planned, leaked) || !slices.Equal(gone, leaked) {
		t.Errorf("leaked were %v, planned %v (%s), done %d, gone are %v", leaked, planned, last.Plan.Summary, last.Done, gone)
		h.explain(t, without(leaked, planned))
	}
	if gone := without(others, there); len(gone) > 0 {
		t.Errorf("gone are %v, which are not the app's", gone)
	}
	eventually(t, 30*time.Second, func() error {
		m := h.scrape(t)
		return all(m.want(0, "resp_pool_connections", "app=shop", "state=leaked"), wants("requests since", l.between(healed, time.Now()).n > 40, true))
	})
	l.end()
	during, after := l.between(fault, healed), l.between(healed, time.Now())
	if bad := during.bad + after.bad; bad > 0 {
		t.Errorf("%d of %d requests were not answered with 200, first %+v %+v", bad, during.n+after.n, during.worst, after.worst)
	}
	during.likeQuiet(t, "while connections leaked and were ended", quiet)
	after.likeQuiet(t, "afterwards", quiet)
	if runs := h.list(t, ""); len(runs) != 1 {
		t.Errorf("%d runs: %+v", len(runs), runs)
	}
}

// explain logs what the server and the kernel know of connections whose holder was not found:
// their clients, and the sockets that have these ports.
func (h *sick) explain(t *testing.T, ids []uint64) {
	t.Helper()
	db, err := h.stores.db.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, id := range ids {
		var client string
		if err := db.QueryRowContext(t.Context(), "SELECT CONCAT(USER, ' ', HOST) FROM information_schema.processlist WHERE ID = ?", id).Scan(&client); err != nil {
			t.Logf("connection %d: %v", id, err)
			continue
		}
		port := client[strings.LastIndexByte(client, ':')+1:]
		out, err := exec.CommandContext(t.Context(), "ss", "-tanpeH", "( sport = :"+port+" or dport = :"+port+" )").CombinedOutput() //nolint:gosec // a port
		t.Logf("connection %d: %s, %v\n%s", id, client, err, out)
	}
	list, err := exec.CommandContext(t.Context(), "ss", "-tlnpH").CombinedOutput()
	t.Logf("listeners, %v:\n%s", err, list)
}

// TestScenarioPoolExhausted checks a worker whose exhausted pool waits for its own
// connections: ending them would not return them to the pool, so the worker is replaced
// and the others continue.
func TestScenarioPoolExhausted(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{
		workers: 2, pool: ", size: 2, max_overflow: 1", env: []string{"SHOP_POOL_SIZE=2", "SHOP_POOL_OVERFLOW=1"},
		rules: []string{
			"    - name: exhausted", "      match: {alertname: RespPoolNearlyExhausted}", "      cooldown: 60s", "      steps:",
			"        - action: recycle_worker", "          with: {pick: most_leaked_connections, min_age: 1s, " + importCheck + "}", "          verify_within: 60s", "        - action: escalate",
		},
	})
	l := h.shop.traffic(t, 8, "/products")
	quiet := l.quiet(t)
	l.end()
	// One worker at least can give no connection any more.
	var began time.Time
	for range 40 {
		began = time.Now()
		if h.shop.get("/fault/leak-connection") != http.StatusOK || time.Since(began) > 5*time.Second {
			break
		}
	}
	if time.Since(began) < 5*time.Second {
		t.Fatal("no pool is exhausted")
	}
	eventually(t, 20*time.Second, func() error { return h.scrape(t).between(3, 6, "resp_pool_connections", "app=shop", "state=leaked") })
	h.reported(t, "RespPoolNearlyExhausted", "app=shop", "pool=main")
	h.becomes(t, 90*time.Second, "exhausted", "verified")
	if left := len(h.leaky(t)); left > 3 {
		t.Errorf("%d connections still leak", left)
	}
	h.shop.get("/fault/clear") // what the other worker has
	h.shop.get("/products")
	l = h.shop.traffic(t, 8, "/products")
	after := l.quiet(t)
	after.likeQuiet(t, "afterwards", quiet)
}
