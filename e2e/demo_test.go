package e2e_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// TestDemo runs the demo as a user does: its faults appear in the exporter, and Ctrl-C ends
// all processes. TestDemoOneFault ends a demo by DEMO_SECONDS.
func TestDemo(t *testing.T) {
	t.Parallel()
	program := buildDemo(t)
	d := startDemo(t, program, "DEMO_FAULTS=none")
	d.waitFor(t, "Ctrl-C ends it.")
	d.visit(t)
	if err := d.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	d.endsWell(t)

	// Ctrl-C while it starts.
	d = startDemo(t, program)
	eventually(t, 60*time.Second, func() error { return wants("parts are running", d.sawChildren(), true) })
	if err := d.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	d.ends(t)
}

// TestDemoMissing checks that missing programs are named with their packages, and that
// nothing is started.
func TestDemoMissing(t *testing.T) {
	t.Parallel()
	d := startDemo(t, buildDemo(t), "PATH="+t.TempDir())
	if got := d.finishes(t); got != "demo ended: exit status 1" {
		t.Errorf("%s", got)
	}
	said := d.Output(1 << 16)
	for _, want := range []string{"mariadbd", "redis-server", "gunicorn", "apt-get install mariadb-server mariadb-client redis-server gunicorn python3-rq prometheus prometheus-alertmanager"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "Starting") {
		t.Errorf("it started something:\n%s", said)
	}
	d.leftNothing(t)
}

// runningDemo is a demo, and all processes that it was seen to have.
type runningDemo struct {
	*run.Proc

	tmp  string
	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	seen map[int]string // start time by pid
}

func buildDemo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/demo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func startDemo(t *testing.T, program string, env ...string) *runningDemo {
	t.Helper()
	need(t, "mariadbd", "redis-server", "gunicorn", "rq", "prometheus", "prometheus-alertmanager")
	d := &runningDemo{tmp: openDir(t), stop: make(chan struct{}), seen: map[int]string{}}
	d.Proc = start(t, run.Spec{Name: "demo", Path: program, Args: []string{
		"-exporter", binary, "-shop", "shop", "-rules", "../rules", "-heal-sql", "../deploy/sql/mariadb-heal.sql",
	}, Env: append([]string{"TMPDIR=" + d.tmp}, env...)})
	d.done.Go(d.follow)
	t.Cleanup(func() { // before the end of start, which would not wait for the parts
		_ = d.Signal(syscall.SIGTERM)
		select {
		case <-d.Done():
		case <-time.After(scaled(30 * time.Second)):
			t.Error("the demo does not end")
		}
		close(d.stop)
		d.done.Wait()
	})
	return d
}

// follow records each process of the demo.
func (d *runningDemo) follow() {
	for {
		tree := descendants(d.PID())
		d.mu.Lock()
		maps.Copy(d.seen, tree)
		d.mu.Unlock()
		select {
		case <-d.stop:
			return
		case <-d.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (d *runningDemo) sawChildren() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen) > 0
}

func (d *runningDemo) waitFor(t *testing.T, text string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		if err := d.Err(); err != nil {
			t.Fatalf("%v\n%s", err, d.Output(1<<16))
		}
		return wants("it has said "+text, strings.Contains(d.Output(1<<16), text), true)
	})
}

// finishes waits until the demo has ended, and returns how.
func (d *runningDemo) finishes(t *testing.T) string {
	t.Helper()
	eventually(t, 2*time.Minute, func() error { return wants("the demo has ended", d.Err() != nil, true) })
	return d.Err().Error()
}

// ends fails the test unless the demo ends with 0 and leaves nothing.
func (d *runningDemo) ends(t *testing.T) {
	t.Helper()
	if got := d.finishes(t); got != "demo ended" {
		t.Errorf("%s\n%s", got, d.Output(1<<16))
	}
	d.leftNothing(t)
}

