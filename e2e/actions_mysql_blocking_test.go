package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// lockWaits lists who waits for whom on a server: waiter and blocker.
func lockWaits(t *testing.T, s *mariadb.Server) (pairs [][2]uint64) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT w.trx_mysql_thread_id, b.trx_mysql_thread_id FROM information_schema.innodb_lock_waits l
		JOIN information_schema.innodb_trx w ON w.trx_id = l.requesting_trx_id JOIN information_schema.innodb_trx b ON b.trx_id = l.blocking_trx_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p [2]uint64
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

// blockedBy waits until a connection waits for another one.
func blockedBy(t *testing.T, s *mariadb.Server, waiter, blocker uint64) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		if pairs := lockWaits(t, s); !slices.Contains(pairs, [2]uint64{waiter, blocker}) {
			return fmt.Errorf("%d does not wait for %d: %v", waiter, blocker, pairs)
		}
		return nil
	})
}

// TestKillBlockingTransaction checks that of three connections that sleep in a transaction
// and block others only one is ended: the app's, at the root of the waits, after which its
// waiter continues. The second is of a person who uses the app's user; the third waits
// itself.
func TestKillBlockingTransaction(t *testing.T) {
	t.Parallel()
	s := database(t, "--innodb-lock-wait-timeout=600")
	execute(t, s, "INSERT INTO shop.orders VALUES (3, 0)")
	healProcedures(t, s)
	allow(t, s)
	shop := holder(t, 2, address(s), launch{})
	config := "monitoring_interval: 1s\n" + mysqlSection(t, "main", s) + joined("apps:",
		fmt.Sprintf("  - {name: shop, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop}]}", shop.name+":app"))
	h := healer(t, config,
		"    - name: blocking", "      match: {alertname: Blocked}", "      cooldown: 180s", "      steps:", "        - action: kill_blocking_transaction",
		"          with: {min_idle: 2s, min_blocked: 2, max_victims: 5, max_trx_rows: 100, procedure: resp_heal.kill_idle}", "          verify_within: 180s")

	// A person holds row 2 under the app's user, and two wait: refused, and no connection ends.
	person := client(t, s)
	do(t, person, "START TRANSACTION", "UPDATE shop.orders SET paid = 1 WHERE id = 2")
	for range 2 {
		c := client(t, s)
		id := connectionID(t, c)
		background(t, c, "UPDATE shop.orders SET paid = 2 WHERE id = 2")
		blockedBy(t, s, id, connectionID(t, person))
	}
	unchanged(t, s, 2*time.Second, connectionID(t, person))
	before := present(t, s)
	h.reported(t, "Blocked", "app=shop", "pool=main")
	if last := h.ends(t, "blocking"); last.State != "refused" || last.Done != 0 || len(without(before, present(t, s))) > 0 {
		t.Errorf("a person's connection: %s, done %d, %s", last.State, last.Done, last.Reason)
	}

	// The app holds row 1. The one that waits for it holds row 3, for which another waits.
	held, ok, err := shop.tell("/hold?row=1")
	if err != nil || !ok || len(held.Connections) != 1 {
		t.Fatal(held, ok, err)
	}
	root := uint64(held.Connections[0])
	middle, last := client(t, s), client(t, s)
	do(t, middle, "START TRANSACTION", "UPDATE shop.orders SET paid = 3 WHERE id = 3")
	middleID, lastID := connectionID(t, middle), connectionID(t, last)
	background(t, middle, "UPDATE shop.orders SET paid = 3 WHERE id = 1")
	blockedBy(t, s, middleID, root)
	background(t, last, "UPDATE shop.orders SET paid = 4 WHERE id = 3")
	blockedBy(t, s, lastID, middleID)
	unchanged(t, s, 2*time.Second, root)
	before = present(t, s)
	h.reported(t, "Blocked", "app=shop", "pool=main", "again=yes")
	run := h.ends(t, "blocking")
	if run.State != "verified" || run.Done != 1 || len(run.Plan.Victims) != 1 || run.Plan.Victims[0].ID != fmt.Sprint(root) {
		t.Errorf("%s, done %d, %+v, %s", run.State, run.Done, run.Plan, run.Reason)
	}
	if gone := without(before, present(t, s)); !slices.Equal(gone, []uint64{root}) {
		t.Errorf("gone are %v, the root is %d", gone, root)
	}
	eventually(t, 20*time.Second, func() error { // what waited for the root has its lock
		for _, p := range lockWaits(t, s) {
			if p[0] == middleID || p[1] == root {
				return fmt.Errorf("%d waits for %d", p[0], p[1])
			}
		}
		return nil
	})
	if list := h.list(t, "blocking"); len(list) != 2 || !strings.Contains(run.Target, "app:shop") {
		t.Errorf("runs %+v", list)
	}
}
