package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAttackTenantsOfOneDatabaseUser checks that, where two apps and a person use the same
// database user, an alert about one app ends only the leaked connections and long queries
// of this app.
func TestAttackTenantsOfOneDatabaseUser(t *testing.T) {
	t.Parallel()
	s := database(t, "--max-connections=200")
	healProcedures(t, s)
	allow(t, s)
	env := launch{env: []string{"POOL_OPEN=3"}}
	shop, blog := holder(t, 2, address(s), env), holder(t, 2, address(s), env)
	leak := func(a *app) (ids []uint64) {
		for _, list := range a.everyWorker(t, 2, "/begin?n=2") {
			for _, id := range list {
				ids = append(ids, uint64(id))
			}
		}
		slices.Sort(ids)
		return ids
	}
	theirs := append(leak(blog), crowd(t, s, "shop", 3, "START TRANSACTION", "SELECT * FROM shop.orders")...)
	ours := leak(shop)
	config := "monitoring_interval: 1s\n" + mysqlSection(t, "main", s) + joined("apps:",
		fmt.Sprintf("  - {name: shop, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop, leak_after: 2s}]}", shop.name+":app"),
		fmt.Sprintf("  - {name: blog, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop, leak_after: 2s}]}", blog.name+":app"))
	h := healer(t, config,
		"    - name: pool", "      match: {alertname: Leak}", "      cooldown: 180s", "      steps:", "        - action: kill_leaked_connections",
		"          with: {min_idle: 2s, max_victims: 50, max_fraction: 1, max_trx_rows: 100, procedure: resp_heal.kill_idle}", "          verify_within: 180s",
		"    - name: query", "      match: {alertname: Slow}", "      cooldown: 60s", "      steps:", "        - action: kill_long_queries",
		"          with: {mysql: main, users: [shop], min_time: 1s, max_victims: 50, procedure: resp_heal.kill_query}", "          verify_within: 30s")
	before := present(t, s)
	if len(ours) != 4 || len(without(append(slices.Clone(ours), theirs...), before)) > 0 {
		t.Fatalf("leaked are %v and %v, there are %v", ours, theirs, before)
	}
	eventually(t, 30*time.Second, func() error {
		m := h.scrape(t)
		return all(m.between(4, 9, "resp_pool_connections", "app=shop", "state=leaked"), m.between(4, 9, "resp_pool_connections", "app=blog", "state=leaked"))
	})
	unchanged(t, s, 2*time.Second, slices.Concat(ours, theirs)...) // min_idle
	h.reported(t, "Leak", "app=shop", "pool=main")
	last := h.ends(t, "pool")
	if gone := without(before, present(t, s)); !slices.Equal(gone, ours) || last.State != "verified" || last.Done != len(ours) {
		t.Errorf("gone are %v, the app's are %v: %s, done %d, %s", gone, ours, last.State, last.Done, last.Reason)
	}
	// A long SELECT of another client, under the same user.
	long := client(t, s)
	id := connectionID(t, long)
	background(t, long, "SELECT SLEEP(600)")
	unchanged(t, s, time.Second, id) // min_time
	h.reported(t, "Slow", "app=shop", "mysql=main")
	if last := h.ends(t, "query"); last.Done != 0 {
		t.Errorf("a query that is not the app's was ended: %s, done %d, %s", last.State, last.Done, last.Reason)
	}
	if !slices.Contains(present(t, s), id) {
		t.Errorf("connection %d is gone", id)
	}
}

// TestAttackTenantsOfOneRedis checks that, where two apps have their sessions in one
// Redis that is configured under two names, and one prefix begins with the other, a purge
// of one app is refused and no key of the other changes.
func TestAttackTenantsOfOneRedis(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(purgeRights)...)...)
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields("+select ~* "+removeRights)...)...)
	r.restored("session:shop:", 100, 0, "IDLETIME 9000")
	r.restored("session:blog:", 100, 0, "IDLETIME 9000")
	r.restored("session:fresh:", 300, 0, "IDLETIME 1")
	name := unique("tenant")
	rule := func(app string) []string {
		return []string{
			"    - name: " + app, "      match: {alertname: " + app + "}", "      cooldown: 60s", "      steps:", "        - action: purge_sessions",
			"          with: {app: " + app + ", grace: 1h, min_idle: 1h, max_keys: 10000, max_fraction: 1}", "          verify_within: 20s",
		}
	}
	h := healer(t, redisSection(t, "cache", r.url(), "local", "unix://"+redisUser+"@"+r.socket(), "second", strings.TrimSuffix(r.url(), "0")+"1")+joined("apps:",
		"  - {name: shop, match: {cmdline: "+name+"}, sessions: [{redis: cache, prefix: \"session:\"}]}",
		"  - {name: blog, match: {cmdline: "+name+"blog}, sessions: [{redis: local, prefix: \"session:blog:\"}]}",
		"  - {name: wiki, match: {cmdline: "+name+"wiki}, sessions: [{redis: second, prefix: \"session:\"}]}"),
		slices.Concat(rule("shop"), rule("blog"), rule("wiki"))...)
	for _, app := range []string{"shop", "blog"} {
		h.reported(t, app, "app="+app)
		if last := h.ends(t, app); last.State != "refused" || last.Done != 0 {
			t.Errorf("%s: %s, done %d, %s", app, last.State, last.Done, last.Reason)
		}
	}
	for _, prefix := range []string{"session:shop:", "session:blog:"} {
		if _, keys, none := r.expiries(prefix); keys != 100 || none != 100 {
			t.Errorf("%s: %d keys, %d without expiry", prefix, keys, none)
		}
	}
	h.reported(t, "wiki", "app=wiki") // another database of the same server is another keyspace
	if last := h.ends(t, "wiki"); last.State != "cleared" {
		t.Errorf("wiki: %s, %s", last.State, last.Reason)
	}
}
