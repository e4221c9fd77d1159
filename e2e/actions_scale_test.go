package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/scaleworkers"
)

func scaling(w *discovery.Watcher, a *app, most int) *scaleworkers.Action {
	return scaleworkers.New(scaleworkers.Deps{Processes: w, Groups: &cgroup.FS{}, ProcRoot: "/proc"},
		config.Scale{App: a.name, MaxWorkers: most, MinFree: 0.05, Hold: time.Minute})
}

// TestScale checks under load that gunicorn starts one more worker, that it serves requests,
// that the action ends one worker afterwards and no request fails, and that it ends none that
// it did not add.
func TestScale(t *testing.T) {
	t.Parallel()
	untitled := withoutTitles(t)
	for name, args := range map[string][]string{
		"sync":    {"-w", "2"},
		"gthread": {"-w", "2", "--preload", "-k", "gthread", "--threads", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, launch{server: "gunicorn", args: args, env: untitled})
			w := watcher(t, a)
			settledWorkers(t, w, 2)
			r := scaling(w, a, 3)
			if p, err := r.Plan(t.Context(), action.PlanRequest{}); err != nil || !p.Cleared {
				t.Fatalf("nobody is busy: %+v, %v", p, err)
			}
			l := a.load(t, 12, "/slow?s=0.3")
			h := scaledUp(t, r)
			settledWorkers(t, w, 3)
			eventually(t, 20*time.Second, func() error { // a look may find a thread between two requests
				p, err := r.Plan(t.Context(), action.PlanRequest{})
				return all(err, wants("refused", p.Refused.Code, action.CodeAtMaximum))
			})
			if next, err := r.PlanReturn(t.Context(), h, false); err != nil || next.Do != nil || next.Ended != "" {
				t.Errorf("while it is needed: %+v, %v", next, err)
			}
			l.end()
			h = returned(t, r, h)
			settledWorkers(t, w, 2)
			if good, bad := l.good.Load(), l.bad.Load(); bad != 0 || good < 20 {
				t.Errorf("%d requests were answered, %d were not", good, bad)
			}
			if h.From != 2 || h.To != 2 {
				t.Errorf("%+v", h)
			}
		})
	}
}

// scaledUp plans, applies and verifies, and returns the hold.
func scaledUp(t *testing.T, r *scaleworkers.Action) action.Hold {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	var p action.Plan
	eventually(t, 20*time.Second, func() (err error) { // until the load has come to all workers
		p, err = r.Plan(ctx, action.PlanRequest{Alert: action.Alert{Labels: map[string]string{"alertname": "X"}}})
		return all(err, wants("planned", p.Total, 1), wants("refused", p.Refused.Code, ""))
	})
	h, ok := r.Hold(p, nil)
	h.Action, h.Target, h.Since = config.ActionScale, p.Target, time.Now()
	if n, err := r.Apply(ctx, p); n != 1 || err != nil || !ok {
		t.Fatalf("done %d: %v, %t", n, err, ok)
	}
	p = journalled(t, p)
	eventually(t, 45*time.Second, func() error {
		o, err := r.Verify(t.Context(), p)
		if err == nil && o == action.Worse {
			t.Fatal("it got worse")
		}
		return all(err, wants("outcome", o, action.Verified))
	})
	return h
}

// returned ends the hold: it plans the return until there is one, does it, and returns the
// hold as it is then.
func returned(t *testing.T, r *scaleworkers.Action, h action.Hold) action.Hold {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		next, err := r.PlanReturn(t.Context(), h, true)
		if next.Ended != "" {
			t.Fatal(next.Ended)
		}
		if err != nil || next.Do == nil {
			return errors.Join(err, errors.New("not yet"))
		}
		h = next.Next
		return next.Do(t.Context())
	})
	return h
}

