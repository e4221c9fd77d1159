package restarttask_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// queues is a Redis with one queue. Its user may not list clients, so a worker is proven by
// a connection to its address.
type queues struct {
	workers  []tasks.RQWorker
	waiting  int64
	intake   tasks.Intake
	at       redis.ServerState
	keyspace string
	err      error
}

func (q *queues) RQWorkers(context.Context, string) (tasks.RQSnapshot, error) {
	return tasks.RQSnapshot{Workers: q.workers, Waiting: q.waiting, At: q.at}, q.err
}

func (q *queues) Keyspace(context.Context) (string, error) { return q.keyspace, q.err }

// brokerAt starts a server to which workers of the test connect, and returns its address.
func brokerAt(t *testing.T) redis.ServerState {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return redis.ServerState{ID: "c0ffee", Peer: l.Addr().(*net.TCPAddr).AddrPort(), Hidden: "not allowed"}
}

func (q *queues) CeleryIntake(context.Context, string, time.Time) (tasks.Intake, error) {
	return q.intake, q.err
}

func restartTask(q *queues, f *actiontest.Processes, c config.RestartTask) *restarttask.Action {
	me := strconv.Itoa(os.Getuid())
	apps := []config.App{{Name: "shop", Tasks: []config.Tasks{
		{Type: config.RQ, Redis: "broker", Queues: []string{"mail", "slow"}, User: me},
		{Type: config.Celery, Redis: "broker", Queues: []string{"celery"}, User: me},
	}}}
	return restarttask.New(restarttask.Deps{
		Apps: func() []config.App { return apps }, ProcRoot: "/proc", Host: "here", Processes: f,
		Queues: func(name string) restarttask.TaskQueues {
			if name != "broker" {
				return nil
			}
			return q
		},
	}, c)
}

func mail() config.RestartTask {
	return config.RestartTask{App: "shop", Queue: "mail", Idempotent: true, MinStuck: time.Minute}
}

// connected starts a worker with a connection to a broker.
func connected(t *testing.T, at redis.ServerState, body string) *exec.Cmd {
	t.Helper()
	return rqProcess(t, fmt.Sprintf("import socket\nc = socket.create_connection(('127.0.0.1', %d))\n", at.Peer.Port())+body)
}

// rqProcess starts a child process with the title of RQ. It is a real Python, because
// titles of other programs do not count.
func rqProcess(t *testing.T, body string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	// The name of the program is what its command line shows: RQ's own, with the
	// words of its command behind it.
	file := filepath.Join(dir, "rq")
	ready := filepath.Join(dir, "ready")
	text := "import os, signal, time\n" + body + "\nopen(" + fmt.Sprintf("%q", ready) + ", 'w').close()\nwhile True: time.sleep(300)\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-S", file, "worker", "mail")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // so that it is no zombie
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	actiontest.WaitFor(t, func() bool { _, err := os.Stat(ready); return err == nil })
	return cmd
}

// stuckWorker returns the entry of a worker with a job that has run for five minutes.
func stuckWorker(pid int) tasks.RQWorker {
	return tasks.RQWorker{
		Key: "rq:worker:a", Host: "here", PID: pid, Birth: time.Now(), Heartbeat: time.Now(),
		Job: "j", JobQueue: "mail", JobStarted: time.Now().Add(-5 * time.Minute),
	}
}

