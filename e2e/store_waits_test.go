package e2e_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// longLockWaits is the option of a database whose statements wait for a row longer than a
// test does; by default they fail after 50 s.
const longLockWaits = "--innodb-lock-wait-timeout=1000"

// dbParty is one connection to a database, with its id.
type dbParty struct {
	*sql.Conn

	id uint64
}

// dbParties returns connections of no app that last as long as the test.
func dbParties(t *testing.T, s *mariadb.Server, n int) []dbParty {
	t.Helper()
	out := make([]dbParty, n)
	for i := range out {
		c := client(t, s)
		out[i] = dbParty{c, connectionID(t, c)}
	}
	return out
}

// storeWait is one wait between connections; blocker is 0 if it is not known.
func storeWait(waiter, blocker uint64, kind, object string, likely bool) model.StoreWait {
	return model.StoreWait{Server: "mysql:main", Waiter: waiter, Blocker: blocker, Kind: kind, Object: object, Likely: likely}
}

// waitsBecome waits until a server has exactly these waits, and returns the state.
func waitsBecome(t *testing.T, look func() model.State, want ...model.StoreWait) model.State {
	t.Helper()
	var now model.State
	eventually(t, 40*time.Second, func() error {
		now = look()
		if len(now.StoreWaits) != len(want) {
			return fmt.Errorf("waits are %+v, want %+v", now.StoreWaits, want)
		}
		for _, x := range now.StoreWaits {
			x.Seconds = 0
			if !slices.Contains(want, x) {
				return fmt.Errorf("%+v is not wanted: %+v", x, want)
			}
		}
		return nil
	})
	return now
}

// connectionOf returns one connection of a state.
func connectionOf(t *testing.T, now model.State, id uint64) model.StoreConnection {
	t.Helper()
	i := slices.IndexFunc(now.StoreConnections, func(c model.StoreConnection) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no connection %d in %+v", id, now.StoreConnections)
	}
	return now.StoreConnections[i]
}

// TestStoreWaitsListed checks who waits for whom in a MariaDB with the plugin
// metadata_lock_info, with the documented rights.
func TestStoreWaitsListed(t *testing.T) {
	t.Parallel()
	s := database(t, "--plugin-load-add=metadata_lock_info", longLockWaits)
	execute(t, s, "CREATE TABLE shop.log (id INT) ENGINE=MyISAM")
	look := poolBeside(t, s)
	t.Run("rows", func(t *testing.T) {
		p := dbParties(t, s, 3)
		do(t, p[0].Conn, "BEGIN", "UPDATE shop.orders SET paid=7 WHERE id=1")
		do(t, p[1].Conn, "BEGIN", "UPDATE shop.orders SET paid=7 WHERE id=2")
		background(t, p[1].Conn, "UPDATE shop.orders SET paid=4711 WHERE id=1")
		background(t, p[2].Conn, "UPDATE shop.orders SET paid=4711 WHERE id=2")
		now := waitsBecome(t, look, storeWait(p[1].id, p[0].id, "row", "shop.orders", false), storeWait(p[2].id, p[1].id, "row", "shop.orders", false))
		if c := connectionOf(t, now, p[0].id); c.Command != "Sleep" || c.Transaction == nil || c.User != "shop" || c.Host != "127.0.0.1" || c.Server != "mysql:main" {
			t.Errorf("the root is %+v", c)
		}
		if c := connectionOf(t, now, p[2].id); c.Command != "Query" || c.Digest != "UPDATE shop.orders" || c.State == "" {
			t.Errorf("the last one is %+v", c)
		}
		if len(now.StoreConnections) != 3 {
			t.Errorf("connections are %+v", now.StoreConnections)
		}
	})
	t.Run("definition", func(t *testing.T) {
		p := dbParties(t, s, 3)
		do(t, p[0].Conn, "BEGIN", "SELECT * FROM shop.orders")
		background(t, p[1].Conn, "ALTER TABLE shop.orders ADD COLUMN z INT DEFAULT 4711")
		waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.orders", false))
		background(t, p[2].Conn, "SELECT * FROM shop.orders WHERE id=4711")
		waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.orders", false), storeWait(p[2].id, p[1].id, "metadata", "shop.orders", true))
	})
	t.Run("LOCK TABLES", func(t *testing.T) {
		p := dbParties(t, s, 3)
		do(t, p[0].Conn, "LOCK TABLES shop.items WRITE, shop.log READ")
		background(t, p[1].Conn, "INSERT INTO shop.items VALUES (4711)")
		background(t, p[2].Conn, "INSERT INTO shop.log VALUES (4711)")
		waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.items", false), storeWait(p[2].id, p[0].id, "table", "shop.log", true))
	})
	t.Run("FLUSH TABLES WITH READ LOCK", func(t *testing.T) {
		p := append(dbParties(t, s, 2), rootParty(t, s))
		do(t, p[2].Conn, "FLUSH TABLES WITH READ LOCK")
		background(t, p[1].Conn, "UPDATE shop.orders SET paid=4711 WHERE id=2")
		now := waitsBecome(t, look, storeWait(p[1].id, p[2].id, "global", "", false))
		if c := connectionOf(t, now, p[2].id); c.User != "root" || c.Host != "localhost" || c.Command != "Sleep" || c.Transaction != nil || c.App != "" {
			t.Errorf("the root is %+v", c)
		}
	})
	waitsBecome(t, look)
}

// rootParty is a connection of the administrator, over the UNIX socket.
func rootParty(t *testing.T, s *mariadb.Server) dbParty {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return dbParty{conn, connectionID(t, conn)}
}

