package mysql_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// session opens a session on a fake that reports its identity.
func session(t *testing.T, f *fake, s *mysql.Server) *mysql.Session {
	t.Helper()
	f.set(func() { f.rows["SELECT CONCAT(UNIX_TIMESTAMP()"] = []string{"1700000000-77|re@sp@10.0.0.1"} })
	v, err := s.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// lastAsked returns the last statement with that beginning.
func (f *fake) lastAsked(start string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range slices.Backward(f.asked) {
		if strings.HasPrefix(s, start) {
			return s
		}
	}
	return ""
}

func TestSessionLooks(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	v := session(t, f, s)
	if v.Server() != "1700000000-77" || v.User() != "re@sp" || !v.Version().MariaDB {
		t.Errorf("got %q, %q, %v", v.Server(), v.User(), v.Version())
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Session(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second session beside the first: %v", err)
	}
	v.Close()
	v.Close()
	v = session(t, f, s)
	f.set(func() {
		f.rows["SELECT trx_mysql_thread_id"] = []string{"12|4711|RUNNING|300", "13|~|RUNNING|1"}
	})
	if _, err := v.Connections(t.Context()); err == nil {
		t.Error("nonsense was taken")
	}
	v.Close()
	v = session(t, f, s)
	f.set(func() {
		f.rows["SELECT trx_mysql_thread_id"] = []string{"12|4711|RUNNING|300"}
		f.rows["SELECT ID, USER"] = []string{"7|resp|h:1|Query||0.5|9", "12|shop|h:2|Sleep||61500.25|44", "13|shop|h:3|Sleep||-5|1", "14|~|~|~||~|0"}
	})
	list, err := v.Connections(t.Context())
	want := []mysql.Connection{
		{ID: 7, User: "resp", Host: "h:1", Command: "Query", Time: 500 * time.Microsecond, Query: 9, Own: true},
		{ID: 12, User: "shop", Host: "h:2", Command: "Sleep", Time: 61500250 * time.Microsecond, Query: 44, InTransaction: true, Transaction: "4711", TrxState: "RUNNING", Rows: 300},
		{ID: 13, User: "shop", Host: "h:3", Command: "Sleep", Query: 1},
		{ID: 14},
	}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("got %+v, %v", list, err)
	}
	if c, ok, err := v.Connection(t.Context(), 12); ok || err != nil { // the fake returns the first row for any query
		t.Errorf("another connection's row was taken: %+v, %v", c, err)
	}
	if q := f.lastAsked("SELECT ID, USER"); !strings.HasSuffix(q, "WHERE ID = 12") || !strings.Contains(q, "QUERY_ID") || strings.Contains(q, "INFO") {
		t.Errorf("asked %q", q)
	}
	until(t, f, 1)
	v.Close()
	until(t, f, 0)
}

// until waits until the fake has so many connections.
func until(t *testing.T, f *fake, n int) {
	t.Helper()
	soon(t, "the connections end", func() bool { open, _ := f.counts(); return open == n })
}

func TestSessionRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	var fault *mysql.Error
	if _, err := s.Session(t.Context()); !errors.As(err, &fault) || fault.Reason != reason.Unsupported {
		t.Errorf("a server that does not say who it is: %v", err)
	}
	f.set(func() { f.rows["SELECT CONCAT(UNIX_TIMESTAMP()"] = []string{"1-1|resp@h"} })
	f.set(func() { f.refuse["SELECT 1 FROM information_schema.innodb_trx"] = 1227 })
	if _, err := s.Session(t.Context()); !errors.As(err, &fault) || fault.Need != "PROCESS" {
		t.Errorf("without PROCESS: %v", err)
	}
	until(t, f, 0)
	s.Close()
	if _, err := s.Session(t.Context()); err == nil {
		t.Error("a closed server gave a session")
	}
}

