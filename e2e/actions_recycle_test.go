package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// watcher returns a watcher of one app of the test.
func watcher(t *testing.T, a *app) *discovery.Watcher {
	t.Helper()
	w, err := discovery.New(discovery.Options{
		Inspector: waits.New,
		ProcRoot:  "/proc", Interval: time.Second, Stuck: 3 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Apps: []config.App{{Name: a.name, Match: config.Match{Cmdline: a.name}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

// workersNow returns the app's workers if there are n and all of them serve.
func workersNow(t *testing.T, w *discovery.Watcher, n int) (map[int]int, error) {
	t.Helper()
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pids := make(map[int]int)
	for _, x := range s.Apps[0].Workers {
		if x.State == discovery.Booting {
			return nil, fmt.Errorf("worker %d boots", x.Slot)
		}
		pids[x.Slot] = x.PID
	}
	return pids, wants("workers", len(pids), n)
}

// settledWorkers waits for n workers.
func settledWorkers(t *testing.T, w *discovery.Watcher, n int) (pids map[int]int) {
	t.Helper()
	eventually(t, 30*time.Second, func() (err error) { pids, err = workersNow(t, w, n); return err })
	return pids
}

// load requests a page from several clients until it is stopped, and counts the responses
// other than 200.
type load struct {
	good, bad atomic.Int64
	end       func()
}

func (a *app) load(t *testing.T, sides int, path string) *load {
	t.Helper()
	l := &load{}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	l.end = func() { cancel(); wg.Wait() }
	t.Cleanup(l.end)
	for range sides {
		wg.Go(func() {
			for ctx.Err() == nil {
				if status := a.get(path); status == http.StatusOK {
					l.good.Add(1)
				} else {
					l.bad.Add(1)
				}
			}
		})
	}
	return l
}

func recycling(w *discovery.Watcher, a *app, c config.Recycle) *recycleworker.Action {
	c.App = a.name
	if c.MinWorkers == 0 {
		c.MinWorkers = 2
	}
	return recycleworker.New(recycleworker.Deps{Processes: w, ProcRoot: "/proc"}, c)
}

// recycled plans, applies and verifies, and returns the slot. It fails the test for any
// outcome but the wanted one.
func recycled(t *testing.T, a *recycleworker.Action, want action.Outcome) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	p, err := a.Plan(ctx, action.PlanRequest{Alert: action.Alert{Labels: map[string]string{"alertname": "X"}}})
	if err != nil || !p.Refused.IsZero() || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if n, err := a.Apply(ctx, p); n != 1 || err != nil {
		t.Fatalf("done %d: %v", n, err)
	}
	slot := p.Victims[0].ID
	p = journalled(t, p)
	eventually(t, 45*time.Second, func() error {
		o, err := a.Verify(t.Context(), p)
		if err == nil && o == action.Worse {
			t.Fatal("it got worse")
		}
		return all(err, wants("outcome", o, want))
	})
	return slot
}

// journalled returns a plan as it is read from the journal after a crash.
func journalled(t *testing.T, p action.Plan) (out action.Plan) {
	t.Helper()
	b, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// leaks makes one worker larger than the others.
func (a *app) leaks(t *testing.T) {
	t.Helper()
	if status := a.get("/leak?kb=40960"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
}

// TestRecycle checks for each server and kind of worker, under load, that one worker ends
// after its requests and another starts, without a failed request.
func TestRecycle(t *testing.T) {
	t.Parallel()
	untitled := withoutTitles(t)
	check := []string{"/bin/true"}
	for name, c := range map[string]struct {
		l     launch
		check []string
	}{
		"gunicorn sync":        {l: launch{server: "gunicorn", args: []string{"-w", "3"}, env: untitled}},
		"gunicorn preload":     {l: launch{server: "gunicorn", args: []string{"-w", "3", "--preload"}, env: untitled}},
		"gunicorn gthread":     {l: launch{server: "gunicorn", args: []string{"-w", "3", "-k", "gthread", "--threads", "2"}, env: untitled}},
		"gunicorn titled":      {l: launch{server: "gunicorn", args: []string{"-w", "3"}}, check: check},
		"uwsgi":                {l: launch{server: "uwsgi", args: []string{"--master", "--processes", "3"}}},
		"uwsgi, its apps lazy": {l: launch{server: "uwsgi", args: []string{"--master", "--processes", "3", "--lazy-apps"}}, check: check},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, c.l)
			w := watcher(t, a)
			before := settledWorkers(t, w, 3)
			a.leaks(t)
			l := a.load(t, 4, "/slow?s=0.2")
			eventually(t, 20*time.Second, func() error {
				if l.good.Load() < 8 {
					return errors.New("no load yet")
				}
				return nil
			})
			slot := recycled(t, recycling(w, a, config.Recycle{Pick: config.PickLargest, ImportCheck: c.check}), action.Verified)
			l.end()
			if good, bad := l.good.Load(), l.bad.Load(); bad != 0 || good < 20 {
				t.Errorf("%d requests were answered, %d were not", good, bad)
			}
			for s, pid := range settledWorkers(t, w, 3) {
				if changed := pid != before[s]; changed != (fmt.Sprint(s) == slot) {
					t.Errorf("worker %d changed: %t, and worker %s was recycled", s, changed, slot)
				}
			}
		})
	}
}

// TestRecycleBrokenApp checks that no worker is ended, and the app stays up, if its code
// can no longer be imported.
func TestRecycleBrokenApp(t *testing.T) {
	t.Parallel()
	untitled := withoutTitles(t)
	for name, c := range map[string]struct {
		args  []string
		env   []string
		check func(*app) []string
		want  action.Code
	}{
		"gunicorn checks itself": {nil, untitled, nil, action.CodeImportFailed},
		"a check of its own":     {nil, nil, func(a *app) []string { return []string{python, "-c", "import " + a.name} }, action.CodeImportFailed},
		"a title, and no check":  {nil, nil, nil, action.CodeNotReadable},
		"preloaded":              {[]string{"--preload"}, untitled, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, launch{server: "gunicorn", args: append([]string{"-w", "2"}, c.args...), env: c.env})
			w := watcher(t, a)
			before := settledWorkers(t, w, 2)
			settings := config.Recycle{Pick: config.PickLargest}
			if c.check != nil {
				settings.ImportCheck = c.check(a)
			}
			module := filepath.Join(a.dir, a.name+".py")
			text, err := os.ReadFile(module)
			if err != nil {
				t.Fatal(err)
			}
			write(t, module, "import no_such_module_any_more\n")
			r := recycling(w, a, settings)
			p, err := r.Plan(t.Context(), action.PlanRequest{})
			if late := c.want == action.CodeImportFailed; err != nil || late && !p.Refused.IsZero() || !late && p.Refused.Code != c.want {
				t.Fatalf("%+v, %v", p, err)
			}
			if c.want == action.CodeImportFailed { // found out by the first act, after the plan
				ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
				defer cancel()
				n, err := r.Apply(ctx, p)
				if no, ok := errors.AsType[action.Refusal](err); n != 0 || !ok || no.Code != c.want {
					t.Fatalf("%d, %v", n, err)
				}
			}
			after := settledWorkers(t, w, 2)
			if a.get("/healthz") != http.StatusOK || fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("the site is not as it was: %v, then %v", before, after)
			}
			if c.want != action.CodeImportFailed {
				return
			}
			write(t, module, string(text))
			if n, err := r.Apply(t.Context(), p); n != 1 || err != nil {
				t.Errorf("repaired: %d, %v", n, err)
			}
		})
	}
}