func TestRestartTaskPlan(t *testing.T) {
	t.Parallel()
	at := brokerAt(t)
	pid, unconnected := connected(t, at, "").Process.Pid, rqProcess(t, "").Process.Pid
	other := actiontest.StartShell(t, actiontest.SleepLine).Process.Pid
	made := time.Now()
	with := func(change func(*tasks.RQWorker)) []tasks.RQWorker {
		w := stuckWorker(pid)
		change(&w)
		return []tasks.RQWorker{w}
	}
	same := func(*tasks.RQWorker) {}
	for name, c := range map[string]struct {
		settings func(*config.RestartTask)
		workers  []tasks.RQWorker
		empty    bool
		err      error
		want     action.Code // of the refusal; "": cleared; "planned"; "refused": for any reason, as pid 1 is of any age and may not be read
	}{
		"not connected":         {workers: with(func(w *tasks.RQWorker) { w.PID = unconnected }), want: action.CodeNotConnected},
		"holds a job":           {workers: with(same), want: "planned"},
		"not for long":          {workers: with(func(w *tasks.RQWorker) { w.JobStarted = time.Now().Add(-30 * time.Second) })},
		"nothing waits":         {workers: with(same), empty: true},
		"of another queue":      {workers: with(func(w *tasks.RQWorker) { w.JobQueue = "slow" })},
		"silent at work":        {workers: with(func(w *tasks.RQWorker) { w.JobStarted, w.Heartbeat = time.Time{}, time.Now().Add(-2*time.Minute) }), want: "planned"},
		"quiet at work":         {workers: with(func(w *tasks.RQWorker) { w.JobStarted, w.Heartbeat = time.Time{}, time.Now().Add(-time.Minute) })},
		"silent at rest":        {workers: with(func(w *tasks.RQWorker) { w.Job, w.Heartbeat = "", time.Now().Add(-8*time.Minute) }), want: "planned"},
		"quiet at rest":         {workers: with(func(w *tasks.RQWorker) { w.Job, w.Heartbeat = "", time.Now().Add(-7*time.Minute) })},
		"on another host":       {workers: with(func(w *tasks.RQWorker) { w.Host = "there" }), want: action.CodeOtherHost},
		"another process":       {workers: with(func(w *tasks.RQWorker) { w.Birth = time.Now().Add(-time.Hour) }), want: action.CodeOtherProcess},
		"born much later":       {workers: with(func(w *tasks.RQWorker) { w.Birth = time.Now().Add(time.Hour) }), want: action.CodeOtherProcess},
		"no worker of RQ":       {workers: with(func(w *tasks.RQWorker) { w.PID = other }), want: action.CodeNotWorker},
		"ourselves":             {workers: with(func(w *tasks.RQWorker) { w.PID = os.Getpid() }), want: action.CodeNotWorker},
		"init, by another age":  {workers: with(func(w *tasks.RQWorker) { w.PID, w.Birth = 1, time.Unix(0, 0) }), want: "refused"},
		"init, by its own age":  {workers: with(func(w *tasks.RQWorker) { w.PID, w.Birth = 1, boot(t) }), want: "refused"},
		"only a dead one":       {workers: with(func(w *tasks.RQWorker) { w.PID = 1 << 22 }), want: action.CodeNoWorker},
		"a dead one and a well": {workers: append(with(func(w *tasks.RQWorker) { w.PID = 1 << 22 }), tasks.RQWorker{Host: "there", Heartbeat: time.Now()})},
		"common cause":          {workers: append(with(same), elsewhere(), elsewhere()), want: action.CodeCommonCause},
		"half of four":          {workers: append(with(same), elsewhere(), well(), well()), want: "planned"},
		"more than half":        {workers: append(with(same), elsewhere(), elsewhere(), well(), well()), want: "refused"},
		"two of two":            {workers: append(with(same), elsewhere()), want: "planned"},
		"not idempotent":        {settings: func(c *config.RestartTask) { c.Idempotent = false }, workers: with(same), want: action.CodeNotIdempotent},
		"no min_stuck":          {settings: func(c *config.RestartTask) { c.MinStuck = 0 }, workers: with(same), want: action.CodeSettingMissing},
		"two queues":            {settings: func(c *config.RestartTask) { c.Queue = "" }, workers: with(same), want: action.CodeSeveralQueues},
		"no such queue":         {settings: func(c *config.RestartTask) { c.Queue = "../mail" }, workers: with(same), want: action.CodeUnknownQueue},
		"no app":                {settings: func(c *config.RestartTask) { c.App = "" }, workers: with(same), want: action.CodeUnknownQueue},
		"no answer":             {err: errors.New("redis: down"), want: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := mail()
			if c.settings != nil {
				c.settings(&settings)
			}
			q := &queues{workers: slices.Clone(c.workers), waiting: 3, at: at, err: c.err}
			for i := range q.workers { // the cases were made before this one's turn came
				w := &q.workers[i]
				w.Heartbeat = w.Heartbeat.Add(time.Since(made))
				if !w.JobStarted.IsZero() {
					w.JobStarted = w.JobStarted.Add(time.Since(made))
				}
			}
			if c.empty {
				q.waiting = 0
			}
			p, err := restartTask(q, &actiontest.Processes{}, settings).Plan(t.Context(), action.PlanRequest{Alert: action.Alert{Labels: map[string]string{"alertname": "X"}}})
			switch {
			case c.want == "error":
				if err == nil {
					t.Errorf("%+v", p)
				}
			case err != nil:
				t.Error(err)
			case c.want == "planned":
				if !p.Refused.IsZero() || p.Cleared || p.Total != 1 || p.Target != "app:shop/queue:mail" || p.Victims[0].ID != strconv.Itoa(pid) {
					t.Errorf("%+v", p)
				}
			case c.want == "":
				if !p.Cleared || !p.Refused.IsZero() {
					t.Errorf("%+v", p)
				}
			case c.want == "refused":
				if p.Refused.IsZero() || p.Total != 0 {
					t.Errorf("%+v", p)
				}
			case p.Refused.Code != c.want || p.Total != 0:
				t.Errorf("%+v", p)
			}
		})
	}
}

