package recycleworker_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func recycle(f *actiontest.Processes, c config.Recycle, leaks map[int]int) *recycleworker.Action {
	c.App = "shop"
	if c.ImportCheck == nil {
		c.ImportCheck = []string{"/bin/true"}
	}
	d := recycleworker.Deps{Processes: f, ProcRoot: "/proc"}
	if leaks != nil {
		d.Leaks = func(context.Context, string) (map[int]int, error) { return leaks, nil }
	}
	return recycleworker.New(d, c)
}

// The worker that is planned, and the cases in which none is.
func TestRecyclePlan(t *testing.T) {
	t.Parallel()
	largest, leaked, stuck := config.Recycle{Pick: config.PickLargest}, config.Recycle{Pick: config.PickLeaked}, config.Recycle{Pick: config.PickStuck}
	old := func(c config.Recycle, age time.Duration) config.Recycle { c.MinAge = age; return c }
	for name, c := range map[string]struct {
		c      config.Recycle
		change func(*discovery.App)
		leaks  map[int]int
		slot   string      // of the victim
		want   action.Code // of the refusal
	}{
		"largest":               {c: largest, slot: "2"},
		"largest by its share":  {c: largest, change: func(a *discovery.App) { share(a, 90, 20, 30) }, slot: "0"},
		"shares not all known":  {c: largest, change: func(a *discovery.App) { share(a, 90, 20); a.Workers[2].Taken = time.Time{} }, slot: "2"},
		"too young":             {c: old(largest, 2*time.Hour), want: action.CodeTooYoung},
		"old enough":            {c: old(largest, time.Minute), slot: "2"},
		"leaks":                 {c: leaked, leaks: map[int]int{0: 1, 1: 3}, slot: "1"},
		"no leaks":              {c: leaked, leaks: map[int]int{2: 0, 7: 5}},
		"leaks unknown":         {c: leaked, want: action.CodeLeaksUnknown},
		"stuck the longest":     {c: stuck, change: func(a *discovery.App) { hang(a, 1) }, slot: "1"},
		"nobody is stuck":       {c: stuck},
		"all are stuck":         {c: stuck, change: func(a *discovery.App) { hang(a, 0, 1) }, want: action.CodeCommonCause},
		"states unknown":        {c: stuck, change: func(a *discovery.App) { a.StateErr = errors.New("denied") }, want: action.CodeStatesUnknown},
		"others serve":          {c: largest, change: func(a *discovery.App) { hang(a, 0) }, slot: "2"},
		"no other serves":       {c: largest, change: func(a *discovery.App) { hang(a, 0, 1) }, want: action.CodeNoneServes},
		"one is starting":       {c: largest, change: func(a *discovery.App) { a.Workers[0].State = discovery.Booting }, want: action.CodeStarting},
		"one has no place":      {c: largest, change: func(a *discovery.App) { a.Unslotted = 1 }, want: action.CodeReplacing},
		"two, and three wanted": {c: config.Recycle{Pick: config.PickLargest, MinWorkers: 3}, change: func(a *discovery.App) { a.Workers = a.Workers[:2] }, want: action.CodeTooFewWorkers},
		"only one":              {c: largest, change: func(a *discovery.App) { a.Workers = a.Workers[:1] }, want: action.CodeTooFewWorkers},
		"down":                  {c: largest, change: func(a *discovery.App) { a.Up = false }, want: action.CodeAppDown},
		"uvicorn":               {c: largest, change: func(a *discovery.App) { a.Server = cmdline.Uvicorn }, want: action.CodeNoReplacement},
		"flask":                 {c: largest, change: func(a *discovery.App) { a.Server = cmdline.Flask }, want: action.CodeNoReplacement},
		"no master":             {c: largest, change: func(a *discovery.App) { a.Workers[1].PID = a.PID }, want: action.CodeNoReplacement},
		"another master":        {c: largest, change: func(a *discovery.App) { a.Workers[0].PID = os.Getppid() }, want: action.CodeSeveralMasters},
		"losing unknown":        {c: config.Recycle{Pick: config.PickLeaking}, want: action.CodeLeaksUnknown},
		"no program to import":  {c: config.Recycle{Pick: config.PickLargest, ImportCheck: []string{"/no/such"}}, want: action.CodeProgramUntrusted},
		"relative program":      {c: config.Recycle{Pick: config.PickLargest, ImportCheck: []string{"true"}}, want: action.CodeProgramPath},
		"cannot be tried":       {c: config.Recycle{Pick: config.PickLargest, ImportCheck: []string{}}, want: action.CodeNotReadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
			if c.change != nil {
				c.change(&f.Snap.Apps[0])
			}
			p, err := recycle(f, c.c, c.leaks).Plan(t.Context(), action.PlanRequest{})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want != "":
				if p.Refused.Code != c.want {
					t.Errorf("%+v", p)
				}
			case c.slot == "":
				if !p.Cleared || !p.Refused.IsZero() || p.Total != 0 {
					t.Errorf("%+v", p)
				}
			case !p.Refused.IsZero() || p.Cleared || len(p.Victims) != 1 || p.Victims[0].ID != c.slot || p.Total != 1 || p.Measure <= 0:
				t.Errorf("%+v", p)
			}
			if p.Target != "app:shop/workers" {
				t.Errorf("target %q", p.Target)
			}
		})
	}
}