// On a server without a free connection an action uses that of the scrapes, which get it
// back; without one, the action cannot read the server.
func TestSessionOfFullServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	if _, err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.full = true })
	v := session(t, f, s)
	until(t, f, 1) // the server sees the end of the one that it refused later than the client
	if open, taken := f.counts(); open != 1 || taken < 2 {
		t.Errorf("%d connections open of %d", open, taken)
	}
	var fault *mysql.Error
	if _, err := s.Ping(t.Context()); !errors.As(err, &fault) || fault.Reason != reason.Busy {
		t.Errorf("a read beside the action: %v", err)
	}
	v.Close()
	v.Close()
	if _, err := s.Ping(t.Context()); err != nil {
		t.Errorf("it was not given back: %v", err)
	}
	v = session(t, f, s)
	f.set(func() { f.full = false })
	soon(t, "a connection of its own", func() bool { _, err := s.Ping(t.Context()); return err == nil })
	v.Close()
	until(t, f, 1)
	f.set(func() {
		f.full, f.refuse["SELECT CONCAT(UNIX_TIMESTAMP()"] = true, 1227
		delete(f.rows, "SELECT CONCAT(UNIX_TIMESTAMP()")
	})
	if _, err := s.Session(t.Context()); err == nil {
		t.Error("a session without knowing the server")
	}
	if _, err := s.Ping(t.Context()); err != nil {
		t.Errorf("it was not given back after a failure: %v", err)
	}
	none := open(t, f.address())
	if _, err := none.Session(t.Context()); !errors.As(err, &fault) || fault.Reason != reason.Busy {
		t.Errorf("with no connection at all: %v", err)
	}
	f.set(func() { delete(f.refuse, "SELECT CONCAT(UNIX_TIMESTAMP()") })
	v = session(t, f, s)
	s.Close()
	v.Close()
	until(t, f, 0)
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	v := session(t, f, open(t, f.address()))
	c := mysql.Connection{ID: 12, Query: 44}
	own := mysql.Connection{ID: 7, Query: 1}
	type end func() (bool, error)
	for name, one := range map[string]struct {
		do          end
		want, start string
	}{
		"KILL":       {func() (bool, error) { return v.Kill(t.Context(), c) }, "KILL CONNECTION 12", "KILL"},
		"KILL QUERY": {func() (bool, error) { return v.KillQuery(t.Context(), c) }, "KILL QUERY ID 44", "KILL"},
	} {
		f.set(func() { delete(f.refuse, "KILL"); f.rows["KILL"] = nil })
		if done, err := one.do(); !done || err != nil || f.lastAsked(one.start) != one.want {
			t.Errorf("%s: %v, %v, %q", name, done, err, f.lastAsked(one.start))
		}
		for number, want := range map[uint16]string{1094: "", 1957: "", 1095: "the user may not end connections of other users"} {
			f.set(func() { f.refuse["KILL"] = number })
			done, err := one.do()
			if done || (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("%s, %d: %v, %v", name, number, done, err)
			}
		}
	}
	for _, do := range []end{
		func() (bool, error) { return v.Kill(t.Context(), own) },
		func() (bool, error) { return v.KillQuery(t.Context(), own) },
		func() (bool, error) { return v.CallKillIdle(t.Context(), "a.b; DROP", c, 0, 0) },
		func() (bool, error) { return v.CallKillIdle(t.Context(), "nodot", c, 0, 0) },
		func() (bool, error) { return v.CallKillQuery(t.Context(), "a`b.c", c, 0) },
		func() (bool, error) { return v.CallKillQuery(t.Context(), "", c, 0) },
	} {
		if done, err := do(); done || err == nil {
			t.Errorf("not refused: %v, %v", done, err)
		}
	}
	for answer, want := range map[string]bool{"1": true, "0": false, "~": false, "2": false} {
		f.set(func() { f.rows["SELECT @resp_done"] = []string{answer} })
		if done, err := v.CallKillIdle(t.Context(), "resp_heal.kill_idle", c, 1500*time.Millisecond, 10); done != want || err != nil {
			t.Errorf("%s: %v, %v", answer, done, err)
		}
	}
	if q := f.lastAsked("CALL"); q != "CALL `resp_heal`.`kill_idle`(12, 44, 1500, 10, @resp_done)" {
		t.Errorf("asked %q", q)
	}
	_, _ = v.CallKillQuery(t.Context(), "resp_heal.kill_query", c, 2*time.Second)
	if q := f.lastAsked("CALL"); q != "CALL `resp_heal`.`kill_query`(12, 44, 2000, @resp_done)" {
		t.Errorf("asked %q", q)
	}
	var fault *mysql.Error
	f.set(func() { f.refuse["CALL"] = 1370 })
	if _, err := v.CallKillIdle(t.Context(), "resp_heal.kill_idle", c, 0, 0); !errors.As(err, &fault) || fault.Need != "EXECUTE" {
		t.Errorf("without EXECUTE: %v", err)
	}
}

// MySQL has no statement ids, and no statement asks for what only MariaDB has.
func TestSessionOfMySQL(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	f.version = "8.0.36"
	v := session(t, f, open(t, f.address()))
	if _, err := v.Connections(t.Context()); err != nil {
		t.Fatal(err)
	}
	if q := f.lastAsked("SELECT ID, USER"); strings.Contains(q, "QUERY_ID") || strings.Contains(q, "TIME_MS") {
		t.Errorf("asked %q", q)
	}
	if q := f.lastAsked("SELECT CONCAT"); !strings.Contains(q, "performance_schema.global_status") {
		t.Errorf("asked %q", q)
	}
	if _, err := v.KillQuery(t.Context(), mysql.Connection{ID: 12}); err != nil || f.lastAsked("KILL") != "KILL QUERY 12" {
		t.Errorf("%v, %q", err, f.lastAsked("KILL"))
	}
	_, _, _ = v.Statement(t.Context(), mysql.Connection{ID: 12})
	if q := f.lastAsked("SELECT LEFT(INFO"); !strings.HasSuffix(q, "WHERE ID = 12") {
		t.Errorf("asked %q", q)
	}
}