// endsWell is for a demo that also has shown what it should.
func (d *runningDemo) endsWell(t *testing.T) {
	t.Helper()
	d.ends(t)
	said := d.Output(1 << 16)
	for _, want := range []string{
		`Prometheus sees the app shop: 4 workers, \d+\.\d requests/s; MariaDB and Redis are up\.`,
		`\n\d\d:\d\d:\d\d  \d+\.\d requests/s, \d+ of 4 workers busy, queue \d+; mysql up, pool \S+ of \S+, \S+ leaked; redis up, \S+ sessions, \S+ jobs wait\n`,
		`\nEnding the demo\.\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("it does not say %s:\n%s", want, said)
		}
	}
	for _, never := range []string{" 0.0 requests/s", "down"} {
		if strings.Contains(said, never) {
			t.Errorf("it says %q:\n%s", never, said)
		}
	}
}

// leftNothing fails the test when a process or a file of the demo is still there.
func (d *runningDemo) leftNothing(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for pid, started := range d.seen {
		if p, ok := processOf(pid); ok && p.started == started {
			t.Errorf("process %d is left: %s", pid, p.name)
		}
	}
	if files, err := os.ReadDir(d.tmp); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

// address returns the first group of an expression in the demo's output.
func (d *runningDemo) address(t *testing.T, expr string) string {
	t.Helper()
	m := regexp.MustCompile(expr).FindStringSubmatch(d.Output(1 << 16))
	if m == nil {
		t.Fatalf("no %s:\n%s", expr, d.Output(1<<16))
	}
	return m[1]
}

// visit injects faults and checks what the exporter reports of them.
func (d *runningDemo) visit(t *testing.T) {
	t.Helper()
	page := d.address(t, `(http://127\.0\.0\.1:\d+)/ +the status page`)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, shop: d.address(t, `the shop +(http://127\.0\.0\.1:\d+),`), client: &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{}}}
	t.Cleanup(v.client.CloseIdleConnections)
	x := &exporter{url: page, client: v.client}

	v.asks(http.MethodGet, "/products/2", 200, `"lamp"`)
	v.asks(http.MethodGet, "/products/99", 404, "")
	v.asks(http.MethodPost, "/checkout", 409, "empty")
	v.asks(http.MethodPost, "/cart/2", 200, `{"2":1}`)
	v.asks(http.MethodPost, "/cart/2", 200, `{"2":2}`)
	v.asks(http.MethodPost, "/cart/99", 404, "")
	v.asks(http.MethodGet, "/cart", 200, `{"2":2}`)
	v.asks(http.MethodPost, "/checkout", 202, "")
	v.asks(http.MethodGet, "/cart", 200, `{}`)

	v.asks(http.MethodGet, "/fault/sessions?n=9999", 200, "5000 sessions without expiry")
	v.asks(http.MethodGet, "/fault/slow-query?s=0.1", 200, "slept 0.1 s")
	v.asks(http.MethodGet, "/fault/stuck-job?s=600", 202, "600 s")
	for range 3 {
		v.asks(http.MethodGet, "/fault/leak-connection", 200, "leaked by")
	}
	oldest := func() float64 {
		v, _ := x.scrape(t).sum("resp_mysql_oldest_transaction_seconds", "mysql=main")
		return v
	}
	eventually(t, 20*time.Second, func() error { return wants("a transaction of 5 s", oldest() >= 5, true) })

	v.locksUntil(func() {
		eventually(t, 20*time.Second, func() error {
			n, _ := x.scrape(t).sum("resp_mysql_lock_waits", "mysql=main")
			return wants("a wait for a lock", n >= 1, true)
		})
	})

	v.asks(http.MethodGet, "/fault/clear", 200, "cleared")
	eventually(t, 30*time.Second, func() error { return wants("a transaction of 5 s", oldest() >= 5, false) })
	// A job that would outlast the demo, in a process that its end must reach.
	v.asks(http.MethodGet, "/fault/stuck-job?s=600", 202, "600 s")
	began := map[int]time.Time{}
	eventually(t, 40*time.Second, func() error {
		longest := time.Duration(0)
		for _, pid := range horses(d.PID()) {
			if began[pid].IsZero() {
				began[pid] = time.Now()
			}
			longest = max(longest, time.Since(began[pid]))
		}
		return wants("a job runs for 3 s, as no other one does", longest >= 3*time.Second, true)
	})
}

// visitor is a client with cookies. Its methods may be called from any goroutine.
type visitor struct {
	t      *testing.T
	shop   string
	client *http.Client
}

// locksUntil locks a row over and over from two sides, so that one of them waits for the
// other until f has returned.
func (v *visitor) locksUntil(f func()) {
	v.t.Helper()
	var locks sync.WaitGroup
	seen := make(chan struct{})
	defer func() { close(seen); locks.Wait() }()
	for range 2 {
		locks.Go(func() {
			for again := true; again; {
				v.asks(http.MethodGet, "/fault/lock?s=4&product=5", 200, "held product 5")
				select {
				case <-seen:
					again = false
				default:
				}
			}
		})
	}
	f()
}

// asks records an error unless the shop answers with that status and text.
func (v *visitor) asks(method, path string, status int, text string) {
	v.t.Helper()
	req, err := http.NewRequest(method, v.shop+path, nil)
	if err != nil {
		v.t.Error(err)
		return
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != status || !strings.Contains(string(b), text) {
		v.t.Errorf("%s %s: %d, want %d with %q: %v\n%.300s", method, path, resp.StatusCode, status, text, err, b)
	}
}

// process is one line of /proc/PID/stat.
type process struct {
	name, started   string
	parent, session int
}

// processOf returns a running process; a zombie is none.
func processOf(pid int) (process, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || shut < open {
		return process{}, false
	}
	f := strings.Fields(string(b[shut+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return process{}, false
	}
	parent, _ := strconv.Atoi(f[1])
	session, _ := strconv.Atoi(f[3])
	return process{name: string(b[open+1 : shut]), started: f[19], parent: parent, session: session}, true
}

// family returns all processes below pid.
func family(pid int) map[int]process {
	all := map[int]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if n, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			if p, ok := processOf(n); ok {
				all[n] = p
			}
		}
	}
	out := map[int]process{}
	for grown := true; grown; {
		grown = false
		for n, p := range all {
			_, in := out[n]
			if _, below := out[p.parent]; !in && (below || p.parent == pid) {
				out[n], grown = p, true
			}
		}
	}
	return out
}

// descendants returns the start time of each process below pid.
func descendants(pid int) map[int]string {
	out := map[int]string{}
	for n, p := range family(pid) {
		out[n] = p.started
	}
	return out
}

// horses returns the processes below pid that have a session of their own, as
// RQ's have in which a job runs. A worker, which the demo itself started, has one too.
func horses(pid int) []int {
	var out []int
	for n, p := range family(pid) {
		if p.session == n && p.parent != pid {
			out = append(out, n)
		}
	}
	return out
}