// TestRecycleImportsAsTheApp checks that the code of the app runs as the app's user, in
// its directory and environment, also if the exporter is root.
func TestRecycleImportsAsTheApp(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "setpriv")
	a := serve(t, launch{
		server: "gunicorn", args: []string{"-w", "2"}, env: append(withoutTitles(t), "SHOP_MARK=42"),
		wrap: []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
	})
	eventually(t, 20*time.Second, func() error { return wants("status", a.get("/healthz"), http.StatusOK) })
	w := watcher(t, a)
	settledWorkers(t, w, 2)
	out := filepath.Join(openDir(t), "out")
	if err := errors.Join(os.WriteFile(out, nil, 0o600), os.Chown(out, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(a.dir, a.name+".py")
	text, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	write(t, module, string(text)+joined(
		"with open("+fmt.Sprintf("%q", out)+", 'a') as f:",
		"    caps = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapPrm', 'CapEff', 'CapAmb', 'NoNewPrivs'))]",
		"    print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), os.environ.get('SHOP_MARK'), os.getcwd(), *caps, file=f)"))
	r := recycling(w, a, config.Recycle{Pick: config.PickLargest})
	p, err := r.Plan(t.Context(), action.PlanRequest{})
	if err != nil || !p.Refused.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	if b, err := os.ReadFile(out); err != nil || len(b) > 0 {
		t.Fatalf("to plan it, the app was imported: %s, %v", b, err)
	}
	if n, err := r.Apply(t.Context(), p); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	b, err := os.ReadFile(out)
	b, _, _ = bytes.Cut(b, []byte("\n")) // the new worker comes after it
	none := strings.Repeat("0", 16)
	if want := fmt.Sprintf("65534 65534 65534 [] 42 %s %s %s %s 1", a.dir, none, none, none); err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
}

// TestRecycleStuck checks that a worker that does not end by SIGTERM is killed after the
// graceful timeout, and no other one.
func TestRecycleStuck(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]launch{
		"gunicorn": {server: "gunicorn", args: []string{"-w", "3", "--preload", "--timeout", "300", "--graceful-timeout", "1"}, env: withoutTitles(t)},
		"uwsgi":    {server: "uwsgi", args: []string{"--master", "--processes", "3", "--worker-reload-mercy", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, l)
			w := watcher(t, a)
			before := settledWorkers(t, w, 3)
			quiet := recycling(w, a, config.Recycle{Pick: config.PickStuck})
			if p, err := quiet.Plan(t.Context(), action.PlanRequest{}); err != nil || !p.Cleared {
				t.Fatalf("nobody is stuck: %+v, %v", p, err)
			}
			a.behind("/slow?s=300")
			eventually(t, 20*time.Second, func() error {
				p, err := quiet.Plan(t.Context(), action.PlanRequest{})
				return all(err, wants("total", p.Total, 1))
			})
			slot := recycled(t, quiet, action.Verified)
			for s, pid := range settledWorkers(t, w, 3) {
				if changed := pid != before[s]; changed != (fmt.Sprint(s) == slot) {
					t.Errorf("worker %d changed: %t", s, changed)
				}
			}
		})
	}
}

