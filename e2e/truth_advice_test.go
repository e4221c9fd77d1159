package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// firstAdvice returns the first recommendation, which must match the pattern.
func (x *exporter) firstAdvice(pattern string) (string, error) {
	var got struct{ Recommendations []string }
	_, out := x.check("--output=json")
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if len(got.Recommendations) == 0 {
		return "", errors.New("nothing is recommended")
	}
	// Where the app is held up, the line begins with that.
	if !regexp.MustCompile(strings.Replace(pattern, "^", `^(?:\S+ is held up by .*\. )?`, 1)).MatchString(got.Recommendations[0]) {
		return "", fmt.Errorf("the first line is not %s:\n%s", pattern, strings.Join(got.Recommendations, "\n"))
	}
	return got.Recommendations[0], nil
}

var (
	orderKill   = regexp.MustCompile(`\bKILL (?:QUERY )?[0-9]+`)
	orderSignal = regexp.MustCompile(`\bkill -(QUIT|KILL)((?: [0-9]+)+)`)
)

// orderOf returns the commands in a line of advice.
func orderOf(line string) string {
	return strings.Join(append(orderKill.FindAllString(line, -1), orderSignal.FindString(line)), ";")
}

// follow does what a line says, like a person who reads only this line.
func follow(t *testing.T, s *mariadb.Server, line string) {
	t.Helper()
	kills := orderKill.FindAllString(line, -1)
	for _, k := range kills {
		if err := s.Exec(k); err != nil && !strings.Contains(err.Error(), "Unknown thread") { // it may have ended since
			t.Fatal(err)
		}
	}
	if len(kills) > 0 {
		return
	}
	order := orderSignal.FindStringSubmatch(line)
	if order == nil {
		t.Fatalf("there is nothing to follow in %q", line)
	}
	for pid := range strings.FieldsSeq(order[2]) {
		n, err := strconv.Atoi(pid)
		if err == nil {
			err = syscall.Kill(n, map[string]syscall.Signal{"QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}[order[1]])
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// shellOf returns one connection of an administrator, which the test ends: closing
// the pool alone would leave it asleep on the server, a suspect for what follows.
func shellOf(t *testing.T, s *mariadb.Server) *sql.Conn {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// alterBehind changes a table in the background, and returns once the change waits
// for its lock: a request that came before it would not wait.
func alterBehind(t *testing.T, s *mariadb.Server) {
	t.Helper()
	change := shellOf(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = change.ExecContext(ctx, "ALTER TABLE shop.orders ADD COLUMN more INT")
	}()
	t.Cleanup(func() { cancel(); <-ended })
	see := shellOf(t, s)
	eventually(t, 20*time.Second, func() error {
		n := 0
		err := see.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE STATE = 'Waiting for table metadata lock'").Scan(&n)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d connections wait for a lock of a table", n)
		}
		return err
	})
}

// deaf returns a listener that answers nothing. Its end closes all connections to it.
func deaf(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestTruthAdviceEndsTheTrouble checks that the first line of advice names the root, that
// following it literally ends the fault, and that no line suggests to end a victim.
func TestTruthAdviceEndsTheTrouble(t *testing.T) {
	t.Parallel()
	s := database(t, longLockWaits)
	const wait = "/pay?row=1"
	for name, c := range map[string]struct {
		path  string   // the path that both workers get a request for; PORT is that of the server that never answers
		first string   // the first line
		shell []string // what a foreign shell runs before, and leaves open
		alter bool     // another one changes the table, behind that
		steps int      // how often the first line is followed, at most
	}{
		"a lock of a foreign shell": {
			wait, `^(Connection \d+ of user root from localhost on MySQL main.* 2 other connections wait .*end it with |(Let user root from localhost end its transaction, or end connection \d+|Check connection \d+ first, and end it if it is the one) \()KILL \d+.*Do not end workers 0 and 1 of `,
			[]string{"START TRANSACTION", "UPDATE shop.orders SET paid = 9 WHERE id = 1"}, false, 1,
		},
		"a locked table": {
			wait, `^(2 connections wait for a lock of a table on MySQL main.* It is probably connection \d+ of user root from localhost.*|(Let user root from localhost end its transaction, or end connection \d+|Check connection \d+ first, and end it if it is the one) \()KILL \d+.*Do not end workers 0 and 1 of `,
			[]string{"LOCK TABLES shop.orders WRITE"}, false, 1,
		},
		"a change of a table behind a transaction": {
			wait, `^(3 connections wait for a lock of a table on MySQL main.* It is probably connection \d+ of user root from localhost: it has had an open transaction.*|(Let user root from localhost end its transaction, or end connection \d+|Check connection \d+ first, and end it if it is the one) \()KILL \d+`,
			[]string{"START TRANSACTION", "SELECT * FROM shop.orders"}, true, 1,
		},
		"slow statements": {"/query?s=600", `^Connections \d+ of worker [01] \(pid \d+\) of .* each run a statement on MySQL main.*KILL QUERY \d+ and KILL QUERY \d+ end them`, nil, false, 2},
		"a hung upstream": {"/upstream?port=PORT", `^Workers .* wait for 127\.0\.0\.1:PORT.* for .*kill -QUIT \d+ \d+ aborts`, nil, false, 2},
		"spins":           {"/spin?s=600", `^Workers? .* computes?,? .*for .*kill -QUIT \d+( \d+)? aborts`, nil, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a := holder(t, 2, address(s), launch{})
			x := watch(t, export{
				args: []string{"--no-collector.host", "--no-collector.disk"},
				config: joined("monitoring_interval: 1s", "thresholds: {response_time: {warning: 1, critical: 3}, query_time: {warning: 1, critical: 2}, memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}",
					fmt.Sprintf("apps: [{name: %s, match: {listen: %q}, pools: [{name: main, mysql: main, user: shop, size: 5, leak_after: 5m}]}]", a.name, a.listen)) + mysqlSection(t, "main", s),
			})
			eventually(t, 30*time.Second, func() error { return x.says(t, a, "healthy", "") })
			path, first := c.path, c.first
			if strings.Contains(path, "PORT") {
				at := port(deaf(t).Addr().String())
				path, first = strings.ReplaceAll(path, "PORT", at), strings.ReplaceAll(first, "PORT", at)
			}
			if len(c.shell) > 0 {
				open := shellOf(t, s)
				for _, statement := range c.shell {
					if _, err := open.ExecContext(t.Context(), statement); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.alter {
				alterBehind(t, s)
			}
			for range 2 { // a request for each worker
				a.behind(path)
			}
			well := func() error {
				if code, out := x.check(); code != 0 {
					return fmt.Errorf("check ends with %d:\n%s", code, out)
				}
				return nil
			}
			before := "" // what was followed
			for step := 0; ; step++ {
				if step == c.steps {
					eventually(t, 30*time.Second, well)
					return
				}
				line := ""
				eventually(t, 40*time.Second, func() error {
					if step > 0 && well() == nil {
						return nil
					}
					got, err := x.firstAdvice(first)
					if err == nil && orderOf(got) == before {
						err = fmt.Errorf("%s was followed, and is still said", before)
					}
					line = got
					return err
				})
				if line == "" {
					return
				}
				follow(t, s, line)
				before = orderOf(line)
			}
		})
	}
}
