package recycleworker_test

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
)

// graceOption returns the option that gives a worker a second to end by itself.
func graceOption(server cmdline.Server) []string {
	if server == cmdline.UWSGI {
		return []string{"--worker-reload-mercy", "1"}
	}
	return []string{"--graceful-timeout", "1"}
}

// A stuck worker that does not end by itself is ended: by the signal of its server
// (gunicorn), or by KILL if it is stopped (uWSGI). The other workers stay.
func TestRecycleEndsStuckWorker(t *testing.T) {
	t.Parallel()
	for server, stopped := range map[cmdline.Server]bool{cmdline.Gunicorn: false, cmdline.UWSGI: true} {
		t.Run(string(server), func(t *testing.T) {
			t.Parallel()
			f := actiontest.StartMaster(t, server, "deaf", graceOption(server)...)
			app := &f.Snap.Apps[0]
			hang(app, 1)
			victim := app.Workers[1].PID
			if stopped {
				if err := syscall.Kill(victim, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			a := recycle(f, config.Recycle{Pick: config.PickStuck}, nil)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || len(p.Victims) != 1 || p.Victims[0].ID != "1" {
				t.Fatalf("%+v, %v", p, err)
			}
			began := time.Now()
			if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if after := time.Since(began); after < 6*time.Second {
				t.Errorf("it had only %s to end by itself", after)
			}
			for end := time.Now().Add(20 * time.Second); actiontest.Alive(strconv.Itoa(victim)) && time.Now().Before(end); { // SIGKILL takes a moment
				time.Sleep(10 * time.Millisecond)
			}
			for _, w := range app.Workers {
				if alive := actiontest.Alive(strconv.Itoa(w.PID)); alive != (w.PID != victim) {
					t.Errorf("worker %d is alive: %t", w.Slot, alive)
				}
			}
		})
	}
}

// A stuck worker that has become another program gets no further signal.
func TestRecycleSparesAnotherProgram(t *testing.T) {
	t.Parallel()
	f := actiontest.StartMaster(t, cmdline.Gunicorn, "exec", graceOption(cmdline.Gunicorn)...)
	hang(&f.Snap.Apps[0], 1)
	a := recycle(f, config.Recycle{Pick: config.PickStuck}, nil)
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || !p.Refused.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	if n, err := a.Apply(t.Context(), p); n != 1 || !errors.Is(err, process.ErrChanged) {
		t.Errorf("%d, %v", n, err)
	}
	if !actiontest.Alive(strconv.Itoa(f.Snap.Apps[0].Workers[1].PID)) {
		t.Error("the other program was ended")
	}
}

// The time that the command line gives a worker to end counts for the step.
func TestRecycleGraceOfCommandLine(t *testing.T) {
	t.Parallel()
	for _, server := range []cmdline.Server{cmdline.Gunicorn, cmdline.UWSGI} {
		f := actiontest.StartMaster(t, server, "deaf", graceOption(server)...)
		hang(&f.Snap.Apps[0], 1)
		a := recycle(f, config.Recycle{Pick: config.PickStuck}, nil)
		for limit, ok := range map[time.Duration]bool{14 * time.Second: false, 40 * time.Second: true} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			p, err := a.Plan(ctx, action.PlanRequest{})
			cancel()
			if err != nil || p.Refused.IsZero() != ok || !ok && p.Refused.Code != action.CodeTimeoutShort {
				t.Errorf("%s, %s: %+v, %v", server, limit, p, err)
			}
		}
	}
}

// An app that does not import keeps its workers.
func TestRecycleImportFails(t *testing.T) {
	t.Parallel()
	f, kids := actiontest.StartWorkers(t, cmdline.Gunicorn)
	a := recycle(f, config.Recycle{Pick: config.PickLargest, ImportCheck: []string{"/bin/false"}}, nil)
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || !p.Refused.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err = a.Apply(t.Context(), p)
	if r, refused := errors.AsType[action.Refusal](err); !refused || r.Code != action.CodeImportFailed {
		t.Errorf("not refused: %v", err)
	}
	for i, k := range kids {
		if !actiontest.Alive(strconv.Itoa(k.Process.Pid)) {
			t.Errorf("worker %d is gone", i)
		}
	}
}

// If the files below /proc do not prove a worker, it is refused.
func TestRecycleUnproven(t *testing.T) {
	t.Parallel()
	f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
	other := actiontest.StartShell(t, actiontest.SleepLine).Process.Pid
	for _, c := range []struct {
		slots   []int // of workers that are another process
		refused bool
	}{{[]int{0}, false}, {[]int{2}, false}, {[]int{0, 1}, true}, {[]int{0, 1, 2}, true}} {
		g := &actiontest.Processes{Snap: discovery.Snapshot{Apps: []discovery.App{f.Snap.Apps[0]}}}
		workers := append([]discovery.Worker(nil), f.Snap.Apps[0].Workers...)
		for _, slot := range c.slots {
			workers[slot].PID = other
		}
		g.Snap.Apps[0].Workers = workers
		p, err := recycle(g, config.Recycle{Pick: config.PickLargest}, nil).Plan(t.Context(), action.PlanRequest{})
		if err != nil || (p.Refused.Code == action.CodeUnproven) != c.refused || !c.refused && p.Victims[0].Info["pid"] == strconv.Itoa(other) {
			t.Errorf("workers %v are another process: %+v, %v", c.slots, p, err)
		}
	}
}

// State that cannot be read is an error of Plan, or of Verify.
func TestRecycleErrors(t *testing.T) {
	t.Parallel()
	f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
	failing := errors.New("down")
	a := recycleworker.New(recycleworker.Deps{
		Processes: f, ProcRoot: "/proc", Leaks: func(context.Context, string) (map[int]int, error) { return nil, failing },
	}, config.Recycle{App: "shop", Pick: config.PickLeaked, ImportCheck: []string{"/bin/true"}})
	if p, err := a.Plan(t.Context(), action.PlanRequest{}); !errors.Is(err, failing) {
		t.Errorf("%+v, %v", p, err)
	}
	p, err := recycle(f, config.Recycle{Pick: config.PickLargest}, nil).Plan(t.Context(), action.PlanRequest{})
	if err != nil || len(p.Victims) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	f.Err = failing
	if o, err := a.Verify(t.Context(), p); !errors.Is(err, failing) || o != "" {
		t.Errorf("%s, %v", o, err)
	}
	p.Victims = nil
	if o, err := a.Verify(t.Context(), p); err != nil || o != action.Unchanged {
		t.Errorf("without a victim: %s, %v", o, err)
	}
}

func TestRecycleTarget(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct{ setting, label string }{
		"app:shop/workers": {"", "shop"}, "app:till/workers": {"till", "shop"}, "app:?/workers": {"", "shop shop"},
	} {
		a := recycleworker.New(recycleworker.Deps{}, config.Recycle{App: c.setting})
		if got := a.Target(action.Alert{Labels: map[string]string{"app": c.label}}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
