package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// row is one of the demo's table: alert, action, and the seconds from the fault
// to alert, action and proof.
var row = regexp.MustCompile(`\n\S[a-zA-Z ]+? {2,}(Resp[A-Za-z]+) +([a-z_–]+) +(\S+)(?: s)? +(\S+)(?: s)? +(\S+)(?: s)?\n`)

// TestDemoStory runs the faults of the demo during which no request is shed: its action
// heals each fault soon, no other request fails, and no session with an expiry changes.
// TestDemoShedding has the other ones.
func TestDemoStory(t *testing.T) {
	t.Parallel()
	d := startDemo(t, buildDemo(t), "DEMO_FAULTS=connections,memory,query,sessions,worker,task,lock,upstream,gil")
	d.waitFor(t, "Ctrl-C ends it.")
	expiries := d.visitors(t)
	// Each request holds a worker for a while, so that some are under way when a worker is recycled.
	stop, bystanders := make(chan struct{}), sync.WaitGroup{}
	shop := d.address(t, `the shop +(http://127\.0\.0\.1:\d+),`)
	answered := make([]int, 2)
	for i := range answered {
		bystanders.Go(func() { answered[i] = bystand(t, shop+"/slow?s=0.3", stop) })
	}
	eventually(t, 4*time.Minute, func() error {
		if err := d.Err(); err != nil {
			t.Fatalf("%v\n%s", err, d.Output(1<<16))
		}
		return wants("the story is over", strings.Contains(d.Output(1<<16), "The shop goes on."), true)
	})
	close(stop)
	bystanders.Wait()
	t.Logf("%v requests of bystanders; the demo said:\n%s", answered, d.Output(4000))
	if answered[0] < 20 || answered[1] < 20 {
		t.Errorf("too few requests of bystanders: %v", answered)
	}
	d.healed(t, map[string]string{
		"RespPoolLeak": "kill_leaked_connections", "RespWorkerMemoryLeak": "recycle_worker", "RespQueryTooLong": "kill_long_queries",
		"RespSessionsWithoutExpiry": "purge_sessions", "RespTasksStuck": "restart_task",
	})
	for _, want := range []string{"\n1 of 1 called a person.\n", "\n3 of 3 explained.\n"} {
		if out := d.Output(1 << 16); !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	// Alert and page name the task.
	if out := d.Output(1 << 16); !regexp.MustCompile(`alert +RespTaskRestartLoop: .*longest-queue`).MatchString(out) {
		t.Errorf("the task has no name:\n%s", out)
	}
	if now := d.visitors(t); now != expiries {
		t.Errorf("expiries of sessions were %s, and are %s", expiries, now)
	}
	if err := d.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	d.ends(t)
}

// TestDemoOneFault checks that one fault can be selected, and that the demo ends after its
// time, and however short that is, shows all before.
func TestDemoOneFault(t *testing.T) {
	t.Parallel()
	d := startDemo(t, buildDemo(t), "DEMO_FAULTS=sessions", "DEMO_SECONDS=1")
	d.endsWell(t)
	d.healed(t, map[string]string{"RespSessionsWithoutExpiry": "purge_sessions"})
}

// TestDemoNotHealed checks that with healing off the fault stays, and the demo reports why
// and fails.
func TestDemoNotHealed(t *testing.T) {
	t.Parallel()
	program := buildDemo(t)
	for _, c := range []struct {
		env   []string
		want  []string
		never string
	}{
		{
			[]string{"DEMO_FAULTS=sessions", "RESPONSIVENESS_CLEANUP_ENABLED=false"},
			[]string{"RespSessionsWithoutExpiry: ", "not healed nothing was done; healing is in mode off", "0 of 1 healed", "demo: not healed: sessions without expiry"}, "was healed, without",
		},
		{[]string{"DEMO_FAULTS=sessions,fire"}, []string{`"fire" is none of connections, memory, query, sessions, worker, overload, emergency, task, lock, upstream, gil`}, "Starting"},
	} {
		d := startDemo(t, program, c.env...)
		if got := d.finishes(t); got != "demo ended: exit status 1" {
			t.Error(got)
		}
		said := d.Output(1 << 16)
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q:\n%s", want, said)
			}
		}
		if strings.Contains(said, c.never) {
			t.Errorf("it says %q:\n%s", c.never, said)
		}
		d.leftNothing(t)
	}
}