// boot returns the start of pid 1, or now if it cannot be read.
func boot(t *testing.T) time.Time {
	t.Helper()
	if id, err := procid.Identify("/proc", 1); err == nil {
		if at, err := id.StartTime(); err == nil {
			return at
		}
	}
	return time.Now()
}

// well returns a worker of another host that makes progress.
func well() tasks.RQWorker { return tasks.RQWorker{Host: "there", Heartbeat: time.Now()} }

func elsewhere() tasks.RQWorker {
	w := stuckWorker(7)
	w.Host = "there"
	return w
}

// The worker ends at the first signal, at the second, or by KILL, with its children.
func TestRestartTaskApply(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"warm": "",
		"cold": "n = []\ndef term(*a):\n    n.append(1)\n    if len(n) > 1: os._exit(1)\nsignal.signal(signal.SIGTERM, term)",
		"kill": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := brokerAt(t)
			cmd := connected(t, at, body+"\nhorse = os.fork()\nif horse == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(300)")
			kids := procid.Children("/proc", cmd.Process.Pid)
			q := &queues{workers: []tasks.RQWorker{stuckWorker(cmd.Process.Pid)}, waiting: 1, at: at}
			a := restartTask(q, &actiontest.Processes{}, mail())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || len(kids) != 1 {
				t.Fatalf("%+v, %v, %v", p, err, kids)
			}
			if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			actiontest.WaitFor(t, func() bool {
				return !actiontest.Alive(strconv.Itoa(cmd.Process.Pid)) && !actiontest.Alive(strconv.Itoa(kids[0]))
			})
			if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
				t.Errorf("nobody has started another: %s, %v", o, err)
			}
			// Another is there, and hangs too: it is left alone for half a minute.
			q.workers = []tasks.RQWorker{stuckWorker(connected(t, at, "").Process.Pid)}
			again, err := a.Plan(t.Context(), action.PlanRequest{Acts: map[string][]time.Time{p.Target: {time.Now()}}})
			if err != nil || again.Refused.Code != action.CodeBackoff {
				t.Errorf("%+v, %v", again, err)
			}
			p.Private = nil
			for want, change := range map[action.Outcome]func(*tasks.RQWorker){
				action.InProgress: func(w *tasks.RQWorker) { w.Job = "" },
				action.Verified:   func(w *tasks.RQWorker) { w.Job = ""; w.Ended = 1 },
				action.Unchanged:  func(w *tasks.RQWorker) { w.Birth = time.Now().Add(-time.Hour) },
			} {
				w := q.workers[0]
				change(&w)
				q.workers[0] = w
				if o, err := a.Verify(t.Context(), p); o != want || err != nil {
					t.Errorf("%s, %v; want %s", o, err, want)
				}
				q.workers[0] = stuckWorker(w.PID)
			}
		})
	}
}

