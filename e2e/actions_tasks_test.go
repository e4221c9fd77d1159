package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// supervised runs a command again each time it ends, as a supervisor does.
func (b *taskApp) supervised(argv ...string) *run.Proc {
	b.t.Helper()
	return start(b.t, run.Spec{
		Name: "supervisor", Path: "/bin/sh", Args: append([]string{"-c", `while :; do "$@"; sleep 0.3; done`, "supervisor"}, argv...), Dir: b.dir, Env: b.env,
	})
}

// restarter is the action on one queue, with the exporter's own rights.
func (b *taskApp) restarter(kind, queue string) *restarttask.Action {
	b.t.Helper()
	host, err := os.Hostname()
	if err != nil {
		b.t.Fatal(err)
	}
	queues := tasks.NewReader(b.redis.opened())
	b.grant(restartRights)
	configured := []config.Tasks{{Type: kind, Redis: "broker", Queues: []string{queue}, User: strconv.Itoa(os.Geteuid())}}
	return restarttask.New(restarttask.Deps{
		Apps:      func() []config.App { return []config.App{{Name: "shop", Tasks: configured}} },
		Queues:    func(string) restarttask.TaskQueues { return queues },
		Processes: watcher(b.t, &app{name: unique("none")}), ProcRoot: "/proc", Host: host,
	}, config.RestartTask{App: "shop", Queue: queue, Idempotent: true, MinStuck: 4 * time.Second})
}

// heals waits until the action has a plan, applies it, and waits until it is verified. It
// returns the pid of the worker that was ended.
func heals(t *testing.T, a *restarttask.Action) int {
	t.Helper()
	var p action.Plan
	eventually(t, 60*time.Second, func() (err error) {
		if p, err = a.Plan(t.Context(), action.PlanRequest{}); err != nil || p.Total == 1 {
			return err
		}
		return fmt.Errorf("no plan yet: %+v", p)
	})
	if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
		t.Fatalf("done %d: %v", n, err)
	}
	p = journalled(t, p)
	eventually(t, 60*time.Second, func() error {
		o, err := a.Verify(t.Context(), p)
		return all(err, wants("outcome", o, action.Verified))
	})
	pid, err := strconv.Atoi(p.Victims[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// running returns an error if a process runs and is no zombie.
func running(pid int) error {
	if id, err := procid.Identify("/proc", pid); err == nil && id.State != 'Z' {
		return fmt.Errorf("process %d is there", pid)
	}
	return nil
}

// TestRestartTaskRQ checks that an RQ worker whose job never ends, or whose processes are
// stopped, is ended, and that the one that its supervisor starts runs the waiting jobs.
func TestRestartTaskRQ(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rq   bool // rq's own program
		stop func(t *testing.T, worker int)
	}{
		"a job that sleeps":        {rq: true},
		"a stopped work-horse":     {stop: func(t *testing.T, worker int) { signalTo(t, syscall.SIGSTOP, procid.Children("/proc", worker)...) }},
		"a worker that is stopped": {stop: func(t *testing.T, worker int) { signalTo(t, syscall.SIGSTOP, worker) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTaskApp(t)
			b.grant(rqRights)
			b.enqueue("default", "600")
			argv := []string{python, "jobs.py", "worker", "default"}
			if c.rq {
				argv = []string{"/usr/bin/rq", "worker", "-u", fmt.Sprintf("redis://127.0.0.1:%d/0", b.redis.port), "default"}
			}
			supervisor := b.supervised(argv...)
			a := b.restarter(config.RQ, "default")
			var worker, horse int
			eventually(t, 30*time.Second, func() error {
				for _, worker = range procid.Children("/proc", supervisor.PID()) {
					if kids := procid.Children("/proc", worker); len(kids) == 1 {
						horse = kids[0]
						return wants("jobs begun", b.number("ZCARD", "rq:wip:default"), 1)
					}
				}
				return errors.New("no work-horse yet")
			})
			if c.stop != nil {
				c.stop(t, worker)
			}
			if p, err := a.Plan(t.Context(), action.PlanRequest{}); err != nil || !p.Cleared {
				t.Fatalf("nothing waits: %+v, %v", p, err)
			}
			b.enqueue("default", "0.1", "0.1")
			if ended := heals(t, a); ended != worker {
				t.Errorf("process %d was ended, not the worker %d", ended, worker)
			}
			eventually(t, 10*time.Second, func() error { return all(running(worker), running(horse), supervisor.Err()) })
			eventually(t, 20*time.Second, func() error { return wants("waiting", b.number("LLEN", "rq:queue:default"), 0) })
			if log := b.redis.cli("ACL", "LOG"); log != "" {
				t.Errorf("refused: %s", log)
			}
		})
	}
}

func signalTo(t *testing.T, s syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestartTaskCelery checks a Celery worker whose only pool process runs a task that
// never ends.
func TestRestartTaskCelery(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grantCelery("mail")
	a := b.restarter(config.Celery, "mail")
	supervisor := b.supervised(python, "-m", "celery", "-A", "tasks", "worker", "-c", "1", "-Q", "mail", "--without-gossip", "--without-mingle")
	b.publish("mail", "0", "0", "0", "600")
	// Beside the one that runs, a worker takes four ahead; the others wait.
	eventually(t, 60*time.Second, func() error { return wants("waiting", b.number("LLEN", "mail"), 0) })
	b.publish(slices.Concat(slices.Repeat([]string{"mail", "0", "0", "0", "0.1"}, 8))...)
	old := procid.Children("/proc", supervisor.PID())
	ended := heals(t, a)
	if !slices.Contains(old, ended) {
		t.Errorf("process %d was ended, and the worker is one of %v", ended, old)
	}
	eventually(t, 10*time.Second, func() error { return all(running(ended), supervisor.Err()) })
	eventually(t, 30*time.Second, func() error { return wants("waiting", b.number("LLEN", "mail"), 0) })
	if log := b.redis.cli("ACL", "LOG"); log != "" {
		t.Errorf("refused: %s", log)
	}
}

// TestRestartTaskRefuses checks that a worker without a supervisor, and one of another
// broker, are refused.
func TestRestartTaskRefuses(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	b.enqueue("default", "600", "1")
	// Its parent has ended, and process 1 starts no other.
	orphan := b.python("orphan", "-c", "import os, subprocess\nif os.fork() == 0:\n    os.execv('/bin/sh', ['sh', '-c', '( \"$@\" & )', 'x', '"+python+"', 'jobs.py', 'worker', 'default'])\nos.wait()\nimport time; time.sleep(900)")
	a := b.restarter(config.RQ, "default")
	eventually(t, 40*time.Second, func() error {
		p, err := a.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Total != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		if p.Refused.Code != action.CodeNoReplacement {
			return fmt.Errorf("refused: %w", p.Refused)
		}
		return orphan.Err()
	})
}