// TestRecycleByAlert sends an alert to the real binary and waits for a verified run, also
// with the minimal rights of docs/actions.md.
func TestRecycleByAlert(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "setpriv")
	page, err := os.ReadFile("../docs/actions.md")
	if err != nil || !strings.Contains(string(page), "\nAmbientCapabilities=CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH\n") {
		t.Errorf("docs/actions.md does not name the capabilities that are tested here: %v", err)
	}
	for name, wrap := range map[string][]string{
		"root":  nil,
		"least": {"setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--inh-caps=-all,+kill,+sys_ptrace,+dac_read_search", "--ambient-caps=-all,+kill,+sys_ptrace,+dac_read_search", "--bounding-set=-all,+kill,+sys_ptrace,+dac_read_search"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recycledByAlert(t, wrap)
		})
	}
}

// aged waits until each worker of the app is older than d.
func (x *exporter) aged(t *testing.T, app string, d time.Duration) {
	t.Helper()
	eventually(t, d+5*time.Second, func() error {
		youngest := time.Time{}
		x.scrape(t).each("resp_worker_start_time_seconds", []string{"app=" + app}, func(_ map[string]string, v float64) {
			if began := time.UnixMilli(int64(v * 1000)); began.After(youngest) {
				youngest = began
			}
		})
		return wants(fmt.Sprintf("the youngest worker of %s is older than %s", app, d), !youngest.IsZero() && time.Since(youngest) > d, true)
	})
}

func recycledByAlert(t *testing.T, wrap []string) {
	t.Helper()
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "3", "--preload"}, env: withoutTitles(t)})
	dir := openDir(t)
	token := write(t, filepath.Join(dir, "token"), healToken+"\n")
	state := filepath.Join(dir, "state")
	mine := filepath.Join(dir, "resp-exporter") // the one of all tests is in a directory that is closed to others
	program, err := os.ReadFile(binary)
	err = errors.Join(err, actiontest.WriteProgram(mine, program, 0o755), os.Mkdir(state, 0o700))
	if err == nil && wrap != nil {
		err = os.Chown(state, 65533, 65533)
	}
	if err != nil {
		t.Fatal(err)
	}
	x := watch(t, export{binary: mine, wrap: wrap, args: []string{"--state.dir=" + state}, config: joined(
		"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: "+token, "  rules:", "    - name: leak", "      match: {alertname: Leak}",
		"      steps: [{action: recycle_worker, verify_within: 5m, with: {pick: largest, min_age: 2s}}]")})
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 3) })
	a.leaks(t)
	before := x.scrape(t).pids(a.name)
	alert := strings.Replace(notification("Leak", "1"), `"n":"1"`, fmt.Sprintf(`"n":"1","app":%q`, a.name), 1)
	x.aged(t, a.name, 3*time.Second)
	if status, body, err := x.post("/api/v1/alerts", alert, healToken); err != nil || status != http.StatusAccepted {
		t.Fatal(status, body, err)
	}
	eventually(t, 60*time.Second, func() error {
		_, body, err := x.get("/api/v1/runs")
		r := x.runs(t)
		if len(r.Runs) == 0 {
			return errors.New("no run")
		}
		return all(err, wants("state of "+body, r.Runs[len(r.Runs)-1].State, "verified"))
	})
	after := x.scrape(t).pids(a.name)
	changed := 0
	for slot, pid := range after {
		if before[slot] != pid {
			changed++
		}
	}
	if changed != 1 || len(after) != 3 || syscall.Kill(a.PID(), 0) != nil {
		t.Errorf("%v, then %v", before, after)
	}
}
