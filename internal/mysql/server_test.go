package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

func open(t testing.TB, address string, fallbacks ...string) *mysql.Server {
	t.Helper()
	o := mysql.Options{Name: "main", DSN: config.Secret("resp:hunter2@tcp(" + address + ")/")}
	for _, f := range fallbacks {
		o.Fallbacks = append(o.Fallbacks, config.Secret("resp:hunter2@tcp("+f+")/"))
	}
	s := mysql.Open(o)
	t.Cleanup(s.Close)
	return s
}

// kind returns the reason of an error, which must be an [mysql.Error] without secrets.
func kind(t *testing.T, err error) reason.Reason {
	t.Helper()
	var e *mysql.Error
	if !errors.As(err, &e) || e.Text == "" {
		t.Fatalf("got %v, want one of our errors", err)
	}
	for _, word := range []string{"hunter2", "resp", "127.0.0.1", "localhost"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q shows %q", err, word)
		}
	}
	return e.Reason
}

// nobody returns an address where no server listens.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestReads(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	rows := map[string][]string{
		"SHOW SESSION STATUS":   {"Threads_connected|12", "Queries|34"},
		"SHOW GLOBAL STATUS":    {"Slow_queries|5", "Threads_connected|11", "Queries|33"},
		"SHOW GLOBAL VARIABLES": {"max_connections|151"},
		"SHOW PROCESSLIST":      {"7|resp|127.0.0.1:50000|~|Query|0|init|SHOW PROCESSLIST|0.000", "8|shop|10.0.0.1:4711|shop|Sleep|42||~|0.000", "9|system user||~|Daemon|~|~|~|0.000", "10|shop|x|~|Query|-3|~|/* a */ select secret FROM t|0"},
		"SELECT trx_id":         {"70|8|1000|958|~|RUNNING|3|2", "80|9|1000|1001|995|LOCK WAIT|1|0"},
		"SELECT requesting":     {"80|70|80:5:3:2"},
		"SELECT lock_id":        {"70:5:3:2|`shop`.`carts`", "80:5:3:2|`shop`.`orders` /* Partition `p0` */"},
		"SELECT COALESCE(SUM(":  {"1500000000.5000"},
	}
	f.set(func() { f.rows = rows })
	s := open(t, f.address())
	if took, err := s.Ping(t.Context()); err != nil || took <= 0 {
		t.Fatalf("ping: %v, %v", took, err)
	}
	for i := range 2 { // the second answer has the sums of the first one only
		status, err := s.Status(t.Context())
		check(t, "status", status, map[string]float64{"Threads_connected": 11 + float64(i), "Queries": 33 + float64(i), "Slow_queries": 5}, err)
	}
	variables, err := s.Variables(t.Context())
	check(t, "variables", variables, map[string]string{"max_connections": "151"}, err)
	threads, err := s.Threads(t.Context())
	check(t, "threads", threads, []mysql.Thread{
		{ID: 7, User: "resp", Host: "127.0.0.1:50000", Command: "Query", State: "init", Own: true, Summary: statement.Summary{Verb: "SHOW"}},
		{ID: 8, User: "shop", Host: "10.0.0.1:4711", DB: "shop", Command: "Sleep", Time: 42 * time.Second},
		{ID: 9, User: "system user", Command: "Daemon"},
		{ID: 10, User: "shop", Host: "x", Command: "Query", Statement: statement.KeywordOf([]byte("SELECT")), Summary: statement.Summary{Verb: "SELECT FROM", Tables: []string{"t"}}},
	}, err)
	transactions, err := s.Transactions(t.Context())
	check(t, "transactions", transactions, []mysql.Transaction{
		{ID: "70", Thread: 8, Age: 42 * time.Second, RowsLocked: 3, RowsModified: 2},
		{ID: "80", Thread: 9, Waits: true, Waiting: 5 * time.Second, RowsLocked: 1},
	}, err)
	waits, err := s.LockWaits(t.Context())
	check(t, "lock waits", waits, []mysql.LockWait{{Waiting: "80", Blocking: "70", Table: "shop.orders"}}, err)
	took, err := s.StatementTime(t.Context())
	check(t, "statement time", took, 1500*time.Millisecond, err)
	if _, err := s.Variables(t.Context()); err != nil {
		t.Error(err)
	}
	f.set(func() {
		if n := strings.Count(strings.Join(f.asked, "\n"), "VARIABLES"); n != 1 {
			t.Errorf("the variables were asked for %d times", n)
		}
		if n := strings.Count(strings.Join(f.asked, "\n"), "GLOBAL STATUS"); n != 1 {
			t.Errorf("the sums were asked for %d times", n)
		}
	})
	if index, v, ok := s.Serving(); index != 0 || v.String() != "10.11.6" || !ok {
		t.Errorf("%d serves, %s, %t", index, v, ok)
	}
	if _, taken := f.counts(); taken != 1 {
		t.Errorf("it took %d connections", taken)
	}
}

