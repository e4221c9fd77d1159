package doctor_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

// What the host lacks for the actions of the rules is a fault in mode enforce, a note in
// dry-run, and nothing while healing is off.
func TestHostRights(t *testing.T) {
	t.Parallel()
	d, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(d, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	scale, clean := config.NewHealingStep(config.ActionScale), config.NewHealingStep(config.ActionCleanDisk)
	scale.Scale.App = "blog"
	clean.CleanDisk.Directories = []string{d, d + "/gone", "/etc"}
	for mode, want := range map[string][]finding{
		config.HealEnforce: {{"heal", collectors.NotFound, true}, {"heal", collectors.Unsupported, true}, {"app:blog", collectors.Unsupported, false}},
		config.HealDryRun:  {{"app:blog", collectors.Unsupported, false}, {"heal", collectors.NotFound, false}, {"heal", collectors.Unsupported, false}},
		config.HealOff:     {{"heal", collectors.Disabled, false}},
	} {
		s := subject(t)
		s.Config.Healing.Mode, s.Config.Healing.TokenFile = mode, "/run/token"
		s.Config.Healing.Rules = []config.HealingRule{{Name: "host", Steps: []config.HealingStep{scale, clean}}}
		if err := os.Chmod(s.Flags.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		s.Apps = func(context.Context) ([]discovery.App, error) {
			return []discovery.App{
				{Name: "shop", Up: true, Server: cmdline.Gunicorn, UID: uint32(os.Geteuid())}, {Name: "blog", Up: true, Server: cmdline.UWSGI}, {Name: "gone", Server: cmdline.Gunicorn},
			}, nil
		}
		section, _ := sectionOf(t, s, "heal")
		status := map[string]string{config.HealEnforce: "fault", config.HealDryRun: "note", config.HealOff: "note"}[mode]
		expect(t, section, status, want...)
	}
}

// A worker that recycle_worker could not replace is a fault before the alert comes: here
// the app's command line is not gunicorn's, so its import cannot be tried.
func TestRecycleRights(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	for name, c := range map[string]struct {
		app    string
		server cmdline.Server
		worker bool
		want   []finding
	}{
		"no import check": {"", cmdline.Gunicorn, true, []finding{{"app:shop", collectors.Permission, true}}},
		"no worker yet":   {"shop", cmdline.Gunicorn, false, nil},
		"another server":  {"shop", cmdline.Waitress, true, []finding{{"app:shop", collectors.Unsupported, false}}},
		"any app":         {"", cmdline.Waitress, true, nil},
		"of another app":  {"blog", cmdline.Gunicorn, true, nil},
	} {
		step := config.NewHealingStep(config.ActionRecycle)
		step.Recycle.App, step.Recycle.Pick = c.app, config.PickStuck
		s := subject(t)
		s.Flags.ProcRoot = "/proc"
		s.Config.Healing.Mode, s.Config.Healing.TokenFile = config.HealEnforce, "/run/token"
		s.Config.Healing.Rules = []config.HealingRule{{Name: "stuck", Steps: []config.HealingStep{step}}}
		if err := os.Chmod(s.Flags.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		app := discovery.App{Name: "shop", Up: true, Server: c.server, UID: uint32(os.Geteuid()), PID: os.Getpid()}
		if c.worker {
			app.Workers = []discovery.Worker{{Process: discovery.Process{PID: child.Process.Pid}}}
		}
		s.Apps = func(context.Context) ([]discovery.App, error) { return []discovery.App{app}, nil }
		section, _ := sectionOf(t, s, "heal")
		status := "ok"
		for _, f := range c.want {
			if status = "note"; f.fault {
				status = "fault"
			}
		}
		t.Log(name)
		expect(t, section, status, c.want...)
	}
}

// Whether workers may be signalled is judged by the workers, not by the user of their
// master, which may be root's or one that the exporter cannot see.
func TestSignalsOfWorkers(t *testing.T) {
	t.Parallel()
	worker := func(uid uint32) discovery.Worker {
		c := exec.CommandContext(t.Context(), "sleep", "60")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := c.Start(); err != nil {
			t.Fatal("this test starts processes of other users: run it as root:", err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return discovery.Worker{Process: discovery.Process{PID: c.Process.Pid}}
	}
	own, other, gone := worker(uint32(os.Geteuid())), worker(65534), discovery.Worker{Process: discovery.Process{PID: 1 << 30}}
	for name, c := range map[string]struct {
		app  discovery.App
		want int // -1: none
	}{
		"root's master":            {discovery.App{UID: 0, Workers: []discovery.Worker{own, other}}, 65534},
		"another's master":         {discovery.App{UID: 65534, Workers: []discovery.Worker{own}}, -1},
		"no workers of root's yet": {discovery.App{UID: 0}, -1},
		"no workers of another's":  {discovery.App{UID: 65534}, 65534},
		"one that has ended":       {discovery.App{UID: 65533, Workers: []discovery.Worker{gone}}, 65533},
	} {
		got := make(chan *int)
		go func() {
			runtime.LockOSThread() // and never unlocked: it has no capability any more
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				t.Error(err)
			}
			got <- doctor.Beyond(&c.app)
		}()
		if user := <-got; (user == nil) != (c.want < 0) || user != nil && *user != c.want {
			t.Errorf("%s: %v", name, user)
		}
	}
}
