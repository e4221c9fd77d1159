package scaleworkers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/scaleworkers"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func TestMain(m *testing.M) { actiontest.Main(m) }

func settings() config.Scale {
	return config.Scale{App: "shop", MaxWorkers: 5, MinFree: 0.05, Hold: time.Minute, ImportCheck: []string{"/bin/true"}}
}

func scale(f *actiontest.Processes, c config.Scale) *scaleworkers.Action {
	return scaleworkers.New(scaleworkers.Deps{Processes: f, Groups: &cgroup.FS{}, ProcRoot: "/proc"}, c)
}

// busy makes all workers of an app busy, but for some slots.
func busy(a *discovery.App, but ...int) {
	for i := range a.Workers {
		a.Workers[i].State = discovery.Busy
		if slices.Contains(but, i) {
			a.Workers[i].State = discovery.Idle
		}
	}
}

// startBusy starts a master with three workers, of which all are busy.
func startBusy(t *testing.T) *actiontest.Processes {
	t.Helper()
	f := actiontest.StartMaster(t, cmdline.Gunicorn, "deaf")
	busy(&f.Snap.Apps[0])
	return f
}

// waiting are victims by slot.
type waiting map[string]bool

func (w waiting) WhyWorker(_, slot string, _ int) string {
	if w[slot] {
		return "it waits for mysql:main"
	}
	return ""
}
func (waiting) HoldsUp(string, string, int) bool { return false }

// When one worker more is planned, and when not.
func TestScalePlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*discovery.App)
		set     func(*config.Scale)
		waiting waiting
		want    action.Code // of the refusal
		cleared bool
	}{
		"all busy":            {},
		"one is idle":         {change: func(a *discovery.App) { busy(a, 1) }, cleared: true},
		"one has a thread":    {change: func(a *discovery.App) { a.Workers[0].Spare = true }, cleared: true},
		"clients wait":        {change: func(a *discovery.App) { busy(a, 1); a.Listeners = []sockdiag.Listener{{Queue: 3, HasQueue: true}} }},
		"states unknown":      {change: func(a *discovery.App) { a.StateErr = errors.New("denied") }, want: action.CodeStatesUnknown},
		"at the maximum":      {set: func(c *config.Scale) { c.MaxWorkers = 3 }, want: action.CodeAtMaximum},
		"down":                {change: func(a *discovery.App) { a.Up = false }, want: action.CodeAppDown},
		"uWSGI":               {change: func(a *discovery.App) { a.Server = cmdline.UWSGI }, want: action.CodeNotScalable},
		"waitress":            {change: func(a *discovery.App) { a.Server = cmdline.Waitress }, want: action.CodeNotScalable},
		"one is replaced":     {change: func(a *discovery.App) { a.Unslotted = 1 }, want: action.CodeReplacing},
		"one starts":          {change: func(a *discovery.App) { a.Workers[1].State = discovery.Booting; a.Listeners = queue(1) }, want: action.CodeStarting},
		"most are stuck":      {change: func(a *discovery.App) { a.Workers[0].State, a.Workers[1].State = discovery.Stuck, discovery.Stuck }, want: action.CodeCommonCause},
		"one is stuck":        {change: func(a *discovery.App) { a.Workers[0].State = discovery.Stuck }},
		"most wait elsewhere": {waiting: waiting{"0": true, "2": true}, want: action.CodeVictim},
		"one waits elsewhere": {waiting: waiting{"0": true}},
		"too large":           {change: func(a *discovery.App) { a.Workers[2].RSS = 1 << 50 }, want: action.CodeMemory},
		"memory unknown":      {change: func(a *discovery.App) { clearMemory(a) }, want: action.CodeMemoryUnknown},
		"no program":          {set: func(c *config.Scale) { c.ImportCheck = []string{"/no/such"} }, want: action.CodeProgramUntrusted},
		"a worker of others":  {change: func(a *discovery.App) { a.Workers[0].PID = os.Getppid() }, want: action.CodeSeveralMasters},
		"another app":         {set: func(c *config.Scale) { c.App = "till" }, want: action.CodeUnknownApp},
		"another in the rule": {set: func(c *config.Scale) { c.App = "blog" }, want: action.CodeUnknownApp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startBusy(t)
			s := settings()
			if c.change != nil {
				c.change(&f.Snap.Apps[0])
			}
			if c.set != nil {
				c.set(&s)
			}
			d := scaleworkers.Deps{Processes: f, Groups: &cgroup.FS{}, ProcRoot: "/proc"}
			d.Victims = func(context.Context) workers.Victims { return c.waiting }
			p, err := scaleworkers.New(d, s).Plan(t.Context(), action.PlanRequest{})
			planned := c.want == "" && !c.cleared
			if err != nil || p.Refused.Code != c.want || p.Cleared != c.cleared || (len(p.Victims) == 1) != planned || (p.Total == 1) != planned {
				t.Errorf("%+v, %v", p, err)
			}
			if f.Signals() != "" {
				t.Errorf("the plan sent %s", f.Signals())
			}
		})
	}
}

