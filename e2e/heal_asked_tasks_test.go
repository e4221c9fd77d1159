package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const restartStep = `        - {action: restart_task, with: {task: mail, idempotent: true, min_stuck: 2s}, verify_within: 60s}`

// runsOf returns the pids of the workers that have run the task, one for each run.
func (a *asked) runsOf(t *testing.T) (pids []int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.home, "runs"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// hangs makes the task hang for longer than min_stuck, and returns how often it has run until
// then.
func (a *asked) hangs(t *testing.T) int {
	t.Helper()
	hang := write(t, filepath.Join(a.home, "hang"), "")
	eventually(t, 20*time.Second, func() error {
		_, err := os.Stat(hang)
		return wants("the task hangs", os.IsNotExist(err), true)
	})
	n := len(a.runsOf(t))
	eventually(t, 20*time.Second, func() error { // the exporter sees it hang for longer than min_stuck
		silent, _ := a.scrape(t).sum("resp_task_heartbeat_age_seconds", "app=shop", "task=mail")
		return wants(fmt.Sprintf("silent for 2.5 s (%.1f)", silent), silent >= 2.5, true)
	})
	return n
}

// TestRestartTaskInside checks that a background task which hangs inside of one of two
// workers begins again, that it is verified by its new start, and that neither worker ends.
func TestRestartTaskInside(t *testing.T) {
	t.Parallel()
	a := startAsked(t, "shop/task.py", restartStep, "        - {action: escalate}")
	a.reports(t)
	before := a.scrape(t).pids("shop")
	n := a.hangs(t)
	hung := a.runsOf(t)[n-1]
	eventually(t, 20*time.Second, func() error { return a.scrape(t).want(1, "resp_task_executing", "app=shop", "task=mail") })
	a.reported(t, "Sick", "app=shop")
	last := a.becomes(t, 40*time.Second, "sick", "verified")
	if last.Action != "restart_task" || last.Done != 1 || last.Target != "app:shop/task:mail" || !strings.HasPrefix(last.Reason, "the task began again") {
		t.Errorf("%+v", last)
	}
	if runs := a.runsOf(t); len(runs) <= n || !slices.Contains(slices.Collect(maps.Values(before)), hung) {
		t.Errorf("runs %v, %d before; workers %v", runs, n, before)
	}
	if after := a.scrape(t).pids("shop"); !maps.Equal(before, after) {
		t.Errorf("workers %v, %v before", after, before)
	}
	// The other worker has none: its thread was neither interrupted nor asked.
	eventually(t, 20*time.Second, func() error { return a.scrape(t).want(1, "resp_task_restarts_total", "app=shop", "task=mail") })
	if _, err := os.Stat(a.file); !os.IsNotExist(err) {
		t.Errorf("the control file is still there: %v", err)
	}
}

// TestRestartTaskUnavailable checks that the step is unavailable without a directory of
// control files, and that the next step begins.
func TestRestartTaskUnavailable(t *testing.T) {
	t.Parallel()
	a := startAskedBy(t, "", "shop/task.py", restartStep, "        - {action: escalate}")
	a.reports(t)
	a.hangs(t)
	a.reported(t, "Sick", "app=shop")
	last := a.becomes(t, 30*time.Second, "sick", "escalated")
	if len(last.Before) != 1 || last.Before[0].Action != "restart_task" || last.Before[0].Result != "unavailable" {
		t.Errorf("%+v", last)
	}
}