func share(a *discovery.App, sizes ...uint64) {
	for i := range a.Workers {
		a.Workers[i].Taken = time.Now()
		if i < len(sizes) {
			a.Workers[i].Memory = procfs.Memory{PSS: sizes[i] * actiontest.MiB, RSS: a.Workers[i].RSS}
		}
	}
}

func hang(a *discovery.App, slots ...int) {
	for _, s := range slots {
		a.Workers[s].State, a.Workers[s].For = discovery.Stuck, time.Duration(s+1)*time.Minute
	}
}

// The app of an alert must have a known name.
func TestRecycleApp(t *testing.T) {
	t.Parallel()
	f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
	for _, c := range []struct {
		setting, label string
		ok             bool
	}{{"", "shop", true}, {"shop", "", true}, {"shop", "shop", true}, {"shop", "other", false}, {"", "", false}, {"", "../shop", false}, {"other", "", false}} {
		a := recycleworker.New(recycleworker.Deps{Processes: f, ProcRoot: "/proc"}, config.Recycle{App: c.setting, Pick: config.PickLargest, ImportCheck: []string{"/bin/true"}})
		labels := map[string]string{}
		if c.label != "" {
			labels["app"] = c.label
		}
		p, err := a.Plan(t.Context(), action.PlanRequest{Alert: action.Alert{Labels: labels}})
		if err != nil || p.Refused.IsZero() != c.ok || strings.Contains(p.Target, "..") {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	f.Err = errors.New("no /proc")
	if _, err := recycle(f, config.Recycle{Pick: config.PickLargest}, nil).Plan(t.Context(), action.PlanRequest{}); err == nil {
		t.Error("without a look there is a plan")
	}
}

// The signal is the one after which the server's workers finish their requests.
func TestRecycleSignals(t *testing.T) {
	t.Parallel()
	for server, want := range map[cmdline.Server]string{cmdline.Gunicorn: "TERM", cmdline.UWSGI: "HUP"} {
		t.Run(string(server), func(t *testing.T) {
			t.Parallel()
			ready := filepath.Join(t.TempDir(), "r")
			f, kids := actiontest.StartWorkers(t, server, "signals", ready)
			actiontest.WaitFor(t, func() bool { b, _ := os.ReadFile(ready); return len(b) == 3 })
			a := recycle(f, config.Recycle{Pick: config.PickLargest}, nil)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() {
				t.Fatalf("%+v, %v", p, err)
			}
			if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			err = kids[2].Wait()
			var exit *exec.ExitError
			if got := map[int]string{7: "TERM", 8: "HUP"}; !errors.As(err, &exit) || got[exit.ExitCode()] != want {
				t.Errorf("%v, want %s", err, want)
			}
			for _, k := range kids[:2] {
				if err := k.Process.Signal(syscall.Signal(0)); err != nil {
					t.Errorf("another worker: %v", err)
				}
			}
			if n, err := a.Apply(t.Context(), p); n != 0 || err == nil {
				t.Errorf("a second time: %d, %v", n, err)
			}
		})
	}
}

// If the state has changed between Plan and Apply, nothing is done.
func TestRecycleRechecks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*actiontest.Processes, []*exec.Cmd, *action.Plan){
		"the worker ended": func(_ *actiontest.Processes, kids []*exec.Cmd, _ *action.Plan) {
			_ = kids[1].Process.Kill()
			_ = kids[1].Wait()
		},
		"another hangs": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) {
			f.Snap.Apps[0].Workers[1].State = discovery.Idle
			hang(&f.Snap.Apps[0], 2)
		},
		"it goes on": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) {
			f.Snap.Apps[0].Workers[1].State = discovery.Busy
		},
		"more hang": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) { hang(&f.Snap.Apps[0], 0) },
		"one is starting": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) {
			f.Snap.Apps[0].Workers[0].State = discovery.Booting
		},
		"the app is gone": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) { f.Snap.Apps = nil },
		"another master":  func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) { f.Snap.Apps[0].PID++ },
		"another process": func(_ *actiontest.Processes, _ []*exec.Cmd, p *action.Plan) { p.Private = nil },
		"no look":         func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) { f.Err = errors.New("no /proc") },
		"the worker is one": func(f *actiontest.Processes, _ []*exec.Cmd, _ *action.Plan) {
			f.Snap.Apps[0].Workers = f.Snap.Apps[0].Workers[1:2]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, kids := actiontest.StartWorkers(t, cmdline.Gunicorn)
			hang(&f.Snap.Apps[0], 1)
			a := recycle(f, config.Recycle{Pick: config.PickStuck}, nil)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || p.Cleared {
				t.Fatalf("%+v, %v", p, err)
			}
			change(f, kids, &p)
			if n, err := a.Apply(t.Context(), p); n != 0 || err == nil {
				t.Errorf("%d, %v", n, err)
			}
			for i, k := range kids {
				if gone := !actiontest.Alive(strconv.Itoa(k.Process.Pid)); gone != (name == "the worker ended" && i == 1) {
					t.Errorf("worker %d is gone: %t", i, gone)
				}
			}
		})
	}
}