// TestScaleReload checks that the action leaves the number of workers alone once gunicorn
// was reloaded, or restarted, even where it is the one that the action had set.
func TestScaleReload(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	settings := write(t, filepath.Join(dir, "gunicorn.conf.py"), "workers = 2\npreload_app = True\n")
	a := serve(t, launch{server: "gunicorn", args: []string{"-c", settings}, env: withoutTitles(t)})
	w := watcher(t, a)
	before := settledWorkers(t, w, 2)
	l := a.load(t, 6, "/slow?s=0.3")
	h := scaledUp(t, scaling(w, a, 4))
	l.end()
	write(t, settings, "workers = 3\npreload_app = True\n")
	signalTo(t, syscall.SIGHUP, a.PID())
	eventually(t, 30*time.Second, func() error {
		now, err := workersNow(t, w, 3)
		for _, pid := range now {
			for _, old := range before {
				if pid == old {
					return errors.New("an old worker is there")
				}
			}
		}
		return err
	})
	eventually(t, 30*time.Second, func() error {
		next, err := scaling(w, a, 4).PlanReturn(t.Context(), h, true)
		if next.Do != nil {
			t.Fatalf("a worker would be taken back: %+v", next.Next)
		}
		return all(err, wants("it is over", next.Ended != "", true))
	})
	settledWorkers(t, w, 3)
}

// TestScaleUWSGI checks that uWSGI is not signalled: the action does not know how.
func TestScaleUWSGI(t *testing.T) {
	t.Parallel()
	a := serve(t, launch{server: "uwsgi", args: []string{"--master", "--processes", "2"}})
	w := watcher(t, a)
	settledWorkers(t, w, 2)
	if p, err := scaling(w, a, 4).Plan(t.Context(), action.PlanRequest{}); err != nil || p.Refused.Code != action.CodeNotScalable {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestScaleByAlert sends an alert to the real binary, waits for a verified run, kills the
// exporter, and waits until its next start has taken the worker back after the alert.
func TestScaleByAlert(t *testing.T) {
	t.Parallel()
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2", "--preload"}, env: withoutTitles(t)})
	dir := openDir(t)
	token := write(t, filepath.Join(dir, "token"), healToken+"\n")
	e := export{args: []string{"--state.dir=" + filepath.Join(dir, "state")}, config: joined(
		"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: "+token, "  rules:", "    - name: busy", "      match: {alertname: Busy}",
		"      steps: [{action: scale_workers, verify_within: 5m, with: {max_workers: 4, min_free: 0.05, hold: 20s}}]")}
	x := watch(t, e)
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 2) })
	l := a.load(t, 6, "/slow?s=0.3")
	alert := strings.Replace(notification("Busy", "1"), `"n":"1"`, fmt.Sprintf(`"n":"1","app":%q`, a.name), 1)
	if status, body, err := x.post("/api/v1/alerts", alert, healToken); err != nil || status != http.StatusAccepted {
		t.Fatal(status, body, err)
	}
	eventually(t, 40*time.Second, func() error {
		r := x.runs(t)
		if len(r.Runs) == 0 {
			return errors.New("no run")
		}
		return wants("state", r.Runs[0].State, "verified")
	})
	if holds := x.holds(t); len(holds) != 1 || holds[0].From != 2 || holds[0].To != 3 {
		t.Fatalf("%+v", holds)
	}
	signalTo(t, syscall.SIGKILL, x.PID())
	eventually(t, 20*time.Second, func() error { return running(x.PID()) })
	x = watch(t, e)
	if n, kids := len(x.holds(t)), len(a.workers(t)); n != 1 || kids != 3 { // until 20 s have passed, and the load has ended
		t.Fatalf("%d temporary settings, %d workers after the start", n, kids)
	}
	l.end()
	settledWorkers(t, watcher(t, a), 2) // its series stay for a while
	eventually(t, 20*time.Second, func() error { return wants("holds", len(x.holds(t)), 0) })
	if bad := l.bad.Load(); bad != 0 {
		t.Errorf("%d requests failed", bad)
	}
}

// holds returns the temporary settings that are in force.
func (x *exporter) holds(t *testing.T) []action.Hold {
	t.Helper()
	_, body, err := x.get("/api/v1/runs")
	var list struct{ Holds []action.Hold }
	if err == nil {
		err = json.Unmarshal([]byte(body), &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list.Holds
}
