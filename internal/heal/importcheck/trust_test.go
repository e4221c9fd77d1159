package importcheck_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// Files that are run as root belong to root only.
func TestCheckOfRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes files of other users: run it as root")
	}
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "own.py"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	python, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir, args string
		env       string // GUNICORN_CMD_ARGS
		uid       uint32
		argv      []string
		confined  error
		want      action.Code
	}{
		"root's own":                                {dir: dir},
		"a stranger's directory":                    {dir: theirs, want: action.CodeImportRoot},
		"module path":                               {dir: dir, args: "--pythonpath /usr/lib," + theirs, want: action.CodeImportRoot},
		"settings":                                  {dir: dir, args: "-c theirs/gunicorn.conf.py", want: action.CodeImportRoot},
		"settings, by file":                         {dir: dir, args: "--config=file:" + theirs + "/x.py", want: action.CodeImportRoot},
		"settings, the second of two":               {dir: dir, args: "-c own.py -c theirs/gunicorn.conf.py", want: action.CodeImportRoot},
		"settings, the first of two":                {dir: dir, args: "-c theirs/gunicorn.conf.py -c own.py", want: action.CodeImportRoot},
		"settings beside root's in the environment": {dir: dir, args: "-c theirs/gunicorn.conf.py", env: "-c own.py", want: action.CodeImportRoot},
		"settings in the environment":               {dir: dir, args: "-c own.py", env: "--config theirs/gunicorn.conf.py", want: action.CodeImportRoot},
		"root's settings":                           {dir: dir, args: "-c own.py --config own.py", env: "-c=own.py"},
		"abbreviated":                               {dir: dir, args: "--conf theirs/gunicorn.conf.py", want: action.CodeImportRoot},
		"abbreviated, in the environment":           {dir: dir, env: "--pyth=" + theirs, want: action.CodeImportRoot},
		"a relative chdir in the environment":       {dir: dir, env: "--chdir theirs", want: action.CodeImportDirectory},
		"chdir":                                     {dir: dir, args: "--chdir " + theirs, want: action.CodeImportRoot},
		"a stranger's, as himself":                  {dir: theirs, uid: 65534},
		"confined":                                  {dir: dir, uid: 65534, confined: errors.New("confined"), want: action.CodeImportConfined},
		"confined, configured":                      {dir: theirs, uid: 65534, confined: errors.New("confined"), argv: []string{"/bin/true"}},
		"configured, his own":                       {dir: theirs, uid: 65534, argv: []string{filepath.Join(theirs, "run")}},
		"configured, another's":                     {dir: dir, uid: 65533, argv: []string{filepath.Join(theirs, "run")}, want: action.CodeProgramUntrusted},
		"configured, as root":                       {dir: dir, argv: []string{filepath.Join(theirs, "run")}, want: action.CodeProgramUntrusted},
		"configured, in his place":                  {dir: theirs, argv: []string{"/bin/true"}, want: action.CodeImportRoot},
	} {
		t.Run(name, func(t *testing.T) {
			run := filepath.Join(theirs, "run")
			if err := errors.Join(actiontest.WriteProgram(run, []byte("#!/bin/sh\n"), 0o755), os.Chown(run, 65534, 65534)); err != nil {
				t.Fatal(err)
			}
			l := procid.Launch{
				Argv: append([]string{"/bin/sh", "/bin/gunicorn", "shop:app"}, strings.Fields(c.args)...), Program: python, Dir: c.dir, SameFiles: true,
				Env: []string{"LD_PRELOAD=/x", "PYTHONPATH=" + dir, "GUNICORN_CMD_ARGS=" + c.env},
			}
			l.Argv = slices.DeleteFunc(l.Argv, func(s string) bool { return s == "" })
			if c.uid == 0 { // gunicorn's program must be there
				l.Argv[1] = "-m"
				l.Argv = slices.Insert(l.Argv, 2, "gunicorn")
			}
			_, _, env, refused := importcheck.CheckOf(l, c.uid, c.confined, c.argv...)
			if refused.Code != c.want {
				t.Errorf("%+v, want %q", refused, c.want)
			}
			if own := c.uid == 65534 && c.confined == nil; c.want == "" && slices.Contains(env, "LD_PRELOAD=/x") != own {
				t.Errorf("%q", env)
			}
		})
	}
	got := importcheck.RootEnv([]string{"LD_PRELOAD=/x", "LD_AUDIT=/x", "PYTHONHOME=/x", "PYTHONSTARTUP=/x", "GCONV_PATH=/x", "BASH_ENV=/x", "PATH=" + theirs, "TZ=UTC",
		"PYTHONPATH=" + strings.Join([]string{dir, theirs, "rel", ""}, ":"), "SHOP_DSN=x", "HOME=" + theirs, "HOME=rel", "HOME=" + dir})
	if want := []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC", "PYTHONPATH=" + dir, "HOME=" + dir}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