func queue(n uint32) []sockdiag.Listener { return []sockdiag.Listener{{Queue: n, HasQueue: true}} }

func clearMemory(a *discovery.App) {
	for i := range a.Workers {
		a.Workers[i].RSS = 0
	}
}

// A process that is only called a worker keeps the master from being signalled.
func TestScaleWithoutProof(t *testing.T) {
	t.Parallel()
	f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
	a := &f.Snap.Apps[0]
	stranger := actiontest.StartHelper(t, []string{"sleep"}, actiontest.Listener(t))
	a.Workers = append(a.Workers, discovery.Worker{Process: discovery.Process{PID: stranger.Process.Pid, RSS: actiontest.MiB}, Slot: 3, Start: time.Now()})
	busy(a)
	if p, err := scale(f, settings()).Plan(t.Context(), action.PlanRequest{}); err != nil || p.Refused.IsZero() || len(p.Victims) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// The limit of a control group counts beside the host's memory.
func TestScaleInAControlGroup(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]action.Code{"max": "", strconv.Itoa(150 * actiontest.MiB): "", strconv.Itoa(120 * actiontest.MiB): action.CodeMemory} {
		f := startBusy(t)
		sys, proc := t.TempDir(), t.TempDir()
		group := filepath.Join(sys, "fs/cgroup/shop")
		pid := strconv.Itoa(f.Snap.Apps[0].PID)
		files := map[string]string{
			filepath.Join(group, "memory.max"): limit + "\n", filepath.Join(group, "memory.current"): strconv.Itoa(80*actiontest.MiB) + "\n",
			filepath.Join(group, "memory.stat"): fmt.Sprintf("inactive_file %d\n", 10*actiontest.MiB), filepath.Join(proc, pid, "cgroup"): "0::/shop\n",
			filepath.Join(proc, "self/mountinfo"): "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		}
		for name, text := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		d := scaleworkers.Deps{Processes: f, Groups: &cgroup.FS{ProcRoot: proc, SysRoot: sys}, ProcRoot: "/proc"}
		p, err := scaleworkers.New(d, settings()).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != want {
			t.Errorf("limit %s: %+v, %v", limit, p.Refused, err)
		}
	}
}

// The master gets TTIN once, and nothing where the state has changed since the plan.
func TestScaleApply(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*actiontest.Processes, *action.Plan){
		"": func(*actiontest.Processes, *action.Plan) {},
		"one worker more": func(f *actiontest.Processes, _ *action.Plan) {
			a := &f.Snap.Apps[0]
			a.Workers = append(a.Workers, a.Workers[0])
		},
		"one starts":       func(f *actiontest.Processes, _ *action.Plan) { f.Snap.Apps[0].Workers[0].State = discovery.Booting },
		"another master":   func(f *actiontest.Processes, _ *action.Plan) { f.Snap.Apps[0].PID++ },
		"another process":  func(_ *actiontest.Processes, p *action.Plan) { p.Private = nil },
		"the app is gone":  func(f *actiontest.Processes, _ *action.Plan) { f.Snap.Apps = nil },
		"cannot be looked": func(f *actiontest.Processes, _ *action.Plan) { f.Err = errors.New("no /proc") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startBusy(t)
			a := scale(f, settings())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || p.Total != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			change(f, &p)
			n, err := a.Apply(t.Context(), p)
			if name == "" {
				actiontest.WaitFor(t, func() bool { return f.Signals() != "" })
			}
			if got := f.Signals(); (n == 1) != (name == "") || (err == nil) != (name == "") || (got == "TTIN") != (name == "") {
				t.Errorf("%d, %v, %q", n, err, got)
			}
		})
	}
}