func check(t *testing.T, what string, got, want any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, %v\nwant %+v", what, got, err, want)
	}
}

// The statement limit and the lock wait are the server's own, in its dialect.
func TestSession(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.6-MariaDB": ", max_statement_time=5", "10.0.38-MariaDB": "", "8.0.36": ", max_execution_time=5000", "5.7.7": "", "5.6.51": "",
	} {
		v, err := mysql.ParseVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		if got := mysql.SessionOf(v); got != "SET SESSION autocommit=1, lock_wait_timeout=1, time_zone='SYSTEM'"+want {
			t.Errorf("%s: %s", version, got)
		}
	}
}

// MySQL 8 has its lock waits elsewhere; MariaDB 10 is not newer than it.
func TestLockWaitsOfMySQL8(t *testing.T) {
	for version, table := range map[string]string{"8.0.36": "performance_schema.data_lock_waits", "5.7.44": "information_schema.innodb_lock_waits", "11.4.2-MariaDB": "information_schema.innodb_lock_waits"} {
		f := newFake(t, "127.0.0.1:0")
		f.set(func() { f.version = version })
		if _, err := open(t, f.address()).LockWaits(t.Context()); err != nil {
			t.Error(err)
		}
		f.set(func() {
			if last := f.asked[len(f.asked)-1]; !strings.Contains(last, table) {
				t.Errorf("%s is asked %s", version, last)
			}
		})
	}
}

// A server that accepts connections and sends nothing gets only one, for any number of
// reads, and is used as soon as it responds.
func TestMuteServerHasOneConnection(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() { f.mute = make(chan struct{}) })
	s := open(t, f.address())
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := s.Ping(ctx); kind(t, err) != reason.Timeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	soon(t, "a connection is taken", func() bool { _, taken := f.counts(); return taken > 0 })
	if open, taken := f.counts(); open != 1 || taken != 1 {
		t.Errorf("%d connections, %d ever", open, taken)
	}
	f.unmute()
	soon(t, "it speaks", func() bool { _, err := s.Ping(t.Context()); return err == nil })
	if open, taken := f.counts(); open != 1 || taken != 1 {
		t.Errorf("%d connections, %d ever", open, taken)
	}
}

// A statement without a response ends with the reader's context, and so does its
// connection.
func TestDeafServer(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.deaf = "SHOW GLOBAL STATUS" })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Status(ctx); kind(t, err) != reason.Timeout {
		t.Errorf("got %v", err)
	}
	soon(t, "its connection ended", func() bool { open, _ := f.counts(); return open == 0 })
	// The pause is half a second at least; a machine may be so busy that it is over.
	if _, err := s.Ping(t.Context()); time.Since(began) < 500*time.Millisecond && kind(t, err) != reason.Timeout {
		t.Errorf("in the pause: %v", err)
	}
	soon(t, "it is asked again", func() bool { _, err := s.Ping(t.Context()); return err == nil })
}

// An idle connection that the server closed makes at most one read fail.
func TestCutConnection(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	for range 3 {
		if _, err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.set(func() { f.refuse["SHOW"] = 1053 })
	if _, err := s.Status(t.Context()); kind(t, err) != reason.NotFound {
		t.Errorf("got %v", err)
	}
	f.set(func() { delete(f.refuse, "SHOW") })
	if _, err := s.Status(t.Context()); err != nil {
		t.Errorf("right after it: %v", err)
	}
}

func TestFallbackAndBack(t *testing.T) {
	address, second := nobody(t), newFake(t, "127.0.0.1:0")
	s := open(t, address, nobody(t), second.address())
	mysql.SetAgain(s, 20*time.Millisecond)
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if index, _, ok := s.Serving(); index != 2 || !ok {
		t.Fatalf("%d serves", index)
	}
	first := newFake(t, address)
	soon(t, "the primary serves", func() bool {
		if _, err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		index, _, _ := s.Serving()
		return index == 0
	})
	soon(t, "the fallback is left", func() bool { open, _ := second.counts(); return open == 0 })
	if open, _ := first.counts(); open != 1 {
		t.Errorf("the primary has %d connections", open)
	}
}

// A primary that refuses the login is up, and the fallback must not hide that.
func TestFallbackDoesNotHideRefusal(t *testing.T) {
	first, second := newFake(t, "127.0.0.1:0"), newFake(t, "127.0.0.1:0")
	first.set(func() { first.refuse["SELECT VERSION"] = 1045 })
	s := open(t, first.address(), second.address())
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("got %v", err)
	}
	if _, taken := second.counts(); taken != 0 {
		t.Error("the fallback was asked")
	}
	// When both fail, the first one's reason is reported.
	s = open(t, nobody(t), first.address())
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.NotFound {
		t.Errorf("got %v", err)
	}
}

