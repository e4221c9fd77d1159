package importcheck_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// An option is added only to a command line that gunicorn itself reads.
func TestGunicornAt(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"/v/bin/python /v/bin/gunicorn shop:app":        1,
		"/usr/bin/python3 -u -X dev -m gunicorn shop":   5,
		"python3 -m gunicorn.app.wsgiapp shop:app":      2,
		"/usr/bin/python3 -OO /usr/bin/gunicorn3 shop":  2,
		"python3 bin/gunicorn shop:app":                 -1, // relative to a directory that may have changed
		"python3 /srv/run.py gunicorn shop":             -1,
		"python3 -c pass /usr/bin/gunicorn":             -1,
		"python3 -m shop /usr/bin/gunicorn":             -1,
		"python3 -m":                                    -1,
		"python3 - /usr/bin/gunicorn":                   -1,
		"gunicorn: master [shop:app]":                   -1,
		"python3":                                       -1,
		"python3 /usr/bin/gunicorn-wrapper /x/gunicorn": -1,
	} {
		if got := importcheck.GunicornAt(strings.Fields(line)); got != want {
			t.Errorf("%s: %d, want %d", line, got, want)
		}
	}
}

func TestPreloaded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, env string
		want      bool
	}{
		{"python3 /usr/bin/gunicorn --preload shop:app", "", true},
		{"python3 /usr/bin/gunicorn shop:app", "GUNICORN_CMD_ARGS=-w 2 --preload", true},
		{"python3 /usr/bin/gunicorn shop:app", "PRELOAD=--preload", false},
		{"python3 /usr/bin/gunicorn --name --preloader shop:app", "", false},
		{"gunicorn: master [shop:app]", "", false},
	} {
		if got := importcheck.Preloaded(procid.Launch{Argv: strings.Fields(c.line), Env: []string{c.env}}); got != c.want {
			t.Errorf("%s, %s: %t", c.line, c.env, got)
		}
	}
}

// Unless the master is known to load the app, the workers count as loading it.
func TestLazy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plain.ini": "[uwsgi]\nmodule = shop:app\nmaster = true\n", "lazy.ini": "[uwsgi]\nlazy-apps = true\n", "more.ini": "[uwsgi]\nini = other.ini\n",
		"in.yml": "uwsgi:\n  lazy-apps: true\n", "big.ini": strings.Repeat("#", 70_000),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		line, env string
		want      bool
	}{
		{"uwsgi --master --module shop:app", "", false},
		{"uwsgi --master --lazy-apps --module shop:app", "", true},
		{"uwsgi --master --lazy", "", true},
		{"uwsgi --module shop:app", "UWSGI_LAZY_APPS=1", true},
		{"uwsgi --module shop:app", "UWSGI_INI=/x.ini", true},
		{"uwsgi --module shop:app", "UWSGI_PROCESSES=4", false},
		{"uwsgi --ini plain.ini", "", false},
		{"uwsgi plain.ini:uwsgi", "", false},
		{"uwsgi --ini=" + dir + "/plain.ini", "", false},
		{"uwsgi --ini=" + dir + "/lazy.ini", "", true},
		{"uwsgi lazy.ini", "", true},
		{"uwsgi --ini more.ini", "", true},
		{"uwsgi -y in.yml", "", true},
		{"uwsgi big.ini", "", true},
		{"uwsgi gone.ini", "", true},
		{"uwsgi --emperor /etc/uwsgi", "", true},
		{"uwsgi --config x", "", true},
		{"uWSGI", "", true}, // a title
	} {
		l := procid.Launch{Argv: strings.Fields(c.line), Env: []string{c.env}, Dir: dir, SameFiles: true}
		if got := importcheck.Lazy(l); got != c.want {
			t.Errorf("%s, %s: %t", c.line, c.env, got)
		}
		if l.SameFiles = false; strings.Contains(c.line, "ini") && !importcheck.Lazy(l) {
			t.Errorf("%s in a container is said not to be lazy", c.line)
		}
	}
}

func TestCheckOf(t *testing.T) {
	t.Parallel()
	python, err := filepath.EvalSymlinks("/bin/sh") // it stands for one
	if err != nil {
		t.Fatal(err)
	}
	launch := func(change func(*procid.Launch)) procid.Launch {
		l := procid.Launch{
			Argv: []string{"/bin/sh", "/usr/bin/gunicorn", "shop:app"}, Program: python, Dir: "/srv", SameFiles: true,
			Env: []string{"DB=secret", "GUNICORN_FD=5", "LISTEN_FDS=1", "NOTIFY_SOCKET=/x"},
		}
		if change != nil {
			change(&l)
		}
		return l
	}
	uid := uint32(os.Geteuid())
	if uid == 0 { // what runs as root has a test of its own
		uid = 65534
	}
	path, argv, env, refused := importcheck.CheckOf(launch(nil), uid, nil)
	if path != "/bin/sh" || !refused.IsZero() || !slices.Equal(argv, []string{"/bin/sh", "/usr/bin/gunicorn", "shop:app", "--check-config"}) {
		t.Errorf("%s %q: %s", path, argv, refused)
	}
	for _, v := range env {
		if strings.HasPrefix(v, "GUNICORN_") || strings.HasPrefix(v, "LISTEN_") || strings.HasPrefix(v, "NOTIFY") {
			t.Errorf("the check gets %s", v)
		}
	}
	if !slices.Contains(env, "DB=secret") || !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		t.Errorf("%q", env)
	}
	for name, c := range map[string]struct {
		change func(*procid.Launch)
		want   action.Code
	}{
		"no directory":        {func(l *procid.Launch) { l.Dir = "" }, action.CodeImportNoDirectory},
		"other files":         {func(l *procid.Launch) { l.SameFiles = false }, action.CodeImportOtherFiles},
		"a title":             {func(l *procid.Launch) { l.Argv = []string{"gunicorn: master [shop:app]"} }, action.CodeNotReadable},
		"no environment":      {func(l *procid.Launch) { l.Env = nil }, action.CodeNotReadable},
		"--chdir":             {func(l *procid.Launch) { l.Argv = append(l.Argv, "--chdir", "src") }, action.CodeImportDirectory},
		"--chroot":            {func(l *procid.Launch) { l.Argv = append(l.Argv, "--chroot=/jail") }, action.CodeImportDirectory},
		"another interpreter": {func(l *procid.Launch) { l.Program = "/usr/bin/python3.99" }, action.CodeImportInterpreter},
	} {
		if _, _, _, refused := importcheck.CheckOf(launch(c.change), uid, nil); refused.Code != c.want {
			t.Errorf("%s: %+v", name, refused)
		}
	}
	if _, _, _, refused := importcheck.CheckOf(launch(func(l *procid.Launch) { l.Argv[0] = "sh"; l.Env = append(l.Env, "PATH=/nowhere:/bin") }), uid, nil); !refused.IsZero() {
		t.Errorf("in the PATH: %s", refused)
	}
}
