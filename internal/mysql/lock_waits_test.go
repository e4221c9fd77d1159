package mysql_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// The waits of MySQL 8 name their tables by the ids of locks. A value that is not an id
// is not sent back to the server, and without the right the tables are left out.
func TestTablesOfLockWaits(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() {
		f.version = "8.0.36"
		f.rows["SELECT requesting"] = []string{"80|70|140:2:4:2:15", "81|70|x' OR 1=1 -- ", "82|70|140:2"}
		f.rows["SELECT ENGINE_LOCK_ID"] = []string{"140:2:4:2:15|`shop`.`orders`", "140:9|`shop`.`other`", "140:2|~"}
	})
	s := open(t, f.address())
	want := []mysql.LockWait{{Waiting: "80", Blocking: "70", Table: "shop.orders"}, {Waiting: "81", Blocking: "70"}, {Waiting: "82", Blocking: "70"}}
	waits, err := s.LockWaits(t.Context())
	check(t, "lock waits", waits, want, err)
	f.set(func() {
		last := f.asked[len(f.asked)-1]
		if !strings.Contains(last, "IN ('', '140:2:4:2:15', '140:2')") {
			t.Errorf("asked %s", last)
		}
		f.refuse["SELECT ENGINE_LOCK_ID"] = 1142
	})
	waits, err = s.LockWaits(t.Context())
	want[0].Table = ""
	check(t, "without the right", waits, want, err)
}

func TestMetadataLocks(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() {
		f.rows["SELECT THREAD_ID, SUBSTRING_INDEX"] = []string{"12|TABLE|shop|orders|SHARED_WRITE|GRANTED", "14|SCHEMA|shop||INTENTION_EXCLUSIVE|GRANTED", "18|BACKUP|||BACKUP_FTWRL2|GRANTED"}
		f.rows["SELECT THREAD_ID, PROCESSLIST_ID"] = []string{"107|7", "108|8"}
		f.rows["SELECT OWNER_THREAD_ID"] = []string{"107|TABLE|shop|orders|SHARED_READ|GRANTED", "108|TABLE|shop|orders|EXCLUSIVE|PENDING", "109|GLOBAL|~|~|SHARED|GRANTED"}
		f.rows["SHOW GLOBAL VARIABLES"] = []string{"performance_schema|ON"}
	})
	s := open(t, f.address())
	list, err := s.MetadataLocks(t.Context())
	check(t, "by the plugin", list, []locks.Lock{
		{Connection: 12, Space: "TABLE", Object: "shop.orders", Mode: "SHARED_WRITE"}, {Connection: 14, Space: "SCHEMA", Object: "shop", Mode: "INTENTION_EXCLUSIVE"},
		{Connection: 18, Space: "BACKUP", Mode: "BACKUP_FTWRL2"},
	}, err)
	f.set(func() { f.refuse["SELECT THREAD_ID, SUBSTRING_INDEX"] = 1109 })
	list, err = s.MetadataLocks(t.Context())
	check(t, "without the plugin", list, []locks.Lock{
		{Connection: 7, Space: "TABLE", Object: "shop.orders", Mode: "SHARED_READ"}, {Connection: 8, Space: "TABLE", Object: "shop.orders", Mode: "EXCLUSIVE", Pending: true},
	}, err)
	f.set(func() { f.refuse["SELECT OWNER_THREAD_ID"] = 1142 })
	if _, err := s.MetadataLocks(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("refused: %v", err)
	}
	f.set(func() {
		delete(f.refuse, "SELECT OWNER_THREAD_ID")
		f.rows["SELECT THREAD_ID, PROCESSLIST_ID"] = []string{"1|1"}
		f.rows["SELECT OWNER_THREAD_ID"] = slices.Repeat([]string{"1|TABLE|shop|orders|SHARED_READ|GRANTED"}, 5001)
	})
	if list, err := s.MetadataLocks(t.Context()); err != nil || len(list) != 5000 || s.LeftOut().LockWaits != 1 {
		t.Errorf("%d locks, %v, %+v", len(list), err, s.LeftOut())
	}
}

// Claims of pids are numbers, or they are none.
func TestClientPIDs(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() {
		f.rows["SHOW GLOBAL VARIABLES"] = []string{"performance_schema|ON"}
		f.rows["SELECT PROCESSLIST_ID, ATTR_VALUE"] = []string{"7|4711", "8|-1", "9|99999999999", "10|~", "11|0x41"}
	})
	s := open(t, f.address())
	if got, err := s.ClientPIDs(t.Context()); err != nil || !maps.Equal(got, map[uint64]int{7: 4711}) {
		t.Errorf("%v, %v", got, err)
	}
	f.set(func() { f.refuse["SELECT PROCESSLIST_ID, ATTR_VALUE"] = 1142 })
	if _, err := s.ClientPIDs(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("refused: %v", err)
	}
}