// TestDemoGoesOn checks that a fault that the shop refuses, with a worker that leaks memory
// already, has the shop's reason, and that the faults after it and the tables follow.
func TestDemoGoesOn(t *testing.T) {
	t.Parallel()
	d := startDemo(t, buildDemo(t), "DEMO_FAULTS=sessions,emergency,upstream")
	d.waitFor(t, "1 of 3: sessions without expiry")
	shop := d.address(t, `the shop +(http://127\.0\.0\.1:\d+),`)
	// Healing ends the leak if the first fault takes long: until the shop has refused the second
	// one, a worker leaks again then.
	poll(t, 3*time.Minute, time.Second, func() error {
		if err := d.Err(); err != nil {
			t.Fatalf("%v\n%s", err, d.Output(1<<16))
		}
		resp, err := http.Get(shop + "/fault/leak-memory")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		leaks := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusConflict
		return all(wants(fmt.Sprintf("a worker leaks after status %d", resp.StatusCode), leaks, true),
			wants("the second fault was refused", strings.Contains(d.Output(1<<16), "/fault/keep-memory: 409"), true))
	})
	if got := d.finishes(t); got != "demo ended: exit status 1" {
		t.Error(got)
	}
	said := d.Output(1 << 16)
	for _, want := range []string{
		`not healed the shop's /fault/keep-memory: 409 [^\n]*: a worker leaks already\n`, `\na memory emergency .* no\n`,
		`\n[01] of 2 healed`, `\n1 of 1 explained\.\n`, `demo: not healed: a memory emergency\n`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	d.leftNothing(t)
}

// healed reports whether the table has these alerts with these actions and nothing
// else, in this order of time, and how soon they came to an end.
func (d *runningDemo) healed(t *testing.T, want map[string]string) {
	t.Helper()
	_, table, _ := strings.Cut(d.Output(1<<16), "\nfault  ")
	got := map[string]string{}
	var times []float64
	for line := range strings.Lines(table) {
		m := row.FindStringSubmatch("\n" + line)
		if m == nil {
			continue
		}
		got[m[1]] = m[2]
		var at [3]float64
		for i, text := range m[3:] {
			var err error
			if at[i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Errorf("%s: %q", m[1], text)
			}
		}
		if !slices.IsSorted(at[:]) || at[0] <= 0 {
			t.Errorf("%s: alert, action and proof at %v", m[1], at)
		}
		if m[1] != "RespAppMemoryHigh" { // it ends with a second run, after the cooldown
			times = append(times, at[2])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("healed are %v, want %v, in\n%s", got, want, table)
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > scaled(time.Minute).Seconds() {
		t.Errorf("from fault to proof it took %.1f s in the median", median)
	}
}

// bystand requests a page repeatedly, counts, and records each answer but 200.
func bystand(t *testing.T, url string, stop <-chan struct{}) (n int) {
	client := &http.Client{Timeout: 3 * time.Minute, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return n
		default:
		}
		resp, err := client.Get(url)
		if err != nil {
			t.Errorf("a request to another page: %v", err)
			return n
		}
		_ = resp.Body.Close()
		if n++; resp.StatusCode != http.StatusOK {
			t.Errorf("a request to another page: %s", resp.Status)
		}
	}
}

// visitors adds up when the sessions of earlier visitors expire, to the
// millisecond.
func (d *runningDemo) visitors(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.tmp, "*", "users.acl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("users of Redis: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`user shop on >(\S+)`).FindSubmatch(text)
	if secret == nil {
		t.Fatal("no password of the shop")
	}
	_, port, _ := strings.Cut(d.address(t, `Redis at (127\.0\.0\.1:\d+)`), ":")
	cli := exec.CommandContext(t.Context(), "redis-cli", "-p", port, "--user", "shop", "EVAL", `local sum, none = 0, 0
		for i = 1, 1500 do
			local at = redis.call('PEXPIRETIME', 'session:visitor-' .. i)
			if at < 0 then none = none + 1 else sum = sum + at % 100000007 end
		end
		return string.format('%.0f and %d without', sum, none)`, "0")
	cli.Env = append(os.Environ(), "REDISCLI_AUTH="+string(secret[1]))
	out, err := cli.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "and 0 without") {
		t.Fatalf("expiries: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
