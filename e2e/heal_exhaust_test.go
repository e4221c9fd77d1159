package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// startPython runs a few lines in the shop's directory, with its stores.
func startPython(t *testing.T, s shopStored, code string) *run.Proc {
	t.Helper()
	dir, err := filepath.Abs("shop")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, run.Spec{Name: "python", Path: python, Args: []string{"-B", "-c", code}, Dir: dir, Env: s.env})
}

// punctual is how long a scrape may take while something is exhausted: what a
// Prometheus waits by default is longer by far.
const punctual = 5 * time.Second

// scrapedInTime is a scrape that must come in time.
func (h *sick) scrapedInTime(t *testing.T) metrics {
	t.Helper()
	began := time.Now()
	m := h.scrape(t)
	if took := time.Since(began); took > scaled(punctual) {
		t.Errorf("a scrape took %s", took)
	}
	return m
}

// TestScenarioConnectionsAtMax leaks as many connections as the database allows, and checks
// that scrapes continue and the action can still connect.
func TestScenarioConnectionsAtMax(t *testing.T) {
	t.Parallel()
	everything := strings.Split(strings.Replace(strings.Join(rulePool, "\n"), "max_fraction: 0.9", "max_fraction: 1, clients: user", 1), "\n") // the test leaks them itself, not the shop
	h := startSick(t, sickness{rules: everything, mariadb: []string{"--max-connections=40"}})
	l := h.shop.traffic(t, 8, "/products")
	quiet := l.quiet(t)
	l.end()
	// One more than the server has place for cannot be had, by anybody.
	db, err := h.stores.db.OpenTCP("shop", shopWord)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	leaked := 0
	for ; ; leaked++ {
		conn, err := db.Conn(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), "1040") {
				t.Fatal(err)
			}
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
		do(t, conn, "START TRANSACTION", "SELECT * FROM shop.products")
	}
	eventually(t, 20*time.Second, func() error {
		return h.scrapedInTime(t).between(float64(leaked), 40, "resp_pool_connections", "app=shop", "state=leaked")
	})
	h.reported(t, "RespPoolLeak", "app=shop", "pool=main")
	last := h.becomes(t, 60*time.Second, "pool", "verified")
	if last.Done != leaked {
		t.Errorf("done %d, leaked %d", last.Done, leaked)
	}
	eventually(t, 30*time.Second, func() error {
		m := h.scrapedInTime(t)
		return all(m.want(1, "resp_up", "component=mysql:main"), m.want(0, "resp_pool_connections", "app=shop", "state=leaked"), wants("status", h.shop.get("/products"), 200))
	})
	eventually(t, 20*time.Second, func() error { return wants("connections of the exporter", sessionsOf(t, h.stores.db), 1) })
	l = h.shop.traffic(t, 8, "/products")
	after := l.quiet(t)
	after.likeQuiet(t, "afterwards", quiet)
}

// TestScenarioRedisMemory fills a Redis with sessions that never expire and cannot be
// evicted, until customers cannot change their carts. It checks that the action gives them
// an expiry and changes no session that had one.
func TestScenarioRedisMemory(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{
		rules: []string{
			"    - name: sessions", "      match: {alertname: RespSessionsWithoutExpiry}", "      cooldown: 60s", "      steps:", "        - action: purge_sessions",
			"          with: {grace: 1h, min_idle: 3s, max_keys: 50000, max_fraction: 0.99}", "          timeout: 60s", "          verify_within: 60s", "        - action: escalate",
		},
	})
	r := h.stores.redis
	post := func() int { return h.shop.status(t, http.MethodPost, "/cart/1") }
	if status := post(); status != 200 {
		t.Fatalf("a cart: status %d", status)
	}
	l := h.shop.traffic(t, 8, "/", "/products")
	quiet := l.quiet(t)
	fault := time.Now()
	r.restored("session:expires:", 300, 7_200_000, "")
	expires, _, _ := r.expiries("session:expires:")
	r.restored("session:eternal:", 9000, 0, "IDLETIME 9000")
	// Nothing is evicted before the action ends, so that its changes can be counted.
	r.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
	r.cli("CONFIG", "SET", "maxmemory", fmt.Sprint(int(r.info("used_memory"))-512<<10))
	eventually(t, 20*time.Second, func() error { return wants("status of a cart", post(), 500) })
	eventually(t, 30*time.Second, func() error {
		m := h.scrapedInTime(t)
		return all(m.want(9000, "resp_sessions_without_expiry", "app=shop"), m.want(1, "resp_up", "component=redis:cache"))
	})
	h.reported(t, "RespSessionsWithoutExpiry", "app=shop", "redis=cache")
	last := h.becomes(t, 90*time.Second, "sessions", "verified")
	if last.Done != 9000 {
		t.Errorf("done %d", last.Done)
	}
	if now, keys, none := r.expiries("session:expires:"); now != expires || keys != 300 || none != 0 {
		t.Errorf("sessions with an expiry were changed: %d, %d without", keys, none)
	}
	if _, keys, none := r.expiries("session:eternal:"); keys != 9000 || none != 0 {
		t.Errorf("%d sessions, %d without expiry", keys, none)
	}
	// The first that expire are those of the grace: an hour, the others have two.
	r.cli("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	eventually(t, 20*time.Second, func() error { return wants("status of a cart", post(), 200) })
	l.end()
	during := l.between(fault, time.Now())
	during.likeQuiet(t, "while Redis was full", quiet)
	if now, _, _ := r.expiries("session:expires:"); now != expires {
		t.Error("a session that had an expiry is gone")
	}
}

