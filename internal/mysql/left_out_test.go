package mysql_test

import (
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// The rows of a list above its limit are counted.
func TestLeftOut(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	rows := func(n int, row string) []string { return slices.Repeat([]string{row}, n) }
	f.set(func() {
		f.rows = map[string][]string{
			"SHOW PROCESSLIST":  rows(20_003, "8|shop|h:1|s|Sleep|4||~|0.0"),
			"SELECT trx_id":     rows(20_002, "70|8|9|8|~|RUNNING|3|2"),
			"SELECT requesting": rows(1001, "80|70|1:2"),
		}
	})
	s := open(t, f.address())
	for i := uint64(1); i <= 2; i++ {
		threads, err := s.Threads(t.Context())
		check(t, "threads", len(threads), 20_000, err)
		transactions, err := s.Transactions(t.Context())
		check(t, "transactions", len(transactions), 20_000, err)
		waits, err := s.LockWaits(t.Context())
		check(t, "waits", len(waits), 1000, err)
		check(t, "left out", s.LeftOut(), mysql.LeftOut{Threads: 3 * i, Transactions: 2 * i, LockWaits: i}, nil)
	}
}
