package collectors_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// captureLeakLog runs f with a LeakLog, and returns what was logged.
func captureLeakLog(t *testing.T, r *poolFixture, f func(look func())) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.leaks.Run(ctx) }()
	f(func() {
		if _, err := r.Collect(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return r.log.String()
}

// A leak is logged once, with everything to diagnose it and without the login.
func TestLeakIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMySQL{
			threads:      []mysql.Thread{thread(7, "shop_user", "10.0.0.1:7", "Sleep", 61*time.Second), thread(8, "shop_user", "10.0.0.1:8", "Sleep", 60*time.Second)},
			transactions: []mysql.Transaction{{ID: "a", Thread: 7, Age: 62 * time.Second, RowsLocked: 3, RowsModified: 2}, {ID: "b", Thread: 8, Age: time.Minute}},
			statements:   map[uint64]string{7: "UPDATE `orders` SET `paid` = ?"},
		}
		p := mainPool()
		p.User = "shop_user"
		r := newPoolFixture(map[string]*fakeMySQL{"main": f}, p)
		r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 7)}
		got := captureLeakLog(t, r, func(look func()) {
			look()
			look()
			f.threads[0].Time++ // still the same leak
			look()
			f.errs = map[string]error{"statements": &mysql.Error{Reason: reason.Unsupported}}
			f.threads[1].Time, f.transactions[1].Age, f.statements = 62*time.Second, 62*time.Second, nil
			look()
			f.transactions[0].ID = "c" // another one on the same connection
			look()
		})
		const line = `level=WARN msg="Leaked connection: idle in a transaction for too long" app=shop pool=main mysql=main `
		want := line + "connection=7 worker=0 pid=101 asleep=1m1s transaction_age=1m2s rows_locked=3 rows_modified=2 statement=\"UPDATE `orders` SET `paid` = ?\"\n" +
			line + "connection=8 worker=unattributed pid=0 asleep=1m2s transaction_age=1m2s rows_locked=0 rows_modified=0 statement=\"not known\"\n" +
			line + "connection=7 worker=0 pid=101 asleep=1m1.000000001s transaction_age=1m2s rows_locked=3 rows_modified=2 statement=\"not known\"\n"
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if f.asked["statements"] != 3 {
			t.Errorf("statements were asked for %d times", f.asked["statements"])
		}
	})
}

// At most 100 leaks a minute are logged, and one line has the number of the others.
func TestLeakLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMySQL{}
		leak := func(from, n int) {
			for i := range n {
				id := uint64(from + i)
				f.threads = append(f.threads, thread(id, "shop", fmt.Sprintf("10.0.0.9:%d", id), "Sleep", time.Hour))
				f.transactions = append(f.transactions, mysql.Transaction{ID: fmt.Sprint(id), Thread: id, Age: time.Hour})
			}
		}
		r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
		got := captureLeakLog(t, r, func(look func()) {
			leak(1, 70)
			look()
			leak(1000, 70)
			look()
			leak(2000, 10)
			look()
			time.Sleep(61 * time.Second)
			leak(3000, 5)
			look()
			time.Sleep(61 * time.Second)
		})
		lines := strings.Count(got, "Leaked connection: idle in a transaction")
		if lines != 105 || strings.Count(got, "More leaked connections, not logged individually\" connections=50\n") != 1 || strings.Count(got, "\n") != 106 {
			t.Errorf("%d lines, the end of which is %s", lines, got[max(0, len(got)-600):])
		}
	})
}