// status requests a page and returns the status.
func (a *app) status(t *testing.T, method, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://app"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestScenarioDiskFull fills the disk of the state directory: the alert is refused with
// 503 and no connection ends. It is handled when it is sent again after there is room.
func TestScenarioDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t)
	state := openDir(t)
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	h := startSick(t, sickness{state: state, rules: rulePool})
	h.leak(t, 6)
	eventually(t, 20*time.Second, func() error { return h.scrape(t).want(6, "resp_pool_connections", "app=shop", "state=leaked") })
	leaked := h.leaky(t)
	filler := filepath.Join(state, "filler")
	_ = os.WriteFile(filler, bytes.Repeat([]byte("x"), 128<<10), 0o600) // as much as there is room for
	for range 2 {                                                       // the journal is empty, so that no page of it has room left
		if status := h.report(t, "RespPoolLeak", "app=shop", "pool=main"); status != http.StatusServiceUnavailable {
			t.Errorf("status %d, with %d runs", status, len(h.list(t, "")))
		}
	}
	h.scrapedInTime(t)
	if status := h.shop.get("/products"); status != 200 {
		t.Errorf("the shop answers with %d", status)
	}
	if gone := without(leaked, present(t, h.stores.db)); len(gone) > 0 || len(h.list(t, "")) > 0 {
		t.Fatalf("gone are %v: %+v", gone, h.list(t, ""))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		return wants("status", h.report(t, "RespPoolLeak", "app=shop", "pool=main"), http.StatusAccepted)
	})
	if last := h.becomes(t, 60*time.Second, "pool", "verified"); last.Done != 6 {
		t.Errorf("done %d", last.Done)
	}
}

// TestScenarioFullQueue makes all workers hang until the accept queue is full. More than
// half are stuck, so none is ended and the run is escalated, while the exporter still
// answers.
func TestScenarioFullQueue(t *testing.T) {
	t.Parallel()
	upstream := deaf(t)
	h := startSick(t, sickness{
		workers: 2, gunicorn: []string{"--backlog", "8"}, env: []string{"SHOP_UPSTREAM=" + upstream.Addr().String(), "SHOP_HOLD_CEILING=600"}, more: []string{"thresholds: {response_time: {warning: 1, critical: 2}}"},
		rules: []string{
			"    - name: stuck", "      match: {alertname: RespWorkersStuck}", "      cooldown: 60s", "      steps:",
			"        - action: recycle_worker", "          with: {pick: stuck, min_age: 1s, " + importCheck + "}", "          timeout: 60s", "        - action: escalate",
		},
	})
	l := h.shop.traffic(t, 8, "/products")
	quiet := l.quiet(t)
	l.end()
	before := h.scrape(t).pids("shop")
	t.Run("full", func(t *testing.T) { h.fullQueue(t) }) // whose connections end with it
	if err := upstream.Close(); err != nil {             // ends the requests
		t.Fatal(err)
	}
	l = h.shop.traffic(t, 8, "/products")
	eventually(t, 60*time.Second, func() error {
		m := h.scrapedInTime(t)
		return all(m.want(0, "resp_app_workers", "app=shop", "state=stuck"), m.want(0, "resp_listener_queue_length", "app=shop"))
	})
	l.quiet(t).likeQuiet(t, "afterwards", quiet)
	if now := h.scrape(t).pids("shop"); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("workers were %v, are %v", before, now)
	}
}

func (h *sick) fullQueue(t *testing.T) {
	t.Helper()
	for range 2 {
		h.shop.behind("/fault/upstream?s=600")
	}
	eventually(t, 20*time.Second, func() error { // after 2 s a busy one is stuck
		m := h.scrapedInTime(t)
		busy, _ := m.sum("resp_app_workers", "app=shop", "state=busy")
		stuck, _ := m.sum("resp_app_workers", "app=shop", "state=stuck")
		return wants("busy or stuck workers", busy+stuck, 2)
	})
	h.shop.crowd(t, 12)
	eventually(t, 20*time.Second, func() error {
		m := h.scrapedInTime(t)
		return all(m.want(2, "resp_app_workers", "app=shop", "state=stuck"), m.between(8, 9, "resp_listener_queue_length", "app=shop"))
	})
	h.reported(t, "RespWorkersStuck", "app=shop")
	last := h.becomes(t, 30*time.Second, "stuck", "escalated")
	if len(last.Before) != 1 || last.Before[0].Result != "refused" {
		t.Errorf("%+v", last)
	}
	if err := h.scrapedInTime(t).want(1, "resp_heal_needs_human", "rule=stuck"); err != nil {
		t.Error(err)
	}
}