// The worker is checked again right before the signal.
func TestRestartTaskRechecks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*queues, *action.Plan){
		"another job":     func(q *queues, _ *action.Plan) { q.workers[0].Job, q.workers[0].JobStarted = "k", time.Now() },
		"next long job":   func(q *queues, _ *action.Plan) { q.workers[0].Job = "k" },
		"nothing waits":   func(q *queues, _ *action.Plan) { q.waiting = 0 },
		"others hang too": func(q *queues, _ *action.Plan) { q.workers = append(q.workers, elsewhere(), elsewhere()) },
		"another entry":   func(q *queues, _ *action.Plan) { q.workers[0].Key = "rq:worker:b" },
		"no answer":       func(q *queues, _ *action.Plan) { q.err = errors.New("down") },
		"another server":  func(q *queues, _ *action.Plan) { q.at.ID = "abc" },
		"another address": func(q *queues, _ *action.Plan) { q.at.Peer = netip.MustParseAddrPort("127.0.0.2:6379") },
		"another process": func(_ *queues, p *action.Plan) { p.Private = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := brokerAt(t)
			cmd := connected(t, at, "")
			q := &queues{workers: []tasks.RQWorker{stuckWorker(cmd.Process.Pid)}, waiting: 1, at: at}
			a := restartTask(q, &actiontest.Processes{}, mail())
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() {
				t.Fatalf("%+v, %v", p, err)
			}
			change(q, &p)
			if n, err := a.Apply(t.Context(), p); n != 0 || err == nil || !actiontest.Alive(strconv.Itoa(cmd.Process.Pid)) {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{0: 0, 1: 30 * time.Second, 2: time.Minute, 6: 16 * time.Minute, 7: 30 * time.Minute, 1000: 30 * time.Minute} {
		if got := restarttask.Backoff(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// A row of restarts continues while each follows soon after the one before.
func TestBackoffLeft(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(seconds ...int) (out []time.Time) {
		for _, s := range seconds {
			out = append(out, now.Add(-time.Duration(s)*time.Second))
		}
		return out
	}
	for name, c := range map[string]struct {
		restarts []time.Time
		n        int // in a row
		seconds  float64
	}{
		"none":            {nil, 0, 0},
		"one":             {ago(10), 1, 20},
		"one a while ago": {ago(31), 1, 0},
		"three":           {ago(200, 100, 10), 3, 110},
		"well meanwhile":  {ago(5000, 4900, 10), 1, 20},
		"well for 630 s":  {ago(640, 10), 2, 50},
		"for 631 s":       {ago(641, 10), 1, 20},
		"a long row":      {ago(6000, 5500, 5000, 4500, 4000, 3500, 3000, 2500, 1700), 9, 100},
	} {
		if n, wait := restarttask.BackoffLeft(c.restarts, now); n != c.n || wait.Seconds() != c.seconds {
			t.Errorf("%s: %d in a row, wait %s; want %d and %.0f s", name, n, wait, c.n, c.seconds)
		}
	}
}

func TestIsRQ(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"/usr/bin/python3 /usr/bin/rq worker -u redis://x mail": true,
		"/usr/bin/python3 -m rq worker-pool":                    true,
		"python3 /v/bin/rqworker":                               true,
		"/usr/bin/python3 /usr/bin/rq info":                     false,
		"/usr/bin/python3 jobs.py worker":                       false,
		"/usr/bin/python3 a b c d rq worker":                    false,
	} {
		if got := restarttask.IsRQ(procid.Launch{Argv: strings.Fields(line), Program: "/usr/bin/python3.11"}); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
	for title, want := range map[string]bool{"rq: Listening on mail": true, "rq:worker:a1: Forked 7": true, "rqx: y": false, "not rq: ": false} {
		if got := restarttask.IsRQ(procid.Launch{Argv: []string{title}, Program: "/usr/bin/python3.11"}); got != want {
			t.Errorf("%s: %t", title, got)
		}
		if restarttask.IsRQ(procid.Launch{Argv: []string{title}, Program: "/usr/bin/vim"}) {
			t.Errorf("%s of vim", title)
		}
	}
}

func TestMain(m *testing.M) { actiontest.Main(m) }
