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

// inside is an app that reports itself, and its exporter.
type inside struct {
	ending

	started string // a file with a byte for each slow request that has begun
}

// reporting starts gunicorn with an app that uses resp_flask.py.
func reporting(t *testing.T, args ...string) inside {
	t.Helper()
	need(t, "gunicorn", python)
	x := watch(t, export{args: []string{"--log.level=debug"}})
	lib, err := filepath.Abs("../integrations/flask")
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	started := filepath.Join(dir, "started")
	env := withoutTitles(t) // a title hides --timeout
	env[0] += ":" + lib
	env = append(env, "RESP_STATSD=udp://"+x.udp, "STARTED="+started, "LOCKS="+filepath.Join(dir, "locks"))
	return inside{ending{serve(t, launch{server: "gunicorn", source: "shop/inside.py", dir: dir, args: args, env: env}), x}, started}
}

// hasStarted waits until so many slow requests have begun.
func (e inside) hasStarted(t *testing.T, n int) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		b, _ := os.ReadFile(e.started)
		return wants("slow requests", float64(len(b)), float64(n))
	})
}

// memoryFiles returns the inodes of the memory files that a process has open.
func memoryFiles(pid int) map[uint64]bool {
	out := map[uint64]bool{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, _ := os.ReadDir(dir)
	for _, f := range list {
		path := filepath.Join(dir, f.Name())
		to, _ := os.Readlink(path)
		info, err := os.Stat(path)
		if err == nil && strings.HasPrefix(to, "/memfd:resp-flask") {
			out[info.Sys().(*syscall.Stat_t).Ino] = true
		}
	}
	return out
}

// serving returns the pid of the only worker once it serves, is not the one before, and the
// exporter has its memory file.
func (e inside) serving(t *testing.T, before int) (pid int) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		resp, err := e.client.Get("http://app/healthz")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var text [16]byte
		n, _ := resp.Body.Read(text[:])
		if pid, err = strconv.Atoi(string(text[:n])); err != nil || pid == before {
			return fmt.Errorf("worker %d, %w", pid, err)
		}
		e.x.scrape(t)
		kept := memoryFiles(e.x.PID())
		for inode := range memoryFiles(pid) {
			if kept[inode] {
				return nil
			}
		}
		return fmt.Errorf("the exporter has no memory file of worker %d", pid)
	})
	return pid
}

// keepsNoOther returns an error if the exporter has a memory file open of a process that
// has ended. It has those of other tests' workers open, too.
func (e inside) keepsNoOther() error {
	kept := memoryFiles(e.x.PID())
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	for _, exe := range all {
		to, err := os.Readlink(exe)
		if err != nil || filepath.Base(to) == filepath.Base(binary) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
		for inode := range memoryFiles(pid) {
			delete(kept, inode)
		}
	}
	return wants("memory files of ended processes that the exporter has open", len(kept), 0)
}

// TestInsideReports checks what an app reports of its inside, against what was done.
func TestInsideReports(t *testing.T) {
	t.Parallel()
	e := reporting(t, "-w", "2")
	app := "app=" + e.name
	const n = 30
	for range n {
		began := time.Now().Add(-2 * time.Second)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app/items/7", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Start", fmt.Sprintf("t=%.3f", float64(began.UnixMilli())/1000))
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	for range 3 {
		e.get("/pool?ms=5")
	}
	eventually(t, 30*time.Second, func() error {
		m := e.x.scrape(t)
		failed, _ := m.sum("resp_task_runs_total", app, "task=fail", "outcome=failed")
		ok, _ := m.sum("resp_task_runs_total", app, "task=count", "outcome=ok")
		var runs error
		restarts, _ := m.sum("resp_task_restarts_total", app, "task=fail")
		if failed < 1 || ok < 2 || restarts < 1 || restarts > failed+1 {
			runs = fmt.Errorf("%v runs failed, %v did not, %v restarts", failed, ok, restarts)
		}
		return all(
			m.want(n, "resp_http_queue_time_seconds", app), m.want(n, "resp_http_requests_total", app, "route=/items/<int:n>", "method=GET", "code=200"),
			m.want(3, "resp_pool_wait_seconds", app, "pool=main"), m.want(0, "resp_task_runs_total", app, "task=fail", "outcome=ok"), m.want(0, "resp_task_restarts_total", app, "task=count"),
			m.want(0, "resp_statsd_lines_total", "outcome=malformed"), m.want(0, "resp_http_requests_killed_total", app, "route=/items/<int:n>"), runs,
		)
	})
	m := e.x.scrape(t)
	for _, s := range m["resp_http_queue_time_seconds"].GetMetric() {
		if h := s.GetHistogram(); h.GetSampleSum() < 2*n || h.GetSampleSum() > 100*n {
			t.Errorf("queue times: %v", h)
		}
	}
}

