package e2e_test

import (
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
	if !regexp.MustCompile(pattern).MatchString(got.Recommendations[0]) {
		return "", fmt.Errorf("the first line is not %s:\n%s", pattern, strings.Join(got.Recommendations, "\n"))
	}
	return got.Recommendations[0], nil
}

var (
	orderKill   = regexp.MustCompile(`\bKILL (?:QUERY )?[0-9]+`)
	orderSignal = regexp.MustCompile(`\bkill -(QUIT|KILL) ([0-9]+)`)
)

// orderOf returns the command in a line of advice.
func orderOf(line string) string { return orderKill.FindString(line) + orderSignal.FindString(line) }

// follow does what the first line says, as a person would who reads no further.
func follow(t *testing.T, s *mariadb.Server, line string) {
	t.Helper()
	if order := orderKill.FindString(line); order != "" {
		execute(t, s, order)
		return
	}
	order := orderSignal.FindStringSubmatch(line)
	if order == nil {
		t.Fatalf("there is nothing to follow in %q", line)
	}
	pid, err := strconv.Atoi(order[2])
	if err == nil {
		err = syscall.Kill(pid, map[string]syscall.Signal{"QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}[order[1]])
	}
	if err != nil && !errors.Is(err, syscall.ESRCH) { // it may have ended since the last look
		t.Fatal(err)
	}
}

// deaf listens on a port and accepts nothing that it answers.
func deaf(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// The first line of advice names the root, and who follows it literally, and
// reads no further, ends the trouble. Nobody is told to end a victim.
func TestTruthAdviceEndsTheTrouble(t *testing.T) {
	t.Parallel()
	s := database(t)
	for name, c := range map[string]struct {
		path  string // what both workers are asked for; PORT is that of the deaf server
		first string // the first line
		lock  bool   // a foreign shell holds the row
		steps int    // how often the first line is followed, at most
	}{
		"a lock of a foreign shell": {"/wait?row=1", `^Connection (\d+) of user root from localhost on MySQL main.*KILL \d+ ends it.*Do not end workers 0 and 1 of `, true, 1},
		"a slow statement":          {"/query?s=300", `^Connection (\d+) of worker [01] \(pid \d+\) of .* has run a SELECT on MySQL main for .*KILL QUERY \d+ ends it`, false, 3},
		"a hung upstream":           {"/upstream?port=PORT", `^Workers? .* waits? for 127\.0\.0\.1:PORT.* for .*kill -QUIT \d+ gives up`, false, 3},
		"a spin":                    {"/spin?s=300", `^Worker [01] \(pid \d+\) of .* computes for .*kill -QUIT \d+ gives up`, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a := holder(t, 2, address(s), launch{})
			x := watch(t, export{
				args: []string{"--no-collector.host", "--no-collector.disk"},
				config: joined("monitoring_interval: 1s", "thresholds: {response_time: {warning: 1, critical: 3}, query_time: {warning: 1, critical: 2}, memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}",
					fmt.Sprintf("apps: [{name: %s, match: {listen: %q}, pools: [{name: main, mysql: main, user: shop, size: 5, leak_after: 5m}]}]", a.name, a.listen)) + mysqlSection(t, "main", s),
			})
			eventually(t, 30*time.Second, func() error { return x.says(t, a, "healthy", "", "") })
			path, first := c.path, c.first
			if strings.Contains(path, "PORT") {
				port := strconv.Itoa(deaf(t))
				path, first = strings.ReplaceAll(path, "PORT", port), strings.ReplaceAll(first, "PORT", port)
			}
			if c.lock {
				db, err := s.Root()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				db.SetMaxOpenConns(1)
				if _, err := db.ExecContext(t.Context(), "START TRANSACTION"); err != nil {
					t.Fatal(err)
				}
				if _, err := db.ExecContext(t.Context(), "UPDATE shop.orders SET paid = 9 WHERE id = 1"); err != nil {
					t.Fatal(err)
				}
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