// The import is tried before the signal, and a failure is a refusal.
func TestScaleImport(t *testing.T) {
	t.Parallel()
	f := startBusy(t)
	s := settings()
	s.ImportCheck = []string{"/bin/false"}
	a := scale(f, s)
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	n, err := a.Apply(t.Context(), p)
	if no, ok := errors.AsType[action.Refusal](err); n != 0 || !ok || no.Code != action.CodeImportFailed || f.Signals() != "" {
		t.Errorf("%d, %v, %q", n, err, f.Signals())
	}
}

// The outcome, also after a crash, with only the part of the plan in the journal.
func TestScaleVerify(t *testing.T) {
	t.Parallel()
	fresh := func(a *discovery.App, age time.Duration, state discovery.State) {
		a.Workers = append(a.Workers, discovery.Worker{Process: discovery.Process{PID: 1 << 22}, Slot: 3, Start: time.Now().Add(-age), State: state})
	}
	for name, c := range map[string]struct {
		change func(*discovery.App, map[string]string)
		want   action.Outcome
	}{
		"none yet":       {func(*discovery.App, map[string]string) {}, action.InProgress},
		"it starts":      {func(a *discovery.App, _ map[string]string) { fresh(a, time.Minute, discovery.Booting) }, action.InProgress},
		"too early":      {func(a *discovery.App, _ map[string]string) { fresh(a, time.Second, discovery.Idle) }, action.InProgress},
		"it serves":      {func(a *discovery.App, _ map[string]string) { fresh(a, time.Minute, discovery.Idle) }, action.Verified},
		"all busy still": {func(a *discovery.App, _ map[string]string) { fresh(a, time.Minute, discovery.Busy) }, action.Unchanged},
		"a shorter queue": {func(a *discovery.App, _ map[string]string) {
			fresh(a, time.Minute, discovery.Busy)
			a.Listeners = queue(1)
		}, action.Unchanged},
		"master is gone": {func(_ *discovery.App, info map[string]string) { info["start"] = "1" }, action.Worse},
		"nothing known":  {func(_ *discovery.App, info map[string]string) { clear(info) }, action.Unchanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startBusy(t)
			a := scale(f, settings())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Total != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			p.Victims[0].Info = maps.Clone(p.Victims[0].Info)
			p.Victims[0].Info["planned"] = strconv.Itoa(int(time.Now().Add(-5 * time.Minute).Unix()))
			c.change(&f.Snap.Apps[0], p.Victims[0].Info)
			p.Private = nil
			if got, err := a.Verify(t.Context(), p); got != c.want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// What is done about a number of workers, of a hold that raised it from two to three.
func TestScaleReturn(t *testing.T) {
	t.Parallel()
	long := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	for name, c := range map[string]struct {
		change func(*discovery.App, *action.Hold)
		still  bool // it is still needed
		back   bool // a worker is taken back
		ended  bool
	}{
		"over":            {back: true},
		"still needed":    {still: true},
		"saturated":       {change: func(a *discovery.App, _ *action.Hold) { busy(a) }},
		"old, saturated":  {change: func(a *discovery.App, h *action.Hold) { busy(a); h.Since = time.Now().Add(-25 * time.Hour) }, back: true},
		"one starts":      {change: func(a *discovery.App, _ *action.Hold) { a.Workers[0].State = discovery.Booting }},
		"one ends":        {change: func(a *discovery.App, _ *action.Hold) { a.Workers = a.Workers[:2] }},
		"back":            {change: func(a *discovery.App, h *action.Hold) { a.Workers = a.Workers[:2]; h.Info["odd"] = long }, ended: true},
		"others took one": {change: func(a *discovery.App, h *action.Hold) { a.Workers = a.Workers[:1]; h.Info["odd"] = long }, ended: true},
		"others added":    {change: func(_ *discovery.App, h *action.Hold) { h.From, h.To = 1, 2; h.Info["odd"] = long }, ended: true},
		"a long request": {change: func(_ *discovery.App, h *action.Hold) {
			h.To, h.Info["back"], h.Info["odd"] = 2, "1", strconv.FormatInt(time.Now().Add(-2*time.Minute).Unix(), 10)
		}},
		"does not end":  {change: func(_ *discovery.App, h *action.Hold) { h.To, h.Info["back"], h.Info["odd"] = 2, "1", long }, ended: true},
		"reloaded":      {change: func(_ *discovery.App, h *action.Hold) { h.Info["workers"] = "1:1 2:2 3:3" }, ended: true},
		"recycled":      {change: func(a *discovery.App, h *action.Hold) { h.Info["workers"] = "1:1"; a.Workers[0].Start = time.Now() }, back: true},
		"renamed":       {change: func(a *discovery.App, _ *action.Hold) { a.Name = "till" }, back: true},
		"restarted":     {change: func(_ *discovery.App, h *action.Hold) { h.Info["start"] = "1" }, ended: true},
		"no process":    {change: func(_ *discovery.App, h *action.Hold) { clear(h.Info) }, ended: true},
		"at the bottom": {change: func(_ *discovery.App, h *action.Hold) { h.From = 3 }, ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startBusy(t)
			a := scale(f, settings())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Total != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			h, ok := a.Hold(p, nil)
			if !ok || h.From != 3 || h.To != 4 || h.For != time.Minute || len(strings.Fields(h.Info["workers"])) != 3 {
				t.Fatalf("%+v", h)
			}
			busy(&f.Snap.Apps[0], 0)
			h.From, h.To, h.Since = 2, 3, time.Now()
			if c.change != nil {
				c.change(&f.Snap.Apps[0], &h)
			}
			r, err := a.PlanReturn(t.Context(), h, !c.still)
			if err != nil || (r.Do != nil) != c.back || (r.Ended != "") != c.ended {
				t.Fatalf("%+v, %v", r, err)
			}
			if !c.back {
				return
			}
			if r.Next.To != h.To-1 || r.Next.From != h.From {
				t.Errorf("%+v", r.Next)
			}
			if err := r.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			actiontest.WaitFor(t, func() bool { return f.Signals() == "TTOU" })
		})
	}
}

// A second run on the same master keeps the number before the first one, or the one now if
// it is smaller.
func TestScaleHoldAgain(t *testing.T) {
	t.Parallel()
	f := startBusy(t)
	a := scale(f, settings())
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	first, _ := a.Hold(p, nil)
	first.From, first.To, first.Since = 2, 3, time.Now().Add(-time.Hour)
	if h, ok := a.Hold(p, &first); !ok || h.From != 2 || h.To != 4 || !h.Since.Equal(first.Since) {
		t.Errorf("%+v", h)
	}
	for name, c := range map[string]struct {
		from, to         int
		back             bool
		wantFrom, wantTo int
	}{
		"one still ends":    {2, 2, true, 2, 3},
		"two, one of which": {1, 2, true, 1, 3},
		"higher":            {2, 7, false, 2, 4},
		"lower":             {5, 6, false, 3, 4},
	} {
		first.From, first.To = c.from, c.to
		if delete(first.Info, "back"); c.back {
			first.Info["back"] = "1"
		}
		if h, ok := a.Hold(p, &first); !ok || h.From != c.wantFrom || h.To != c.wantTo || !h.Since.Equal(first.Since) || h.Info["back"] != "" {
			t.Errorf("%s: %+v", name, h)
		}
	}
	first.Info["start"] = "1"
	if h, ok := a.Hold(p, &first); !ok || h.From != 3 || h.To != 4 || !h.Since.IsZero() {
		t.Errorf("of another master: %+v", h)
	}
	p.Private = nil
	if _, ok := a.Hold(p, nil); ok {
		t.Error("the plan of another process has a hold")
	}
}

// An app that is not known any more is an error, and not an end: its workers may be more than
// before.
func TestScaleReturnUnknown(t *testing.T) {
	t.Parallel()
	f := startBusy(t)
	a := scale(f, settings())
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	h, _ := a.Hold(p, nil)
	f.Snap.Apps = nil
	if r, err := a.PlanReturn(t.Context(), h, true); err == nil || r.Ended != "" || r.Do != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
