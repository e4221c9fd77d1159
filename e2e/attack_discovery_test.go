package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// tenant is the user of the real app in these tests: an ordinary one, who is
// not the attacker.
const tenant = 12345

// box is a PID namespace. What runs in it ends with it, and an exporter in it
// sees nothing else of the machine. Its processes 1 and 2 sleep.
type box struct{ init int }

func newBox(t *testing.T) *box {
	t.Helper()
	needRoot(t)
	need(t, "unshare", "nsenter", "setpriv", python)
	p := start(t, run.Spec{Name: "box", Path: "unshare", Args: []string{"--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", "sleep 3600 & exec sleep 3600"}})
	b := &box{}
	eventually(t, 20*time.Second, func() error {
		children, err := run.Children(p.PID())
		if err != nil || len(children) == 0 {
			return fmt.Errorf("no process in the namespace yet: %w", err)
		}
		b.init = children[0]
		return nil
	})
	return b
}

// in returns the command line that runs argv in the box as a user.
func (b *box) in(uid int, argv ...string) []string {
	enter := []string{"nsenter", fmt.Sprintf("--target=%d", b.init), "--pid", "--mount", "--"}
	if uid != 0 {
		argv = attackAs(uid, argv...)
	}
	return append(enter, argv...)
}

// attack runs a Python program in the box as the attacker, and waits until it
// has written "ready".
func (b *box) attack(t *testing.T, code string, args ...string) *run.Proc {
	t.Helper()
	dir := attackerDir(t)
	script := write(t, filepath.Join(dir, "attack.py"), code)
	argv := b.in(attacker, append([]string{python, script}, args...)...)
	p := start(t, run.Spec{Name: "attack", Path: argv[0], Args: argv[1:], Dir: dir})
	eventually(t, 60*time.Second, func() error {
		if err := p.Err(); err != nil {
			t.Fatalf("the attack ended: %v\n%s", err, p.Output(2000))
		}
		if !strings.Contains(p.Output(200_000), "ready") {
			return fmt.Errorf("the attack is not ready")
		}
		return nil
	})
	return p
}

func (b *box) watch(t *testing.T, e export) *exporter {
	t.Helper()
	e.wrap = append(b.in(0, e.wrap...), "env")
	return watch(t, e)
}

// serve starts the tenant's gunicorn in the box.
func (b *box) serve(t *testing.T, l launch) *app {
	t.Helper()
	need(t, "gunicorn")
	l.server = "gunicorn"
	if l.dir == "" {
		l.dir = openDir(t)
	}
	l.wrap = b.in(tenant)
	l.args = append(l.args, "-w", "2", "--chdir", l.dir)
	return serve(t, l)
}

// fakes forks programs that sleep under the titles of gunicorn masters, each with its own
// listening socket.
const fakes = `
import os, socket, sys, signal
for name in sys.argv[1:]:
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5)
    if os.fork() == 0:
        s.set_inheritable(True)
        os.execv("/bin/sleep", ["gunicorn: master [%s]" % name, "3600"])
    s.close()
print("ready", flush=True)
signal.pause()
`

// TestAttackPlacesOfApps checks that a user who starts hundreds of fake apps first does
// not displace the apps of others.
func TestAttackPlacesOfApps(t *testing.T) {
	b := newBox(t)
	var names []string
	for i := range 220 {
		names = append(names, fmt.Sprintf("fake%d", i))
	}
	b.attack(t, fakes, names...)
	x := b.watch(t, export{})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).has("resp_up", "component=app:fake0") })
	real := b.serve(t, launch{})
	eventually(t, 30*time.Second, func() error { return seen(x.scrape(t), real, "gunicorn", 2) })
	apps := 0
	x.scrape(t).each("resp_app_info", nil, func(map[string]string, float64) { apps++ })
	if apps > 200 {
		t.Errorf("%d apps are shown", apps)
	}
	if n, _ := x.scrape(t).sum("resp_series_dropped_total", "family=app"); n == 0 {
		t.Error("what was left out is not counted")
	}
}

// TestAttackNameDuringARestart checks that a fake app that starts while the real one
// restarts does not get its name.
func TestAttackNameDuringARestart(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	x := b.watch(t, export{})
	real := b.serve(t, launch{})
	eventually(t, 30*time.Second, func() error { return seen(x.scrape(t), real, "gunicorn", 2) })
	real.Stop()
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(0, "resp_up", "component=app:"+real.name) })
	b.attack(t, fakes, real.name)
	eventually(t, 20*time.Second, func() error {
		m, found := x.scrape(t), false
		m.each("resp_app_info", nil, func(labels map[string]string, _ float64) {
			found = found || strings.HasPrefix(labels["app"], real.name)
		})
		if !found {
			return fmt.Errorf("the fake is not seen")
		}
		return m.want(0, "resp_up", "component=app:"+real.name)
	})
	back := b.serve(t, launch{name: real.name, dir: real.dir, port: portOf(t, real.listen)})
	eventually(t, 30*time.Second, func() error { return seen(x.scrape(t), back, "gunicorn", 2) })
}

// TestAttackConfiguredMatch checks that a process of another user does not become part of
// the configured app whose match it fits.
func TestAttackConfiguredMatch(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	name := unique("shop")
	b.attack(t, fakes, name, name) // they are older than the real one
	x := b.watch(t, export{config: joined("apps:", fmt.Sprintf("  - {name: shop, match: {cmdline: 'gunicorn.*%s', user: '%d'}}", name, tenant),
		fmt.Sprintf("  - {name: any, match: {cmdline: 'gunicorn.*%s'}}", name))})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(0, "resp_up", "component=app:shop") })
	sys := b.in(0, "gunicorn", "--bind", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "-w", "3", name+":app")
	dir := openDir(t)
	write(t, filepath.Join(dir, name+".py"), "def app(environ, answer):\n    answer('200 OK', [])\n    return [b'']\n")
	start(t, run.Spec{Name: "root", Path: sys[0], Args: sys[1:], Env: []string{"PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1"}})
	b.serve(t, launch{name: name})
	// A second exporter begins when all are there: root's app is the one that is meant.
	y := b.watch(t, export{config: joined("apps:", fmt.Sprintf("  - {name: any, match: {cmdline: 'gunicorn.*%s'}}", name))})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(2, "resp_app_workers", "app=shop"), m.slots("shop", 2), y.scrape(t).want(3, "resp_app_workers", "app=any"), y.scrape(t).slots("any", 3))
	})
}

func portOf(t *testing.T, listen string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(port(listen), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
