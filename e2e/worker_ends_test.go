package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ending is an app, its exporter, and how its workers end.
type ending struct {
	*app

	x *exporter
}

// watchedPIDs waits until the exporter has a pidfd of each of n workers, and returns their
// pids.
func (e ending) watchedPIDs(t *testing.T, n int) (pids []int) {
	t.Helper()
	eventually(t, 15*time.Second, func() error {
		pids = nil
		for _, pid := range e.x.scrape(t).pids(e.name) {
			pids = append(pids, pid)
		}
		if len(pids) != n {
			return fmt.Errorf("workers are %v, want %d", pids, n)
		}
		log := e.x.Output(1 << 20)
		for _, pid := range pids {
			if !strings.Contains(log, fmt.Sprintf("pid=%d pidfd=true", pid)) {
				return fmt.Errorf("worker %d is not watched yet", pid)
			}
		}
		return nil
	})
	return pids
}

// signals sends a signal to a process.
func signals(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// begin begins a request that its worker does not outlive.
func (e ending) begin(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	patient := clientOf(t, e.listen)
	patient.Timeout = 0 // it waits until the test ends
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := patient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// TestWorkerEnds checks with real servers that each end of a worker is counted once, under
// its reason.
func TestWorkerEnds(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uwsgi", python)
	x := watch(t, export{args: []string{"--log.level=debug"}})
	plain := withoutTitles(t) // a title hides --timeout; 10 s: a busy machine may delay an idle worker for seconds
	for name, c := range map[string]struct {
		server string
		args   []string
		n      int
		ends   func(*testing.T, ending, []int)
		want   map[string]float64
	}{
		"timeout": {"gunicorn", []string{"-w", "2", "--timeout", "10"}, 2, func(t *testing.T, e ending, _ []int) { e.begin(t, "/sleep?s=600") }, map[string]float64{"timeout": 1}},
		"signals": {"gunicorn", []string{"-w", "3"}, 3, func(t *testing.T, _ ending, pids []int) {
			signals(t, pids[0], syscall.SIGSEGV)
			signals(t, pids[1], syscall.SIGKILL)
		}, map[string]float64{"signal": 2}},
		"a status": {"gunicorn", []string{"-w", "2"}, 2, func(t *testing.T, e ending, _ []int) { e.begin(t, "/exit?code=7") }, map[string]float64{"exit": 1}},
		"max_requests": {"gunicorn", []string{"-w", "1", "--max-requests", "3"}, 1, func(t *testing.T, e ending, _ []int) {
			for range 3 {
				e.get("/healthz")
			}
		}, map[string]float64{"recycled": 1}},
		"HUP":     {"gunicorn", []string{"-w", "2"}, 2, func(t *testing.T, e ending, _ []int) { signals(t, e.PID(), syscall.SIGHUP) }, map[string]float64{"recycled": 2}},
		"TERM":    {"gunicorn", []string{"-w", "2"}, 2, func(t *testing.T, _ ending, pids []int) { signals(t, pids[0], syscall.SIGTERM) }, map[string]float64{"recycled": 1}},
		"stopped": {"gunicorn", []string{"-w", "2"}, 2, func(t *testing.T, e ending, _ []int) { signals(t, e.PID(), syscall.SIGTERM) }, map[string]float64{"exit": 2}},
		"harakiri": {"uwsgi", []string{"--master", "--processes", "2", "--harakiri", "10"}, 2, func(t *testing.T, e ending, _ []int) {
			e.begin(t, "/sleep?s=600")
		}, map[string]float64{"timeout": 1}},
		"uWSGI's HUP": {"uwsgi", []string{"--master", "--processes", "2"}, 2, func(t *testing.T, _ ending, pids []int) {
			signals(t, pids[0], syscall.SIGHUP)
		}, map[string]float64{"recycled": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ending{serve(t, launch{server: c.server, source: "shop/ends.py", args: c.args, env: plain}), x}
			c.ends(t, e, e.watchedPIDs(t, c.n))
			e.counted(t, c.want)
		})
	}
}

// counted waits until exactly these ends are counted.
func (e ending) counted(t *testing.T, want map[string]float64) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		m := e.x.scrape(t)
		var errs []error
		for _, reason := range []string{"timeout", "oom", "signal", "recycled", "exit", "unknown"} {
			errs = append(errs, m.want(want[reason], "resp_worker_ends_total", "app="+e.name, "reason="+reason))
		}
		return all(errs...)
	})
}

