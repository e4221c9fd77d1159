package restarttask_test

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// The process of a worker must have the user of the configuration or, without one, the
// user of the app's own processes; never that of another app.
func TestRestartTaskUser(t *testing.T) {
	t.Parallel()
	at := brokerAt(t)
	pid := connected(t, at, "").Process.Pid
	alike := actiontest.StartShell(t, actiontest.SleepLine).Process.Pid
	me := os.Getuid()
	worker := func(pids ...int) (out []discovery.Worker) {
		for slot, pid := range pids {
			out = append(out, discovery.Worker{Process: discovery.Process{PID: pid}, Slot: slot})
		}
		return out
	}
	process := func(pid int) []discovery.Process { return []discovery.Process{{PID: pid}} }
	const gone = 1 << 22
	shop := discovery.App{Name: "shop", Up: true}
	with := func(a discovery.App, workers []discovery.Worker, procs []discovery.Process) discovery.App {
		a.Workers, a.Processes = workers, procs
		return a
	}
	cases := map[string]struct {
		user, appUser string
		apps          []discovery.App
		ok            bool
	}{
		"the configured user":                {user: strconv.Itoa(me), ok: true},
		"another configured user":            {user: strconv.Itoa(me + 1)},
		"a user that does not exist":         {user: "no-such-user"},
		"the user of the app's match":        {appUser: strconv.Itoa(me), ok: true},
		"another user of the app's match":    {appUser: strconv.Itoa(me + 1)},
		"the queue's user before the app's":  {user: strconv.Itoa(me), appUser: strconv.Itoa(me + 1), ok: true},
		"no app to compare with":             {},
		"as the app's workers":               {apps: []discovery.App{with(shop, worker(alike), nil)}, ok: true},
		"as the app's processes":             {apps: []discovery.App{with(shop, nil, process(alike))}, ok: true},
		"one of the workers is gone":         {apps: []discovery.App{with(shop, worker(gone, alike), nil)}, ok: true},
		"all of the workers are gone":        {apps: []discovery.App{with(shop, worker(gone), process(alike))}},
		"the app is down":                    {apps: []discovery.App{with(discovery.App{Name: "shop"}, worker(alike), nil)}},
		"only another app runs":              {apps: []discovery.App{with(discovery.App{Name: "till", Up: true}, worker(alike), nil)}},
		"a process of another app":           {user: strconv.Itoa(me), apps: []discovery.App{with(discovery.App{Name: "till", Up: true}, nil, process(pid))}},
		"a process of the same app":          {user: strconv.Itoa(me), apps: []discovery.App{with(shop, nil, process(pid))}, ok: true},
		"another process of another app":     {user: strconv.Itoa(me), apps: []discovery.App{with(discovery.App{Name: "till", Up: true}, nil, process(alike))}, ok: true},
		"another app beside the one that is": {apps: []discovery.App{with(discovery.App{Name: "till", Up: true}, worker(gone), nil), with(shop, worker(alike), nil)}, ok: true},
	}
	if me == 0 { // only root can start a process of another user
		other := exec.CommandContext(t.Context(), "/bin/sleep", "300")
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		group := exec.CommandContext(t.Context(), "/bin/sleep", "300")
		group.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 0, Gid: 65534}}
		for name, cmd := range map[string]*exec.Cmd{"another user than the app's workers": other, "another group than the app's workers": group} {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
			c := cases[name]
			c.apps = []discovery.App{with(shop, worker(alike, cmd.Process.Pid), nil)}
			cases[name] = c
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := &queues{workers: []tasks.RQWorker{stuckWorker(pid)}, waiting: 1, at: at}
			app := config.App{Name: "shop", Match: config.Match{User: c.appUser}, Tasks: []config.Tasks{{Type: config.RQ, Redis: "broker", Queues: []string{"mail"}, User: c.user}}}
			a := restarttask.New(restarttask.Deps{
				Apps: func() []config.App { return []config.App{app} }, ProcRoot: "/proc", Host: "here",
				Processes: &actiontest.Processes{Snap: discovery.Snapshot{Apps: c.apps}}, Queues: func(string) restarttask.TaskQueues { return q },
			}, mail())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Cleared || p.Refused.IsZero() != c.ok || (p.Total == 1) != c.ok {
				t.Errorf("%+v, %v; want it planned: %t", p, err, c.ok)
			}
		})
	}
}

// The target of a lease comes from settings or labels, before anything is read.
func TestRestartTaskTarget(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		app, queue string
		labels     map[string]string
	}{
		"app:shop/queue:mail": {"shop", "mail", nil},
		"app:shop/queue:slow": {"", "", map[string]string{"app": "shop", "queue": "slow"}},
		"app:shop/queue:?":    {"shop", "", map[string]string{"queue": "mail;id"}},
		"app:?/queue:mail":    {"", "mail", nil},
	} {
		a := restarttask.New(restarttask.Deps{}, config.RestartTask{App: c.app, Queue: c.queue})
		if got := a.Target(action.Alert{Labels: c.labels}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
