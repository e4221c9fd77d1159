package heal_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// marking is an action that appends a line to a file each time it is applied, so that its
// effect is outside of the process.
type marking struct {
	name, file string
	reached    func() bool // whether this process is to be killed where it is
	helps      bool
}

// stop waits for the SIGKILL of a process that has come to where it is to be killed.
func (m *marking) stop() {
	if m.reached() {
		select {}
	}
}

func (m *marking) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", "") + "/" + m.name
}

func (m *marking) Plan(context.Context, action.PlanRequest) (action.Plan, error) {
	m.stop()
	return action.Plan{Target: "app:shop/x", Summary: "do it", Total: 1}, nil
}

func (m *marking) Apply(context.Context, action.Plan) (int, error) {
	f, err := os.OpenFile(m.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if _, err := fmt.Fprintln(f, m.name); err != nil {
		return 0, err
	}
	m.stop()
	return 1, nil
}

func (m *marking) Verify(context.Context, action.Plan) (action.Outcome, error) {
	m.stop()
	if m.helps {
		return action.Verified, nil
	}
	return action.Unchanged, nil
}

// crashRunner returns the runner for before and after the crash: the first step does not
// help, the second one does.
func crashRunner(t *testing.T, dir string, reached func() bool, approve bool) *heal.Runner {
	t.Helper()
	r := heal.New(heal.Options{StateDir: dir})
	build := func(s config.HealingStep) (action.Action, error) {
		return &marking{s.Action, filepath.Join(dir, "applied"), reached, s.Recycle != nil}, nil
	}
	apply, err := r.Prepare(section(func(h *config.Healing) {
		for i := range h.Rules[0].Steps[:2] {
			h.Rules[0].Steps[i].VerifyWithin = 10 * time.Millisecond
		}
		h.Rules[0].Steps[0].Approve = approve
	}), build)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	return r
}

// TestCrashChild is the process that is killed; it is not a test of its own.
func TestCrashChild(t *testing.T) {
	dir, state := os.Getenv("CRASH_DIR"), os.Getenv("CRASH_STATE")
	if dir == "" {
		return // the test that starts it comes next
	}
	// SIGKILL at the first sight of the state in the journal; of running, in the middle of the
	// action. Whatever the action does next waits for it.
	reached := func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
		return err == nil && strings.Contains(string(b), `"decision":"`+state+`"`) && (state != "running" || exists(filepath.Join(dir, "applied")))
	}
	go func() {
		for ; ; time.Sleep(time.Millisecond) {
			if reached() {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	}()
	r := crashRunner(t, dir, reached, state == "awaiting_approval")
	go func() { _ = r.Run(context.Background()) }()
	ready(t, r)
	if _, err := r.Take(context.Background(), []action.Alert{firing()}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	t.Fatal("not killed")
}

// The exporter is killed in each state of the journal: after the restart no action is
// applied a second time, and the accepted alert is not lost.
func TestCrashInEachState(t *testing.T) {
	for _, c := range []struct {
		state        string
		first, again int    // how often the two steps are done in all
		end          string // of the run after the restart
		interrupted  bool   // its first step was
	}{
		{"queued", 1, 1, "verified", false},
		{"awaiting_approval", 0, 0, "awaiting_approval", false},
		{"running", 1, 0, "escalated", true},   // it was cut off: looked at, and not done again
		{"verifying", 1, 0, "escalated", true}, // the same
		{"step_failed", 1, 1, "verified", false},
		{"verified", 1, 1, "verified", false},
	} {
		t.Run(c.state, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
			child.Env = append(os.Environ(), "CRASH_DIR="+dir, "CRASH_STATE="+c.state)
			out, err := child.CombinedOutput()
			if err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			r := crashRunner(t, dir, func() bool { return false }, false)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			ready(t, r)
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			var last journal.Run
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				runs := r.Snapshot().Runs
				if len(runs) != 1 {
					t.Fatalf("%d runs", len(runs))
				}
				if last = runs[0]; !last.State.Open() || string(last.State) == c.end {
					break
				}
			}
			if string(last.State) != c.end {
				t.Errorf("it is %s: %s", last.State, last.Reason)
			}
			if last.Interrupted || (len(last.Before) > 0 && last.Before[0].Interrupted) != c.interrupted {
				t.Errorf("interrupted: %v, the steps before %+v", last.Interrupted, last.Before)
			}
			marks, _ := os.ReadFile(filepath.Join(dir, "applied"))
			if first, again := strings.Count(string(marks), config.ActionKillLeaked), strings.Count(string(marks), config.ActionRecycle); first != c.first || again != c.again {
				t.Errorf("done %d and %d times, want %d and %d", first, again, c.first, c.again)
			}
			if ds, err := r.Take(ctx, []action.Alert{firing()}); err != nil || ds[0] != journal.DecisionDuplicate {
				t.Errorf("sent again it is %v, %v", ds, err)
			}
		})
	}
}

// ready waits until the runner has opened its directory.
func ready(t *testing.T, r *heal.Runner) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); r.Snapshot().Why != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(r.Snapshot().Why)
		}
	}
}

func exists(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Size() > 0
}
