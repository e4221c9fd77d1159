package importcheck

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

func TestGunicornIndex(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		"python /usr/bin/gunicorn shop:app": 1, "python /usr/bin/gunicorn3 x": 1, "python -m gunicorn x": 2, "python -m gunicorn.app.wsgiapp x": 2, "python -u -B /bin/gunicorn": 3,
		"python -W ignore /bin/gunicorn": 3, "python -X dev -m gunicorn": 4, "python -m": -1, "python -m shop gunicorn": -1, "python -c /bin/gunicorn": -1, "python - /bin/gunicorn": -1, "python gunicorn": -1,
		"python /bin/app.py /bin/gunicorn": -1, "python": -1, "": -1, "/bin/gunicorn": -1, "python -W": -1,
	} {
		if got := gunicornIndex(strings.Fields(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// A program is found in the absolute directories of each PATH, in their order.
func TestLookPath(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(one+"/text", nil, 0o644), os.Mkdir(one+"/dir", 0o755), os.WriteFile(two+"/run", nil, 0o755), os.WriteFile(two+"/text", nil, 0o755), os.WriteFile(one+"/both", nil, 0o700), os.WriteFile(two+"/both", nil, 0o755))
	path := "PATH=" + one + ":" + two
	for name, c := range map[string]struct {
		name, want string
		env        []string
	}{
		"in the second":      {"run", two + "/run", []string{"HOME=/", path}},
		"in both":            {"both", one + "/both", []string{path}},
		"not executable":     {"text", two + "/text", []string{path}},
		"a directory":        {"dir", "", []string{path}},
		"not there":          {"gone", "", []string{path}},
		"no PATH":            {"run", "", []string{"XPATH=" + two}},
		"two of them":        {"run", two + "/run", []string{"PATH=" + one, "PATH=" + two}},
		"with a slash":       {"./run", "", []string{path}},
		"an empty directory": {"run", two + "/run", []string{"PATH=:" + two}},
		"a relative one":     {"check.go", "", []string{"PATH=."}},
		"another variable":   {"run", "", []string{"HOME=" + two}},
	} {
		if got := lookPath(c.name, c.env); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// The environment of an app is passed on without what connects it to the running server; it
// has a PATH in any case.
func TestAppEnv(t *testing.T) {
	t.Parallel()
	if got := appEnv([]string{"A=b", "PATH=/x", "XPATH=/y"}); !slices.Equal(got, []string{noBytecode, "A=b", "PATH=/x", "XPATH=/y"}) {
		t.Errorf("%q", got)
	}
	if got := appEnv([]string{"PATH=/x", "A=b"}); !slices.Equal(got, []string{noBytecode, "PATH=/x", "A=b"}) {
		t.Errorf("PATH first: %q", got)
	}
	for name := range strings.FieldsSeq("GUNICORN_FD GUNICORN_PID LISTEN_FDS LISTEN_PID LISTEN_FDNAMES NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC PYTHONDONTWRITEBYTECODE") {
		if got := appEnv([]string{name + "=7", "A=b"}); len(got) != 3 || got[1] != "A=b" || !strings.HasPrefix(got[2], "PATH=/") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name := range strings.FieldsSeq("LANG LC_ALL LC_CTYPE TZ FLASK_ENV FLASK_DEBUG DJANGO_SETTINGS_MODULE GUNICORN_CMD_ARGS") {
		if got := rootEnv([]string{name + "=v", name + "X=v", "X" + name + "=v"}); len(got) != 4 || got[3] != name+"=v" {
			t.Errorf("%s as root: %q", name, got)
		}
	}
	if got := rootEnv([]string{"PYTHONPATH=/usr:/bin:rel", "HOME=/"}); len(got) != 5 || got[3] != "PYTHONPATH=/usr:/bin" || got[4] != "HOME=/" {
		t.Errorf("directories as root: %q", got)
	}
}

// The files of settings on a command line of uWSGI, relative ones in the app's directory.
func TestUWSGISettings(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"uwsgi --ini=a.ini": "/d/a.ini", "uwsgi --ini a.ini": "/d/a.ini", "uwsgi --ini /x/a.txt": "/x/a.txt", "uwsgi a.ini b.yaml c.yml d.json e.xml f.js": "/d/a.ini /d/b.yaml /d/c.yml /d/d.json /d/e.xml /d/f.js",
		"uwsgi a.ini:prod": "/d/a.ini", "uwsgi -x a": "/d/a", "uwsgi -y a": "/d/a", "uwsgi -j a": "/d/a", "uwsgi --include=a --inherit b": "/d/a /d/b", "uwsgi --yaml=a --yml=b --json=c --xml=d": "/d/a /d/b /d/c /d/d",
		"uwsgi -a.ini": "", "uwsgi a.txt": "", "uwsgi --master": "", "a.ini b": "", "-x b": "", "uwsgi --ini=": "",
		"uwsgi --emperor /x": "others", "uwsgi --emperor=/x": "others", "uwsgi --config x": "others", "uwsgi --config=x": "others", "uwsgi -": "others",
	} {
		files, all := uwsgiFiles(procid.Launch{Argv: strings.Fields(in), Dir: "/d"})
		got := strings.Join(files, " ")
		if !all {
			got = "others"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a.ini", []byte("[uwsgi]\nmodule = shop\n"), 0o644), os.WriteFile(dir+"/lazy.ini", []byte("[uwsgi]\nLazy-apps = 1\n"), 0o644), os.WriteFile(dir+"/more.ini", []byte("[uwsgi]\n ini = x\n"), 0o644))
	for in, want := range map[string]bool{
		"uwsgi --ini a.ini": false, "uwsgi --master": false, "uwsgi": true, "": true, "uwsgi --lazy-apps": true, "uwsgi --lazy": true, "uwsgi --set lazy-apps=1": true, "uwsgi --set=lazy=1": true, "uwsgi --ini lazy.ini": true, "uwsgi --ini more.ini": true,
		"uwsgi --ini gone.ini": true, "uwsgi --ini a.ini --ini gone.ini": true, "uwsgi --ini gone.ini --ini a.ini": true, "uwsgi --emperor x": true,
	} {
		l := procid.Launch{Argv: strings.Fields(in), Dir: dir, SameFiles: true}
		if got := lazy(l); got != want {
			t.Errorf("%q: lazy %v", in, got)
		}
		if l.Env = []string{"A=lazy", "XUWSGI_LAZY=1"}; lazy(l) != want {
			t.Errorf("%q with other variables: lazy %v", in, !want)
		}
		for _, name := range []string{"UWSGI_LAZY_APPS", "uwsgi_lazy", "UWSGI_INI", "UWSGI_CONFIG"} {
			if l.Env = []string{"A=b", name + "=1"}; !lazy(l) {
				t.Errorf("%q with %s: not lazy", in, name)
			}
		}
	}
	if l := (procid.Launch{Argv: []string{"uwsgi", "--ini", "a.ini"}, Dir: dir}); !lazy(l) {
		t.Error("of other files: not lazy")
	}
}

// A path is root's if nobody else can change or replace it.
func TestOwnedByRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test changes owners: run it as root")
	}
	for name, c := range map[string]struct {
		mode os.FileMode
		uid  int
		file bool // else a directory
		in   os.FileMode
		want bool
	}{
		"a directory": {0o755, 0, false, 0o755, true}, "a file": {0o644, 0, true, 0o755, true}, "of another": {0o755, 65534, false, 0o755, false}, "a file of another": {0o644, 65534, true, 0o755, false},
		"for a group": {0o775, 0, false, 0o755, false}, "for others": {0o757, 0, false, 0o755, false}, "sticky": {0o777 | os.ModeSticky, 0, false, 0o755, false}, "a file for others": {0o646, 0, true, 0o755, false},
		"in an open directory": {0o755, 0, false, 0o777, false}, "a file in an open directory": {0o644, 0, true, 0o777, false},
	} {
		dir := t.TempDir() + "/in"
		at := filepath.Join(dir, "it")
		must(t, os.Mkdir(dir, 0o755))
		if c.file {
			must(t, os.WriteFile(at, nil, 0o600))
		} else {
			must(t, os.Mkdir(at, 0o700))
		}
		must(t, os.Chmod(at, c.mode), os.Chown(at, c.uid, -1), os.Chmod(dir, c.in))
		if got := ownedByRoot(at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if ownedByRoot("/no/such/file") {
		t.Error("a file that is not there is root's")
	}
}

func processOf(pid int, uid uint32) procid.Process {
	return procid.Process{Credentials: procid.Credentials{UIDs: [4]uint32{uid, uid, uid, uid}, GIDs: [4]uint32{uid, uid, uid, uid}}, PID: pid}
}

// The check runs as the user of the worker; what is the same before and after is the same
// processes with the same programs and users.
func TestRunAs(t *testing.T) {
	t.Parallel()
	me := uint32(os.Geteuid())
	own := owners{master: processOf(1, me), worker: processOf(2, me)}
	as, refused := own.runAs()
	if !refused.IsZero() || me != 0 && as != nil || me == 0 && as != nil && as.Uid != 0 {
		t.Errorf("our own: %+v, %+v", as, refused)
	}
	other := owners{master: processOf(1, me), worker: processOf(2, 4711)}
	other.worker.Groups = []uint32{5, 6}
	as, refused = other.runAs()
	if me == 0 && (!refused.IsZero() || as == nil || as.Uid != 4711 || as.Gid != 4711 || !slices.Equal(as.Groups, []uint32{5, 6})) {
		t.Errorf("of another: %+v, %+v", as, refused)
	}
	for name, change := range map[string]func(*owners){
		"another master": func(o *owners) { o.master.PID++ }, "another worker": func(o *owners) { o.worker.PID++ }, "another program": func(o *owners) { o.master.Exe.Ino++ }, "another program of the worker": func(o *owners) { o.worker.Exe.Ino++ }, "another user": func(o *owners) { o.master.UIDs[1]++ }, "another group of the worker": func(o *owners) { o.worker.GIDs[2]++ },
	} {
		if changed := own; changed.equal(own) {
			change(&changed)
			if changed.equal(own) || own.equal(changed) {
				t.Errorf("%s is the same", name)
			}
		} else {
			t.Error("the same is not equal")
		}
	}
}

// A check is prepared of the planned master and its own worker only, and told by its end.
func TestPrepareAndRun(t *testing.T) {
	t.Parallel()
	child := exec.Command("sleep", "60")
	must(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	identity := func(pid int) procid.Identity {
		p, err := procid.Read("/proc", pid)
		if err != nil {
			t.Fatal(err)
		}
		return procid.Identity{PID: p.PID, Start: p.Start}
	}
	master, worker, parent := identity(os.Getpid()), identity(child.Process.Pid), identity(os.Getppid())
	later := func(i procid.Identity) procid.Identity { i.Start++; return i }
	for name, c := range map[string]struct {
		master, worker procid.Identity
		want           error
	}{
		"both":                   {master, worker, nil},
		"another master":         {later(master), worker, process.ErrChanged},
		"another worker":         {master, later(worker), process.ErrChanged},
		"a worker of another":    {parent, worker, process.ErrChanged},
		"the master has ended":   {procid.Identity{PID: 1 << 22}, worker, procid.ErrGone},
		"the worker has ended":   {master, procid.Identity{PID: 1 << 22}, procid.ErrGone},
		"the master's own child": {worker, master, process.ErrChanged},
	} {
		p, refused, err := Checker{Root: "/proc", Argv: []string{"/bin/true"}, Server: cmdline.Gunicorn, Master: c.master, Worker: c.worker}.Prepare()
		if !errors.Is(err, c.want) || (p == nil) != (c.want != nil) || !refused.IsZero() {
			t.Errorf("%s: %v, %+v, %v", name, p, refused, err)
		}
		if p == nil {
			continue
		}
		here, err := os.Getwd()
		at, err2 := os.Readlink(p.Dir)
		if err != nil || err2 != nil || at != here || p.Nice != 10 || !p.Confined || p.Open == nil {
			t.Errorf("%s: in %s, %+v, %v, %v", name, at, p, err, err2)
		}
		for script, want := range map[string]action.Code{"true": "", "exit 3": action.CodeImportFailed, "sleep 9": action.CodeImportTimeout} {
			p.Path, p.Argv = "/bin/sh", []string{"sh", "-c", script}
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if script == "sleep 9" {
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
			}
			if got := Run(ctx, p); got.Code != want {
				t.Errorf("%s: %+v, want %q", script, got, want)
			}
			cancel()
		}
		if p.Path = "/no/such/file"; Run(t.Context(), p).Code != action.CodeImportUnchecked {
			t.Errorf("not there: %+v", Run(t.Context(), p))
		}
		p.Close()
	}
	p, refused, err := Checker{Root: "/proc", Server: cmdline.Gunicorn, Master: master, Worker: worker}.Prepare()
	if p != nil || err != nil || refused.Code != action.CodeNotReadable {
		t.Errorf("no gunicorn: %v, %+v, %v", p, refused, err)
	}
}