// TestStoreWaitsUnlisted checks that without a list of locks a blocker is named only if no
// other connection can be it.
func TestStoreWaitsUnlisted(t *testing.T) {
	t.Parallel()
	s := database(t)
	look := poolBeside(t, s)
	t.Run("one transaction", func(t *testing.T) {
		p := dbParties(t, s, 4)
		do(t, p[0].Conn, "BEGIN", "SELECT * FROM shop.orders")
		background(t, p[1].Conn, "ALTER TABLE shop.orders ADD COLUMN z INT")
		waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.orders", true))
	})
	t.Run("two transactions", func(t *testing.T) {
		p := dbParties(t, s, 3)
		do(t, p[0].Conn, "BEGIN", "SELECT * FROM shop.orders")
		do(t, p[2].Conn, "BEGIN", "INSERT INTO shop.items VALUES (1)")
		background(t, p[1].Conn, "ALTER TABLE shop.orders ADD COLUMN y INT")
		waitsBecome(t, look, storeWait(p[1].id, 0, "metadata", "shop.orders", false))
	})
	t.Run("FLUSH TABLES WITH READ LOCK", func(t *testing.T) {
		p := []dbParty{dbParties(t, s, 1)[0], rootParty(t, s)}
		do(t, p[1].Conn, "FLUSH TABLES WITH READ LOCK")
		background(t, p[0].Conn, "UPDATE shop.orders SET paid=4711 WHERE id=2")
		waitsBecome(t, look, storeWait(p[0].id, p[1].id, "global", "", true))
	})
}

// storeGrants are the rights of docs/mysql.md for all that performance_schema has.
const storeGrants = `GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO 'resp'@'127.0.0.1';
GRANT SELECT (THREAD_ID, DIGEST_TEXT) ON performance_schema.events_statements_current TO 'resp'@'127.0.0.1';
GRANT SELECT ON performance_schema.metadata_locks TO 'resp'@'127.0.0.1';
GRANT SELECT (PROCESSLIST_ID, ATTR_NAME, ATTR_VALUE) ON performance_schema.session_connect_attrs TO 'resp'@'127.0.0.1'`

// TestStoreWaitsOfWorkers checks with performance_schema the last statement of a sleeping
// blocker, the modes of locks, and the workers of connections over the UNIX socket.
func TestStoreWaitsOfWorkers(t *testing.T) {
	t.Parallel()
	s := database(t, longLockWaits, "--performance-schema=ON", "--performance-schema-consumer-events-statements-current=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON")
	execute(t, s, storeGrants)
	for name, db := range map[string]string{"TCP": address(s), "UNIX": "unix:" + s.Socket} {
		t.Run(name, func(t *testing.T) {
			a := holder(t, 2, db, launch{})
			t.Cleanup(a.Stop)
			look := poolBeside(t, s, config.App{Name: a.name, Match: config.Match{Cmdline: a.name + ":app"}})
			blocker, ok, err := a.tell("/hold?row=1")
			if err != nil || !ok || len(blocker.Connections) != 1 {
				t.Fatal(blocker, ok, err)
			}
			blocked(t, a, blocker.PID)
			eventually(t, 60*time.Second, func() error { return workersJoined(look(), a.name, blocker) })
		})
	}
	t.Run("definition", func(t *testing.T) {
		look, p := poolBeside(t, s), dbParties(t, s, 3)
		do(t, p[0].Conn, "BEGIN", "SELECT * FROM shop.items WHERE id=4711")
		background(t, p[1].Conn, "ALTER TABLE shop.items ADD COLUMN z INT")
		waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.items", false))
		background(t, p[2].Conn, "SELECT * FROM shop.items")
		now := waitsBecome(t, look, storeWait(p[1].id, p[0].id, "metadata", "shop.items", false), storeWait(p[2].id, p[1].id, "metadata", "shop.items", false))
		if c := connectionOf(t, now, p[0].id); !strings.Contains(c.Digest, "`items`") || strings.Contains(c.Digest, "4711") {
			t.Errorf("the root did %q", c.Digest)
		}
	})
}

// workersJoined returns an error unless a worker of an app waits for a row that the
// blocker holds, and the connections of both are those of the kernel.
func workersJoined(now model.State, app string, blocker answer) error {
	if len(now.StoreWaits) != 1 {
		return fmt.Errorf("waits are %+v", now.StoreWaits)
	}
	w := now.StoreWaits[0]
	if w.Kind != "row" || w.Object != "shop.orders" || w.Blocker != uint64(blocker.Connections[0]) {
		return fmt.Errorf("the wait is %+v", w)
	}
	var slots []string
	for _, c := range now.StoreConnections {
		if c.App != app || c.PID == 0 || c.Socket == 0 {
			return fmt.Errorf("a connection is %+v", c)
		}
		if inodes, err := procfs.New("/proc").SocketInodes(c.PID); err != nil || !inodes[c.Socket] {
			return fmt.Errorf("process %d has no socket %d: %w", c.PID, c.Socket, err)
		}
		slots = append(slots, c.Slot)
		if isBlocker := c.ID == w.Blocker; isBlocker != (c.PID == blocker.PID) || isBlocker && (c.Transaction == nil || !strings.Contains(c.Digest, "UPDATE `orders`")) {
			return fmt.Errorf("a connection is %+v", c)
		}
	}
	if slices.Sort(slots); !slices.Equal(slots, []string{"0", "1"}) {
		return errors.New("the slots are " + strings.Join(slots, ", "))
	}
	return nil
}