// A stuck worker needs a step with enough time, and is killed at the end of it.
func TestRecycleStuckNeedsTime(t *testing.T) {
	t.Parallel()
	f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
	hang(&f.Snap.Apps[0], 1)
	a := recycle(f, config.Recycle{Pick: config.PickStuck}, nil)
	for limit, ok := range map[time.Duration]bool{30 * time.Second: false, 50 * time.Second: true} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		p, err := a.Plan(ctx, action.PlanRequest{})
		cancel()
		if err != nil || p.Refused.IsZero() != ok || !ok && p.Refused.Code != action.CodeTimeoutShort {
			t.Errorf("%s: %+v, %v", limit, p, err)
		}
	}
}

// The outcome after a recycle; also after a crash, with only the part of the plan in the
// journal.
func TestRecycleVerify(t *testing.T) {
	t.Parallel()
	fresh := func(f *actiontest.Processes, age time.Duration, change func(*discovery.Worker)) {
		w := &f.Snap.Apps[0].Workers[2]
		*w = discovery.Worker{Process: discovery.Process{PID: 1 << 22, RSS: 30 * actiontest.MiB}, Slot: 2, Start: time.Now().Add(-age), State: discovery.Idle}
		if change != nil {
			change(w)
		}
	}
	ended := func(kids []*exec.Cmd) { _ = kids[2].Process.Kill(); _ = kids[2].Wait() }
	for name, c := range map[string]struct {
		pick   string
		leaks  map[int]int
		change func(*actiontest.Processes, []*exec.Cmd, map[string]string)
		want   action.Outcome
	}{
		"finishes its requests": {change: func(*actiontest.Processes, []*exec.Cmd, map[string]string) {}, want: action.InProgress},
		"no new one yet": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			f.Snap.Apps[0].Workers = f.Snap.Apps[0].Workers[:2]
		}, want: action.InProgress},
		"boots": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, time.Minute, func(w *discovery.Worker) { w.State = discovery.Booting })
		}, want: action.InProgress},
		"too early": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, time.Second, nil)
		}, want: action.InProgress},
		"serves": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, 10*time.Second, nil)
		}, want: action.Verified},
		"its beat is old": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, 10*time.Second, func(w *discovery.Worker) { w.State, w.HasBeat, w.Heartbeat = "", true, time.Minute })
		}, want: action.InProgress},
		"is as large": {change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, 10*time.Second, func(w *discovery.Worker) { w.RSS = 69 * actiontest.MiB })
		}, want: action.Unchanged},
		"the master is gone": {change: func(_ *actiontest.Processes, kids []*exec.Cmd, info map[string]string) {
			ended(kids)
			info["master_start"] = "1"
		}, want: action.Worse},
		"leaks less": {pick: config.PickLeaked, leaks: map[int]int{2: 4}, change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, 10*time.Second, nil)
		}, want: action.Verified},
		"leaks as before": {pick: config.PickLeaked, leaks: map[int]int{2: 5}, change: func(f *actiontest.Processes, kids []*exec.Cmd, _ map[string]string) {
			ended(kids)
			fresh(f, 10*time.Second, nil)
		}, want: action.Unchanged},
		"nothing is known": {change: func(_ *actiontest.Processes, _ []*exec.Cmd, info map[string]string) { clear(info) }, want: action.Unchanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, kids := actiontest.StartWorkers(t, cmdline.Gunicorn)
			leaks := map[int]int{2: 5}
			pick := c.pick
			if pick == "" {
				pick = config.PickLargest
			}
			a := recycle(f, config.Recycle{Pick: pick}, leaks)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || len(p.Victims) != 1 || p.Victims[0].ID != "2" {
				t.Fatalf("%+v, %v", p, err)
			}
			p.Victims[0].Info = maps.Clone(p.Victims[0].Info)
			p.Victims[0].Info["planned"] = strconv.Itoa(int(time.Now().Add(-5 * time.Minute).Unix()))
			c.change(f, kids, p.Victims[0].Info)
			if c.leaks != nil {
				maps.Copy(leaks, c.leaks)
			}
			p.Private = nil
			if got, err := a.Verify(t.Context(), p); got != c.want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestMain(m *testing.M) { actiontest.Main(m) }