// TestRequestsCutOff checks that a request that its worker did not finish is counted, and
// that one that the worker finishes before it ends is not.
func TestRequestsCutOff(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	x := watch(t, export{args: []string{"--log.level=debug"}})
	for name, c := range map[string]struct {
		takes time.Duration // the request
		ends  func(t *testing.T, e ending, busy int)
		want  map[string]float64
		cut   float64
	}{
		"killed":  {1000 * time.Second, func(t *testing.T, _ ending, busy int) { signals(t, busy, syscall.SIGKILL) }, map[string]float64{"signal": 1}, 1},
		"stopped": {min(scaled(8*time.Second), 30*time.Second), func(t *testing.T, e ending, _ int) { signals(t, e.PID(), syscall.SIGTERM) }, map[string]float64{"exit": 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ending{serve(t, launch{server: "gunicorn", source: "shop/ends.py", args: []string{"-w", "1", "--timeout", "1000", "--graceful-timeout", "200"}, env: withoutTitles(t)}), x}
			pids := e.watchedPIDs(t, 1)
			e.begin(t, fmt.Sprintf("/sleep?s=%.1f", c.takes.Seconds()))
			eventually(t, 30*time.Second, func() error { // it was seen long before it ends
				age, _ := e.x.scrape(t).sum("resp_http_oldest_request_age_seconds", "app="+e.name)
				if age < 3 {
					return fmt.Errorf("its request has been seen for %v s", age)
				}
				return nil
			})
			c.ends(t, e, pids[0])
			e.counted(t, c.want)
			eventually(t, 2*time.Second, func() error { return e.x.scrape(t).want(c.cut, "resp_worker_ends_in_request_total", "app="+e.name) })
		})
	}
}

// memoryGroup makes a control group that may take so many bytes, and returns its directory.
func memoryGroup(t *testing.T, limit int) string {
	t.Helper()
	needRoot(t)
	const v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	top, files := v2, []string{"memory.max", "memory.swap.max"}
	if _, err := os.Stat(v1); err == nil {
		top, files = v1, []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	}
	dir := filepath.Join(top, unique("resp-e2e"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("this test makes a control group: %v", err)
	}
	t.Cleanup(func() { eventually(t, 30*time.Second, func() error { return os.Remove(dir) }) })
	values := []string{strconv.Itoa(limit), "0"}
	if top == v1 {
		values[1] = values[0] // memory and swap together
	}
	for i, f := range files {
		err := os.WriteFile(filepath.Join(dir, f), []byte(values[i]), 0o644)
		if err != nil && (i == 0 || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission)) { // without swap there is no limit of it
			t.Fatal(err)
		}
	}
	return dir
}

// TestWorkerEndsOOM checks a worker that the kernel's OOM killer ends for exceeding the
// limit of its control group.
func TestWorkerEndsOOM(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", python)
	group := memoryGroup(t, 200<<20)
	join := []string{"/bin/sh", "-c", `echo $$ > ` + group + `/cgroup.procs && exec "$@"`, "sh"}
	x := watch(t, export{args: []string{"--log.level=debug"}})
	a := serve(t, launch{server: "gunicorn", source: "shop/ends.py", args: []string{"-w", "2", "--timeout", "600"}, wrap: join})
	eventually(t, 30*time.Second, func() error { return wants("status", a.get("/healthz"), 200) })
	e := ending{a, x}
	pids := e.watchedPIDs(t, 2)
	e.begin(t, "/eat?mb=400")
	e.counted(t, map[string]float64{"oom": 1})
	if left := e.watchedPIDs(t, 2); slices.Equal(left, pids) {
		t.Errorf("no worker was replaced: %v", left)
	}
}
