package recycleworker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

// A child of the master without a socket of its own, or with one that a sibling holds too,
// is never planned, however large or stuck it is.
func TestRecycleWithoutProof(t *testing.T) {
	for name, helper := range map[string]func(*testing.T, *os.File, *os.File) *exec.Cmd{
		"nothing":           func(t *testing.T, l, _ *os.File) *exec.Cmd { return actiontest.StartHelper(t, []string{"sleep"}, l) },
		"a sibling's files": func(t *testing.T, l, s *os.File) *exec.Cmd { return actiontest.StartHelper(t, []string{"sleep"}, l, s) },
		"no listener": func(t *testing.T, _, _ *os.File) *exec.Cmd {
			return actiontest.StartHelper(t, []string{"sleep"}, actiontest.WorkerFile(t, cmdline.Gunicorn))
		},
		"two heartbeats": func(t *testing.T, l, _ *os.File) *exec.Cmd {
			return actiontest.StartHelper(t, []string{"sleep"}, l, actiontest.WorkerFile(t, cmdline.Gunicorn), actiontest.WorkerFile(t, cmdline.Gunicorn))
		},
		"a file that is not the master's": func(t *testing.T, l, _ *os.File) *exec.Cmd {
			f := actiontest.WorkerFile(t, cmdline.Gunicorn)
			defer func() { _ = f.Close() }()
			return actiontest.StartHelper(t, []string{"sleep"}, l, f)
		},
		"another program": func(t *testing.T, l, _ *os.File) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), "/bin/sleep", "300")
			cmd.ExtraFiles = []*os.File{l, actiontest.WorkerFile(t, cmdline.Gunicorn)}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
			return cmd
		},
	} {
		for _, pick := range []string{config.PickStuck, config.PickLargest, config.PickLeaked} {
			t.Run(name+", "+pick, func(t *testing.T) {
				f, kids := actiontest.StartWorkers(t, cmdline.Gunicorn)
				listener, mark := actiontest.Listener(t), actiontest.WorkerFile(t, cmdline.Gunicorn)
				kids = append(kids, actiontest.StartHelper(t, []string{"sleep"}, listener, mark))
				h := helper(t, listener, mark)
				a := &f.Snap.Apps[0]
				for i, c := range []*exec.Cmd{kids[3], h} {
					a.Workers = append(a.Workers, discovery.Worker{
						Process: discovery.Process{PID: c.Process.Pid, RSS: uint64(20+1000*i) * actiontest.MiB}, Slot: 3 + i, Start: time.Now().Add(-time.Hour), State: discovery.Idle,
					})
				}
				hang(a, 4)
				p, err := recycle(f, config.Recycle{Pick: pick}, map[int]int{4: 9}).Plan(t.Context(), action.PlanRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if pick == config.PickLargest {
					if len(p.Victims) != 1 || p.Victims[0].ID != "2" || !p.Refused.IsZero() {
						t.Errorf("%+v", p)
					}
				} else if p.Refused.Code != action.CodeUnproven || len(p.Victims) > 0 || p.Cleared {
					t.Errorf("%+v", p)
				}
			})
		}
	}
}

// The app is imported by Apply and never by Plan; if the import cannot be run, Apply
// refuses and has done nothing.
func TestImportCheckIsOfApply(t *testing.T) {
	t.Parallel()
	marker := func(t *testing.T, line string) (argv []string, marker string) {
		marker = filepath.Join(t.TempDir(), "ran")
		return []string{"/bin/sh", "-c", "echo >> " + marker + "; " + line}, marker
	}
	for name, c := range map[string]struct {
		line string
		want action.Code // of the refusal; a timeout: its time ends while it runs
	}{
		"imports": {"exit 0", ""}, "does not import": {"exit 3", action.CodeImportFailed}, "hangs": {"sleep 600", action.CodeImportTimeout},
		"new privileges": {`grep -q "^NoNewPrivs:.*1" /proc/self/status`, ""},
		"a session":      {`read -r pid comm state ppid pgrp sid rest < /proc/self/stat; test "$sid" = "$pgrp"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, kids := actiontest.StartWorkers(t, cmdline.Gunicorn)
			argv, ran := marker(t, c.line)
			a := recycle(f, config.Recycle{Pick: config.PickLargest, ImportCheck: argv}, nil)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || len(p.Victims) != 1 || p.Victims[0].Info["import_check"] != "not run yet" {
				t.Fatalf("%+v, %v", p, err)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Fatal("the plan ran it")
			}
			ctx, cancel := context.WithCancel(t.Context())
			var ends sync.WaitGroup
			if c.want == action.CodeImportTimeout {
				ends.Go(func() {
					actiontest.WaitFor(t, func() bool { _, err := os.Stat(ran); return err == nil })
					cancel()
				})
			}
			n, err := a.Apply(ctx, p)
			ends.Wait()
			cancel()
			if _, statErr := os.Stat(ran); statErr != nil {
				t.Errorf("it was not run: %v", statErr)
			}
			no, refused := errors.AsType[action.Refusal](err)
			if refused != (c.want != "") || no.Code != c.want || (n == 1) != (c.want == "") {
				t.Errorf("%d, %v", n, err)
			}
			if gone := !actiontest.Alive(strconv.Itoa(kids[2].Process.Pid)); c.want != "" && gone {
				t.Error("the worker is gone")
			}
		})
	}
}