// TestRequestsKilled checks that the requests that a killed worker had in hand are counted
// by route, that a worker that ends at rest counts none, and that no descriptor is left.
func TestRequestsKilled(t *testing.T) {
	t.Parallel()
	soon := fmt.Sprintf("%.0f", scaled(8*time.Second).Seconds()) // not before the request has been seen for 3 s
	for name, c := range map[string]struct {
		args   []string
		begin  []string
		reason string // of the end
	}{
		"sync":    {[]string{"-w", "1", "--timeout", "600"}, []string{"/slow/600"}, "signal"},
		"preload": {[]string{"-w", "1", "--preload", "--timeout", "600"}, []string{"/slow/600"}, "signal"},
		"timeout": {[]string{"-w", "1", "--timeout", soon}, []string{"/slow/600"}, "timeout"},
		"gthread": {[]string{"-w", "1", "--threads", "4", "--timeout", "600"}, []string{"/slow/600", "/also/600", "/slow/601"}, "signal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := reporting(t, c.args...)
			pid := e.serving(t, 0)
			want := map[string]float64{"/slow/<int:s>": 0, "/also/<int:s>": 0}
			for _, path := range c.begin {
				e.begin(t, path)
				want[path[:6]+"<int:s>"]++
			}
			e.hasStarted(t, len(c.begin))
			eventually(t, 30*time.Second, func() error { // it was seen from outside too
				age, _ := e.x.scrape(t).sum("resp_http_oldest_request_age_seconds", "app="+e.name)
				if age < 3 {
					return fmt.Errorf("its request has been seen for %v s", age)
				}
				return nil
			})
			if c.reason == "signal" {
				signals(t, pid, syscall.SIGKILL)
			}
			killed := func() error {
				m := e.x.scrape(t)
				var errs []error
				total := 0.0
				for route, n := range want {
					if total += n; n > 0 {
						errs = append(errs, m.want(n, "resp_http_requests_killed_total", "app="+e.name, "method=GET", "route="+route))
					}
				}
				return all(append(errs, m.want(total, "resp_http_requests_killed_total", "app="+e.name))...)
			}
			eventually(t, 30*time.Second, killed)
			if name == "sync" {
				eventually(t, 30*time.Second, func() error { return e.lastRoute("/slow/<int:s>") })
			}
			for range 10 {
				pid = e.serving(t, pid)
				signals(t, pid, syscall.SIGTERM)
			}
			e.serving(t, pid)
			e.counted(t, map[string]float64{c.reason: 1, "recycled": 10})
			if err := killed(); err != nil {
				t.Errorf("after 10 recycles at rest: %v", err)
			}
			eventually(t, 30*time.Second, e.keepsNoOther)
			signals(t, e.PID(), syscall.SIGTERM)
			eventually(t, 30*time.Second, e.keepsNoOther)
			if err := killed(); err != nil {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

// lastRoute returns an error unless the last words of a worker have a line of the app and
// that route.
func (e inside) lastRoute(route string) error {
	code, body, err := e.x.get("/api/v1/incidents?app=" + e.name)
	if err != nil || code != http.StatusOK {
		return fmt.Errorf("%d, %w", code, err)
	}
	var past struct {
		LastWords []struct {
			Stack struct {
				Route *string
				Own   struct{ Line int }
			}
		} `json:"last_words"`
	}
	if err := json.Unmarshal([]byte(body), &past); err != nil {
		return err
	}
	if len(past.LastWords) != 1 {
		return errors.New("no last words: " + body)
	}
	if s := past.LastWords[0].Stack; s.Route == nil || *s.Route != route || s.Own.Line == 0 {
		return errors.New(body)
	}
	return nil
}
