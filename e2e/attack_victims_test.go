package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mayRecycle starts an exporter that recycles workers, with more keys of the step.
func mayRecycle(t *testing.T, with, more string) *exporter {
	t.Helper()
	return watch(t, export{args: []string{"--state.dir=" + filepath.Join(openDir(t), "state")}, config: joined(
		"thresholds: {response_time: {warning: 1, critical: 3}}",
		"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: "+secret(t), "  rules:", "    - name: leak", "      match: {alertname: Leak}",
		"      steps: [{action: recycle_worker, timeout: 2m, "+more+"with: {min_age: 0s, "+with+"}}]")})
}

// TestAttackHelperIsNoWorker checks that a process that a hook or the app forks in the
// master is not a worker, however large or stuck it is: no server would start it again.
func TestAttackHelperIsNoWorker(t *testing.T) {
	t.Parallel()
	const fork = `import multiprocessing as mp, time
def loop():
    kept = bytearray(80 << 20)
    for i in range(0, len(kept), 4096): kept[i] = 1
    while True: time.sleep(60)
def helper():
    p = mp.get_context('fork').Process(target=loop, daemon=True); p.start()
    open(%q, 'w').write(str(p.pid))
`
	for name, c := range map[string]struct{ server, hook, pick string }{
		"gunicorn when_ready, stuck":   {"gunicorn", "def when_ready(server): helper()\n", "stuck"},
		"gunicorn when_ready, largest": {"gunicorn", "def when_ready(server): helper()\n", "largest"},
		"gunicorn pre_fork, largest":   {"gunicorn", "def pre_fork(server, worker):\n    if not server.WORKERS: helper()\n", "largest"},
		"uwsgi import, largest":        {"uwsgi", "helper()\n", "largest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			file := filepath.Join(dir, "helper")
			text := fmt.Sprintf(fork, file) + c.hook
			l := launch{server: c.server, env: withoutTitles(t), args: []string{"-w", "3", "--preload", "--graceful-timeout", "1", "-c", write(t, filepath.Join(dir, "conf.py"), text)}}
			if c.server == "uwsgi" {
				write(t, filepath.Join(dir, "forks.py"), text)
				l.args, l.env = []string{"--master", "--processes", "3", "--import", "forks"}, []string{"PYTHONPATH=" + dir}
			}
			a := serve(t, l)
			pid := pidIn(t, file)
			start, err := startOf(pid)
			if err != nil {
				t.Fatal(err)
			}
			x := mayRecycle(t, "pick: "+c.pick, "")
			eventually(t, 60*time.Second, func() error { return x.scrape(t).has("resp_up", "component=app:"+a.name) })
			for range 3 { // until it would be stuck, if it were a worker
				r := alarm(t, x, a.name, healToken)
				if err := alive(pid, start); err != nil {
					t.Fatalf("%v; the run is %s, done %d: %s", err, r.State, r.Done, r.Reason)
				}
				if r.Done > 0 && victimOf(t, x, r.ID) == strconv.Itoa(pid) { // with its master's handlers it passes over a TERM
					t.Fatalf("the run is %s, done to the helper: %s", r.State, r.Reason)
				}
				quiet(t, 4*time.Second, 200*time.Millisecond, "the helper lives", func() error { return alive(pid, start) })
			}
		})
	}
}

// pidIn waits for a process's number in a file.
func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		b, err := os.ReadFile(file)
		if err == nil {
			_, err = fmt.Sscan(string(b), &pid)
		}
		return err
	})
	return pid
}

// largestOf returns the slot of the worker with the most memory, if it is by far the largest.
func largestOf(m metrics, app string) (slot string) {
	var most, next float64
	m.each("resp_worker_memory_bytes", []string{"app=" + app, "kind=rss"}, func(labels map[string]string, v float64) {
		if v > most {
			slot, most, next = labels["worker"], v, most
		} else {
			next = max(next, v)
		}
	})
	if most < next+30<<20 {
		return ""
	}
	return slot
}

// TestAttackApprovalOfAnother checks that an approval holds only for the worker that was
// shown: if another one is the worst by then, it is not ended and a new approval is
// requested.
func TestAttackApprovalOfAnother(t *testing.T) {
	t.Parallel()
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "3", "--preload", "--graceful-timeout", "5", "--timeout", "600"}, env: withoutTitles(t)})
	x := mayRecycle(t, "pick: largest", "approve: true, verify_within: 5m, ")
	eventually(t, 60*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 3) })
	grow := func(not string) (slot string) {
		if pid := x.scrape(t).pids(a.name)[not]; pid != 0 { // the others take the requests meanwhile
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
		}
		eventually(t, 60*time.Second, func() error {
			if slot = largestOf(x.scrape(t), a.name); slot != "" && slot != not {
				return nil
			}
			a.get("/leak?kb=40960")
			return errors.New("the largest worker is still " + not)
		})
		return slot
	}
	seen := grow("")
	r := alarm(t, x, a.name, healToken)
	if r.State != "awaiting_approval" || len(r.Plan.Victims) != 1 || r.Plan.Victims[0].ID != seen {
		t.Fatalf("the run is %s, about %v, and the largest worker is %s", r.State, r.Plan.Victims, seen)
	}
	other := grow(seen)
	before := x.scrape(t).pids(a.name)
	approve := func(body string) int {
		t.Helper()
		status, text, err := x.post("/api/v1/runs/"+r.ID+"/approve", body, healToken)
		if err != nil {
			t.Fatal(text, err)
		}
		return status
	}
	if status := approve(""); status != http.StatusAccepted {
		t.Fatal("status", status)
	}
	again := settledRun(t, x)
	if after := x.scrape(t).pids(a.name); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("workers were %v and are %v, and worker %s was approved", before, after, seen)
	}
	if again.State != "awaiting_approval" || len(again.Plan.Victims) != 1 || again.Plan.Victims[0].ID != other {
		t.Fatalf("the run is %s, about %v, and the largest worker is %s", again.State, again.Plan.Victims, other)
	}
	id := func() string { return planOf(t, x, r.ID) }
	if status := approve(`{"plan": "0123456789abcdef"}`); status != http.StatusConflict {
		t.Error("of another plan: status", status)
	}
	if status := approve(fmt.Sprintf(`{"plan": %q}`, id())); status != http.StatusAccepted {
		t.Fatal("status", status)
	}
	if end := settledRun(t, x); end.State != "verified" {
		t.Errorf("the run is %s: %s", end.State, end.Reason)
	}
	for slot, pid := range x.scrape(t).pids(a.name) {
		if changed := before[slot] != pid; changed != (slot == other) {
			t.Errorf("worker %s changed: %t", slot, changed)
		}
	}
}

// planOf is the id of the plan that a run waits with.
func planOf(t *testing.T, x *exporter, run string) string {
	t.Helper()
	return planned(t, x, run).ID
}

// victimOf is the number of the process that a run's plan is about.
func victimOf(t *testing.T, x *exporter, run string) string {
	t.Helper()
	return planned(t, x, run).Victims[0].Info["pid"]
}

type plannedRun struct {
	ID      string
	Victims []struct{ Info map[string]string }
}

// planned is the plan of a run, which has a victim.
func planned(t *testing.T, x *exporter, run string) plannedRun {
	t.Helper()
	var r struct{ Plan plannedRun }
	_, body, err := x.get("/api/v1/runs/" + run)
	if err == nil {
		err = json.NewDecoder(strings.NewReader(body)).Decode(&r)
	}
	if err != nil || len(r.Plan.Victims) == 0 {
		t.Fatalf("%v: %s", err, body)
	}
	return r.Plan
}
