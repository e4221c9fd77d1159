package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// freezable mounts a file system in user space that has one file, whose content is that of
// another one, and returns its directory and the program that serves it.
func freezable(t *testing.T, name, content string) (dir string, server *run.Proc) {
	t.Helper()
	needRoot(t)
	need(t, python, "gunicorn")
	needDevice(t, "/dev/fuse", "fuse")
	dir = openDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server = start(t, run.Spec{Name: "fuse", Path: self, Args: []string{dir, name, content}, Env: []string{serveFUSE + "=1"}})
	eventually(t, 10*time.Second, func() error {
		if err := server.Err(); err != nil {
			t.Fatal(err)
		}
		return wants("output", server.Output(100), "mounted\n")
	})
	return dir, server
}

// freeze stops the answers of a file system until the test ends.
func freeze(t *testing.T, server *run.Proc) {
	t.Helper()
	if err := server.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Signal(syscall.SIGUSR2); err != nil {
			t.Error(err)
		}
	})
}

// endsSoon ends the exporter, and fails the test if that takes long.
func (x *exporter) endsSoon(t *testing.T) {
	t.Helper()
	if err := x.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-x.Done():
	case <-time.After(scaled(20 * time.Second)):
		t.Error("the exporter does not end")
	}
}

// TestAttackFrozenExecutable checks that processes whose executable file is on a file system
// in user space that does not answer hold neither scrapes nor the sampler, nor the end of the exporter
// and of doctor.
func TestAttackFrozenExecutable(t *testing.T) {
	t.Parallel()
	dir, frozen := freezable(t, "python3", python)
	bin := openDir(t)
	gunicorn := filepath.Join(bin, "gunicorn")
	write(t, gunicorn, "#!"+filepath.Join(dir, "python3")+"\nfrom gunicorn.app.wsgiapp import run\nrun()\n")
	if err := os.Chmod(gunicorn, 0o755); err != nil { //nolint:gosec // another user runs it
		t.Fatal(err)
	}
	real := serve(t, launch{server: "gunicorn", args: []string{"-w", "2", "--timeout", "600"}})
	var evil []*app
	for i := range 3 {
		evil = append(evil, serve(t, launch{
			server: "gunicorn", args: []string{"-w", "2"}, name: unique(fmt.Sprintf("evil%d", i)),
			wrap: attackAs(attacker, "env", "PYTHONHOME=/usr", "PATH="+bin),
		}))
	}
	for _, a := range evil {
		eventually(t, 30*time.Second, func() error { return wants("status", a.get("/healthz"), 200) })
	}
	freeze(t, frozen)
	x := watch(t, export{config: "diagnosis: {sample_rate: 20}\n"})
	real.behind("/slow?s=600")
	repeat(t, 10, time.Second, func() error {
		began := time.Now()
		x.scrape(t)
		if d := time.Since(began); d > scaled(2*time.Second) {
			return fmt.Errorf("a scrape took %s", d)
		}
		return nil
	})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		err := m.has("resp_view_seconds_total", "app="+real.name, "on=sleep")
		if err != nil {
			err = fmt.Errorf("%w; known are %s", err, m.list(real.name, "resp_worker_wait_seconds_total", "resp_view_seconds_total", "resp_stacks_total", "resp_waits_rate_hertz", "resp_collector_available"))
		}
		return all(seen(m, real, "gunicorn", 2), err)
	})
	d := start(t, run.Spec{Name: "doctor", Path: binary, Args: []string{"doctor", "--config.file=" + x.config}})
	select {
	case <-d.Done():
	case <-time.After(scaled(time.Minute)):
		t.Error("doctor does not end")
	}
	x.endsSoon(t)
}

// TestAttackFrozenDirectory checks that the name of an app is found without a request to the
// file system in user space that its working directory and its settings file are on, and
// which does not answer: neither scrapes nor the names of other apps nor the end of the
// exporter wait for it.
func TestAttackFrozenDirectory(t *testing.T) {
	t.Parallel()
	dir, frozen := freezable(t, "conf.py", write(t, filepath.Join(openDir(t), "conf.py"), "proc_name = 'frozen'\n"))
	var evil []*app
	for i, env := range [][]string{nil, withoutTitles(t)} { // by the directory of its module; by its settings
		name, home := unique(fmt.Sprintf("evil%d", i)), openDir(t)
		path := "PYTHONPATH=" + home
		if env != nil {
			path = env[0] + ":" + home
		}
		evil = append(evil, serve(t, launch{
			server: "gunicorn", args: []string{"-c", filepath.Join(dir, "conf.py")}, name: name, dir: home,
			wrap: attackAs(attacker, "env", path, "sh", "-ec", "cd "+dir+` && exec "$@"`, "sh"),
		}))
	}
	for _, a := range evil {
		eventually(t, 30*time.Second, func() error { return wants("status of "+a.name, a.get("/healthz"), 200) })
	}
	freeze(t, frozen)
	till := unique("till")
	home := openDir(t)
	write(t, filepath.Join(home, "gunicorn.conf.py"), fmt.Sprintf("proc_name = '%s'\n", till))
	serve(t, launch{server: "gunicorn", dir: home, env: withoutTitles(t)})
	x := watch(t, export{})
	eventually(t, 30*time.Second, func() error {
		began := time.Now()
		m := x.scrape(t)
		if d := time.Since(began); d > scaled(2*time.Second) {
			t.Errorf("a scrape took %s", d)
		}
		return m.want(1, "resp_up", "component=app:"+till)
	})
	x.endsSoon(t)
}
