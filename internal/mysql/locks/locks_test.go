package locks_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{
		"Waiting for table metadata lock": locks.Metadata, "Waiting for schema metadata lock": locks.Metadata, "Waiting for table level lock": locks.Table,
		"Waiting for table flush": locks.Table, "Waiting for global read lock": locks.Global, "Waiting for backup lock": locks.Global, "Waiting for commit lock": locks.Global,
		"": "", "Updating": "", "Waiting for work from SQL thread": "", "Waiting on empty queue": "", "waiting for handler commit": "",
	} {
		if got := locks.KindOf(state); got != want {
			t.Errorf("%q: %q, want %q", state, got, want)
		}
	}
}

func waiter(id uint64, kind, text string, seconds int) locks.Waiter {
	return locks.Waiter{Connection: id, Kind: kind, Statement: statement.Of([]byte(text), "shop"), Time: time.Duration(seconds) * time.Second}
}

func held(id uint64, mode string) locks.Lock {
	return locks.Lock{Connection: id, Space: "TABLE", Object: "shop.orders", Mode: mode}
}

func pending(id uint64, mode string) locks.Lock {
	l := held(id, mode)
	l.Pending = true
	return l
}

func TestWaits(t *testing.T) {
	t.Parallel()
	const orders = "shop.orders"
	alter, read, write := waiter(14, locks.Metadata, "ALTER TABLE orders ADD z INT", 2), waiter(15, locks.Metadata, "SELECT * FROM orders", 1), waiter(16, locks.Metadata, "UPDATE orders SET a=1", 1)
	backup := func(id uint64, mode string, waits bool) locks.Lock {
		return locks.Lock{Connection: id, Space: "BACKUP", Mode: mode, Pending: waits}
	}
	for name, c := range map[string]struct {
		waiters []locks.Waiter
		list    []locks.Lock
		want    []locks.Wait
	}{
		"by the plugin: an ALTER behind two that write, a SELECT behind the ALTER": {
			[]locks.Waiter{alter, read}, []locks.Lock{held(12, "SHARED_WRITE"), held(13, "SHARED_WRITE"), held(14, "SHARED_UPGRADABLE")},
			[]locks.Wait{{14, 12, "metadata", orders, false}, {14, 13, "metadata", orders, false}, {15, 14, "metadata", orders, true}},
		},
		"by performance_schema": {
			[]locks.Waiter{alter, read}, []locks.Lock{held(12, "SHARED_WRITE"), held(14, "SHARED_UPGRADABLE"), pending(14, "EXCLUSIVE"), pending(15, "SHARED_READ"), pending(99, "SHARED_READ")},
			[]locks.Wait{{14, 12, "metadata", orders, false}, {15, 14, "metadata", orders, false}},
		},
		"LOCK TABLES WRITE":        {[]locks.Waiter{read, write}, []locks.Lock{held(24, "SHARED_NO_READ_WRITE")}, []locks.Wait{{15, 24, "metadata", orders, false}, {16, 24, "metadata", orders, false}}},
		"LOCK TABLES READ":         {[]locks.Waiter{read, write}, []locks.Lock{held(24, "SHARED_READ_ONLY")}, []locks.Wait{{15, 0, "metadata", orders, false}, {16, 24, "metadata", orders, false}}},
		"LOCK TABLES that waits":   {[]locks.Waiter{waiter(17, locks.Metadata, "LOCK TABLES orders READ", 1)}, []locks.Lock{held(1, "SHARED_READ"), held(2, "SHARED_WRITE")}, []locks.Wait{{17, 2, "metadata", orders, false}}},
		"nothing is listed":        {[]locks.Waiter{read}, nil, []locks.Wait{{15, 0, "metadata", orders, false}}},
		"another table":            {[]locks.Waiter{waiter(15, locks.Metadata, "SELECT * FROM carts", 1)}, []locks.Lock{held(24, exclusive)}, []locks.Wait{{15, 0, "metadata", "shop.carts", false}}},
		"a statement not known":    {[]locks.Waiter{waiter(15, locks.Metadata, "GRANT x", 1)}, []locks.Lock{held(24, exclusive)}, []locks.Wait{{15, 0, "metadata", "", false}}},
		"its own lock":             {[]locks.Waiter{alter}, []locks.Lock{held(14, exclusive)}, []locks.Wait{{14, 0, "metadata", orders, false}}},
		"two ALTERs before it":     {[]locks.Waiter{alter, waiter(18, locks.Metadata, "TRUNCATE orders", 3), read}, nil, []locks.Wait{{14, 0, "metadata", orders, false}, {18, 0, "metadata", orders, false}, {15, 0, "metadata", orders, false}}},
		"an ALTER that came later": {[]locks.Waiter{waiter(14, locks.Metadata, "ALTER TABLE orders ADD z INT", 0), read}, nil, []locks.Wait{{14, 0, "metadata", orders, false}, {15, 0, "metadata", orders, false}}},
		"table level, one other": {
			[]locks.Waiter{waiter(32, locks.Table, "INSERT INTO orders VALUES (1)", 1)}, []locks.Lock{held(29, "SHARED_READ"), held(32, "SHARED_WRITE")}, []locks.Wait{{32, 29, "table", orders, true}},
		},
		"table level, two others": {
			[]locks.Waiter{waiter(32, locks.Table, "INSERT INTO orders VALUES (1)", 1)}, []locks.Lock{held(29, "SHARED_READ"), held(30, "SHARED_READ")}, []locks.Wait{{32, 0, "table", orders, false}},
		},
		"FTWRL, by the plugin": {
			[]locks.Waiter{waiter(20, locks.Global, "UPDATE orders SET a=1", 1)}, []locks.Lock{backup(18, "BACKUP_FTWRL2", false), backup(19, "BACKUP_DDL", false), held(20, "SHARED_WRITE")},
			[]locks.Wait{{20, 18, "global", "", false}},
		},
		"FTWRL, by performance_schema of MariaDB": {
			[]locks.Waiter{waiter(20, locks.Global, "UPDATE orders SET a=1", 1)}, []locks.Lock{backup(18, "BACKUP_FTWRL1", false), backup(20, "BACKUP_TRANS_DML", true), backup(21, "BACKUP_DDL", true)},
			[]locks.Wait{{20, 18, "global", "", false}},
		},
		"FTWRL, by performance_schema of MySQL": {
			[]locks.Waiter{waiter(20, locks.Global, "COMMIT", 1)},
			[]locks.Lock{{18, "COMMIT", "", "SHARED", false}, {18, "GLOBAL", "", "SHARED", false}, {19, "COMMIT", "", "INTENTION_EXCLUSIVE", true}, {20, "COMMIT", "", "INTENTION_EXCLUSIVE", true}},
			[]locks.Wait{{20, 18, "global", "", false}},
		},
		"FTWRL that waits": {[]locks.Waiter{waiter(18, locks.Global, "FLUSH TABLES WITH READ LOCK", 1)}, []locks.Lock{backup(19, "BACKUP_FTWRL2", false)}, []locks.Wait{{18, 0, "global", "", false}}},
		"a mode not known": {[]locks.Waiter{alter}, []locks.Lock{pending(14, "NEW"), held(12, "NEWER")}, []locks.Wait{{14, 0, "metadata", orders, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := locks.Waits(c.waiters, c.list); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

const exclusive = "EXCLUSIVE"