// A right that is granted later is seen, though it holds for new connections only.
func TestGrantLater(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() { f.refuse["SELECT 1 FROM information_schema.innodb_trx"] = 1227 })
	s := open(t, f.address())
	mysql.SetAgain(s, 20*time.Millisecond)
	_, err := s.Threads(t.Context())
	if kind(t, err) != reason.Permission {
		t.Errorf("got %v", err)
	}
	var e *mysql.Error
	if !errors.As(err, &e) || e.Need != "PROCESS" {
		t.Errorf("it needs %q", e.Need)
	}
	if _, err := s.Status(t.Context()); err != nil {
		t.Errorf("what needs no right: %v", err)
	}
	f.set(func() { clear(f.refuse) })
	soon(t, "the right is seen", func() bool { _, err := s.Threads(t.Context()); return err == nil })
	soon(t, "one connection is left", func() bool { open, _ := f.counts(); return open == 1 })
}

func TestPasswordFile(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() { f.refuse["SELECT VERSION"] = 1045 })
	file := filepath.Join(t.TempDir(), "password")
	s := mysql.Open(mysql.Options{DSN: config.Secret("resp@tcp(" + f.address() + ")/"), PasswordFile: file})
	defer s.Close()
	because := func(cause error) string { return mysql.PasswordError(&secret.Error{Err: cause}).Error() }
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.NotFound || err.Error() != because(syscall.ENOENT) {
		t.Errorf("got %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("x", 5000))
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.Failed || !strings.HasPrefix(err.Error(), because(safefile.ErrTooLarge)) {
		t.Errorf("got %v", err)
	}
	for _, empty := range []string{"", "\n", " \r\n"} { // else it would log in with an empty password
		write(empty)
		_, tries := f.counts()
		_, err := s.Ping(t.Context())
		if kind(t, err) != reason.Failed || err.Error() != because(secret.ErrEmpty) {
			t.Errorf("a password file with %q: %v", empty, err)
		}
		if _, after := f.counts(); after != tries {
			t.Errorf("a password file with %q: it logs in", empty)
		}
	}
	write("old\n")
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("got %v", err)
	}
	_, before := f.counts()
	if _, err := s.Ping(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("got %v", err)
	}
	if _, after := f.counts(); after != before {
		t.Error("a refused password was tried again at once")
	}
	f.set(func() { clear(f.refuse) })
	write("another\n")
	if _, err := s.Ping(t.Context()); err != nil {
		t.Errorf("with the new password: %v", err)
	}
}

// After Close no connection is left, also if a connect was in progress, and reads fail.
func TestClose(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	before := runtime.NumGoroutine()
	for _, mute := range []bool{false, true} {
		f.set(func() {
			if mute {
				f.mute = make(chan struct{})
			}
		})
		s := mysql.Open(mysql.Options{DSN: config.Secret("resp@tcp(" + f.address() + ")/")})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, _ = s.Ping(ctx)
		cancel()
		s.Close()
		s.Close()
		if _, err := s.Ping(t.Context()); err == nil {
			t.Error("a read after Close works")
		}
	}
	f.unmute()
	soon(t, "nothing is left", func() bool { open, _ := f.counts(); return open == 0 && runtime.NumGoroutine() <= before })
}

func BenchmarkThreads(b *testing.B) {
	f := newFake(b, "127.0.0.1:0")
	rows := make([]string, 1000)
	for i := range rows {
		rows[i] = fmt.Sprintf("%d|shop|10.0.0.1:%d|shop|Sleep|42||~|0.000", i+10, i+10000)
	}
	f.set(func() { f.rows["SHOW PROCESSLIST"] = rows })
	s := open(b, f.address())
	b.ReportAllocs()
	for b.Loop() {
		if threads, err := s.Threads(b.Context()); err != nil || len(threads) != len(rows) {
			b.Fatal(len(threads), err)
		}
	}
}
