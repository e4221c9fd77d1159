package restarttask_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// celeryWorker returns a worker as discovery reports it.
func celeryWorker(t *testing.T, cmd *exec.Cmd) discovery.CeleryWorker {
	t.Helper()
	return discovery.CeleryWorker{PID: cmd.Process.Pid, Start: startOf(t, cmd.Process.Pid), Queues: []string{"celery"}}
}

// A Celery worker that ignores TERM ends its pool at a QUIT. The outcome is verified when
// a worker that started later takes messages.
func TestRestartTaskCeleryEnds(t *testing.T) {
	t.Parallel()
	at := brokerAt(t)
	quit := filepath.Join(t.TempDir(), "quit")
	cmd := connected(t, at, fmt.Sprintf("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGQUIT, lambda *a: (open(%q, 'w').close(), os._exit(3)))", quit))
	q := &queues{intake: tasks.Intake{Waiting: 5, Held: 2, At: at}}
	f := &actiontest.Processes{Snap: discovery.Snapshot{Celery: []discovery.CeleryWorker{celeryWorker(t, cmd)}}}
	a := restartTask(q, f, config.RestartTask{App: "shop", Queue: "celery", Idempotent: true, MinStuck: time.Second})
	time.Sleep(1100 * time.Millisecond) // the worker is older than min_stuck
	p, err := a.Plan(t.Context(), action.PlanRequest{})
	if err != nil || !p.Refused.IsZero() || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if o, err := a.Verify(t.Context(), p); o != action.InProgress || err != nil {
		t.Errorf("before it ends: %s, %v", o, err)
	}
	if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := os.Stat(quit); err != nil || actiontest.Alive(strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("it ended otherwise than by QUIT: %v", err)
	}
	p.Private = nil // as after a restart of the exporter
	next := celeryWorker(t, connected(t, at, ""))
	old, other := next, next
	old.Start, other.Queues = time.Now().Add(-time.Hour), []string{"mail"}
	failing := errors.New("down")
	for name, c := range map[string]struct {
		workers []discovery.CeleryWorker
		change  func(*queues)
		want    action.Outcome
		err     error
	}{
		"no worker":              {nil, nil, action.Unchanged, nil},
		"one of before":          {[]discovery.CeleryWorker{old}, nil, action.Unchanged, nil},
		"one of another queue":   {[]discovery.CeleryWorker{other}, nil, action.Unchanged, nil},
		"a new one":              {[]discovery.CeleryWorker{old, next}, nil, action.InProgress, nil},
		"it takes messages":      {[]discovery.CeleryWorker{next}, func(q *queues) { q.intake.Fresh = true }, action.Verified, nil},
		"nothing waits any more": {[]discovery.CeleryWorker{next}, func(q *queues) { q.intake.Waiting = 0 }, action.Verified, nil},
		"the broker is down":     {[]discovery.CeleryWorker{next}, func(q *queues) { q.err = failing }, "", failing},
	} {
		now := *q
		if c.change != nil {
			c.change(&now)
		}
		a := restartTask(&now, &actiontest.Processes{Snap: discovery.Snapshot{Celery: c.workers}}, config.RestartTask{})
		if o, err := a.Verify(t.Context(), p); o != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s, %v; want %s", name, o, err, c.want)
		}
	}
	a = restartTask(q, &actiontest.Processes{Err: failing}, config.RestartTask{})
	if o, err := a.Verify(t.Context(), p); o != "" || !errors.Is(err, failing) {
		t.Errorf("processes cannot be read: %s, %v", o, err)
	}
	p.Victims[0].Info = map[string]string{"redis": "gone", "pid": "7", "start": "8", "planned": "9"}
	if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
		t.Errorf("the Redis is not configured any more: %s, %v", o, err)
	}
	p.Victims = nil
	if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
		t.Errorf("without a victim: %s, %v", o, err)
	}
}

// Several Celery workers that hang are refused, and so is one that is younger than the time
// for which none took a message.
func TestRestartTaskCeleryRefuses(t *testing.T) {
	t.Parallel()
	at := brokerAt(t)
	var all []discovery.CeleryWorker
	for range 3 {
		all = append(all, celeryWorker(t, connected(t, at, "")))
	}
	time.Sleep(1100 * time.Millisecond)
	gone := all[0]
	gone.PID = 1 << 22
	for name, c := range map[string]struct {
		workers  []discovery.CeleryWorker
		minStuck time.Duration
		refused  action.Code
	}{
		"one":                 {all[:1], time.Second, ""},
		"two":                 {all[:2], time.Second, ""},
		"three":               {all, time.Second, action.CodeCommonCause},
		"too young":           {all[:1], time.Hour, action.CodeTooYoung},
		"ended":               {[]discovery.CeleryWorker{gone}, time.Second, action.CodeOtherProcess},
		"ended, and one more": {[]discovery.CeleryWorker{gone, all[1]}, time.Second, ""},
		"none":                {nil, time.Second, action.CodeNoWorker},
	} {
		q := &queues{intake: tasks.Intake{Waiting: 5, Held: 2, At: at}}
		a := restartTask(q, &actiontest.Processes{Snap: discovery.Snapshot{Celery: c.workers}}, config.RestartTask{App: "shop", Queue: "celery", Idempotent: true, MinStuck: c.minStuck})
		p, err := a.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Cleared || p.Refused.Code != c.refused || (p.Total == 1) != (c.refused == "") {
			t.Errorf("%s: %+v, %v; want %q", name, p, err, c.refused)
		}
	}
}