func TestSessionStatement(t *testing.T) {
	t.Parallel()
	f := newFake(t, "127.0.0.1:0")
	v := session(t, f, open(t, f.address()))
	for row, want := range map[string]bool{"SELECT 1|8": true, "SELECT 1|59999": true, "SELECT 1|60000": false, "~|~": false} {
		f.set(func() { f.rows["SELECT LEFT(INFO"] = []string{row} })
		text, whole, err := v.Statement(t.Context(), mysql.Connection{ID: 12, Query: 44})
		if err != nil || whole != want || (text == "SELECT 1") != want {
			t.Errorf("%s: %q, %v, %v", row, text, whole, err)
		}
	}
	if q := f.lastAsked("SELECT LEFT"); !strings.HasSuffix(q, "WHERE ID = 12 AND QUERY_ID = 44") {
		t.Errorf("asked %q", q)
	}
}

func TestExcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"GRANT PROCESS ON *.* TO `resp`@`127.0.0.1` IDENTIFIED BY PASSWORD '*B690'", "GRANT EXECUTE ON PROCEDURE `resp_heal`.`kill_idle` TO `resp`@`127.0.0.1`"}, ""},
		{[]string{"GRANT PROCESS, SUPER, CONNECTION ADMIN ON *.* TO `x`@`localhost` IDENTIFIED BY PASSWORD '*B690' WITH GRANT OPTION"}, "CONNECTION ADMIN,SUPER"},
		{[]string{"GRANT CONNECTION_ADMIN ON *.* TO `x`@`%`", "GRANT SUPER ON *.* TO `x`@`%`", "GRANT SUPER ON *.* TO `y`@`%`"}, "CONNECTION_ADMIN,SUPER"},
		{[]string{"GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", "GRANT PROXY ON ``@`%` TO `root`@`localhost`"}, "ALL PRIVILEGES"},
		{[]string{"GRANT ALL PRIVILEGES ON `shop`.* TO `x`@`%`", "GRANT `SUPER` TO `x`@`%`", "SUPER ON *.* TO x"}, ""},
		{nil, ""},
	} {
		if got := strings.Join(mysql.ParseExcessPrivileges(c.lines), ","); got != c.want {
			t.Errorf("%q: %q", c.lines, got)
		}
	}
	f := newFake(t, "127.0.0.1:0")
	f.set(func() { f.rows["SHOW GRANTS"] = []string{"GRANT SUPER ON *.* TO x"} })
	if got, err := open(t, f.address()).ExcessPrivileges(t.Context()); err != nil || !slices.Equal(got, []string{"SUPER"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzExcess: the result has only names of rights.
func FuzzExcess(f *testing.F) {
	f.Add("GRANT SUPER, PROCESS ON *.* TO `x`@`%` IDENTIFIED BY PASSWORD '*B690'")
	f.Add("GRANT ALL PRIVILEGES ON *.* TO x")
	f.Fuzz(func(t *testing.T, line string) {
		for _, right := range mysql.ParseExcessPrivileges([]string{line, line}) {
			if !slices.Contains([]string{"ALL PRIVILEGES", "CONNECTION ADMIN", "CONNECTION_ADMIN", "SUPER"}, right) {
				t.Errorf("%q gave %q", line, right)
			}
		}
	})
}

func TestSessionWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits, transactions []string
		want                []mysql.ConnectionWait
		fails               bool
	}{
		"none":              {},
		"a chain":           {[]string{"80|70|5:2:3", "90|80|5:2:3"}, []string{"70|8", "80|9", "90|10"}, []mysql.ConnectionWait{{Waiter: 9, Blocker: 8}, {Waiter: 10, Blocker: 9}}, false},
		"the blocker ended": {[]string{"80|70|5:2:3"}, []string{"80|9"}, []mysql.ConnectionWait{{Waiter: 9}}, false},
		"the waiter ended":  {[]string{"80|70|5:2:3"}, []string{"70|8"}, nil, false},
		"one id of two":     {[]string{"80|0|5:2:3"}, []string{"0|8", "80|9", "0|10", "0|11"}, []mysql.ConnectionWait{{Waiter: 9}}, false},
		"one id of one":     {[]string{"80|0|5:2:3"}, []string{"0|8", "80|9"}, []mysql.ConnectionWait{{Waiter: 9, Blocker: 8}}, false},
		"too many":          {slices.Repeat([]string{"80|70|5:2:3"}, 1001), nil, nil, true},
		"nonsense":          {[]string{"80|70|5:2:3"}, []string{"70|x"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, "127.0.0.1:0")
			v := session(t, f, open(t, f.address()))
			f.set(func() { f.rows["SELECT requesting"], f.rows["SELECT trx_id"] = c.waits, c.transactions })
			got, err := v.Waits(t.Context())
			if !slices.Equal(got, c.want) || (err != nil) != c.fails {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
