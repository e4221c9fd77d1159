package naming_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// fake writes the environment of a process, and its working directory with these files.
func fake(t *testing.T, root string, pid int, env []string, files map[string]string) {
	t.Helper()
	dir, cwd := filepath.Join(root, strconv.Itoa(pid)), t.TempDir()
	mount, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(filepath.Join(dir, "ns"), 0o755))
	check(os.Symlink(mount, filepath.Join(dir, "ns/mnt")))
	check(os.Symlink("/", filepath.Join(dir, "root")))
	check(os.Symlink("/proc/self/mountinfo", filepath.Join(dir, "mountinfo")))
	check(os.Symlink(cwd, filepath.Join(dir, "cwd")))
	check(os.WriteFile(filepath.Join(dir, "environ"), []byte(strings.Join(env, "\x00")+"\x00"), 0o600))
	check(os.WriteFile(filepath.Join(dir, "status"), []byte("Name:\tx\nUid:\t"+strings.Repeat(strconv.Itoa(os.Geteuid())+"\t", 4)+"\n"), 0o600))
	for name, text := range files {
		check(os.WriteFile(filepath.Join(cwd, name), []byte(text), 0o600))
	}
}

// The name of an app is the one that its server uses, by the server's order of sources.
func TestBaseName(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fs := procfs.New(root)
	n := naming.NewNamer(fs, table.New(fs))
	pid := 100
	for name, c := range map[string]struct {
		argv  string
		env   []string
		files map[string]string
		unit  string
		want  string
	}{
		"gunicorn's --name":               {argv: "gunicorn -n shop app:app", files: map[string]string{"gunicorn.conf.py": "proc_name = 'other'\n"}, want: "shop"},
		"GUNICORN_CMD_ARGS":               {argv: "gunicorn app:app", env: []string{"GUNICORN_CMD_ARGS=--name 'my shop'"}, want: "my_shop"},
		"the configuration file":          {argv: "gunicorn app:app", files: map[string]string{"gunicorn.conf.py": "proc_name = 'shop'\n"}, want: "shop"},
		"another configuration file":      {argv: "gunicorn -c file:conf.py app:app", files: map[string]string{"conf.py": "proc_name = 'shop'\n"}, want: "shop"},
		"one that is named by a variable": {argv: "gunicorn app:app", env: []string{"GUNICORN_CMD_ARGS=-c conf.py"}, files: map[string]string{"conf.py": "proc_name = 'shop'\n"}, want: "shop"},
		"a module with the configuration": {argv: "gunicorn -c python:conf app:app", files: map[string]string{"gunicorn.conf.py": "proc_name = 'other'\n"}, want: "app"},
		"wsgi_app of the configuration":   {argv: "gunicorn", files: map[string]string{"gunicorn.conf.py": "wsgi_app = 'shop:app'\n"}, want: "shop"},
		"a name that has to be computed":  {argv: "gunicorn app:app", files: map[string]string{"gunicorn.conf.py": "import os\nproc_name = os.name\n"}, want: "app"},
		"a title":                         {argv: "gunicorn: master [shop]", want: "shop"},
		"a title with an application":     {argv: "gunicorn: master [shop:blue]", files: map[string]string{"shop.py": ""}, want: "shop"},
		"a title that is a name":          {argv: "gunicorn: master [shop:blue]", want: "shop:blue"},
		"uWSGI's variables":               {argv: "uwsgi --http :80", env: []string{"UWSGI_MODULE=shop:app"}, want: "shop"},
		"uWSGI's file":                    {argv: "uwsgi --ini conf.ini", files: map[string]string{"conf.ini": "[uwsgi]\nmodule = shop:app\n"}, want: "shop"},
		"a section of uWSGI's file":       {argv: "uwsgi conf.ini:blue", files: map[string]string{"conf.ini": "[uwsgi]\nmodule = other:app\n[blue]\nwsgi-file = shop.py\n"}, want: "shop"},
		"a file that a variable names":    {argv: "uwsgi", env: []string{"UWSGI_INI=/etc/uwsgi/shop.ini"}, want: "shop"},
		"a generic one":                   {argv: "uwsgi", env: []string{"UWSGI_INI=app.ini"}, files: map[string]string{"app.ini": "[uwsgi]\nmount = /=shop:app\n"}, want: "shop"},
		"UVICORN_APP":                     {argv: "uvicorn", env: []string{"UVICORN_APP=shop:app"}, want: "shop"},
		"Flask's file":                    {argv: "flask run", files: map[string]string{"wsgi.py": ""}, want: "wsgi"},
		"the unit":                        {argv: "flask run", unit: "shop", want: "shop"},
		"the script":                      {argv: "python3 /srv/shop.py", want: "shop"},
	} {
		pid++
		fake(t, root, pid, c.env, c.files)
		p := &table.Process{PID: pid, UID: uint32(os.Geteuid()), Argv: strings.Split(c.argv, " "), Unit: c.unit}
		if strings.HasPrefix(c.argv, "gunicorn: ") {
			p.Argv = []string{c.argv}
		}
		p.Program = cmdline.Classify(p.Argv)
		if got := n.BaseName(p); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := n.HostTemplate(p); got != "" {
			t.Errorf("%s: host %q without a namespace", name, got)
		}
	}
}

// TestSettingsOneAfterTheOther checks that each of many apps has the name of its file of
// settings, though one file is read at a time.
func TestSettingsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fs := procfs.New(root)
	tab := table.New(fs)
	n := naming.NewNamer(fs, tab)
	for pid := 100; pid < 400; pid++ {
		want := fmt.Sprintf("shop%d", pid)
		fake(t, root, pid, nil, map[string]string{"gunicorn.conf.py": fmt.Sprintf("proc_name = %q\n", want)})
		tab.Budget.Begin(true)
		p := &table.Process{PID: pid, UID: uint32(os.Geteuid()), Argv: []string{"gunicorn", "app:app"}}
		p.Program = cmdline.Classify(p.Argv)
		if got := n.BaseName(p); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// A file is read only where no user can have mounted it, and only once.
func TestBaseNameElsewhere(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fs := procfs.New(root)
	n := naming.NewNamer(fs, table.New(fs))
	conf := map[string]string{"gunicorn.conf.py": "proc_name = 'shop'\n"}
	fake(t, root, 7, nil, conf)
	dir := filepath.Join(root, "7")
	if err := os.Remove(filepath.Join(dir, "ns/mnt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mnt:[1]", filepath.Join(dir, "ns/mnt")); err != nil {
		t.Fatal(err)
	}
	p := &table.Process{PID: 7, Argv: []string{"gunicorn", "app:app"}}
	p.Program = cmdline.Classify(p.Argv)
	if got := n.BaseName(p); got != "app" {
		t.Errorf("in an unknown mount namespace: %q", got)
	}
	fake(t, root, 8, nil, conf)
	q := &table.Process{PID: 8, UID: uint32(os.Geteuid()), Argv: p.Argv, Program: p.Program}
	if got := n.BaseName(q); got != "shop" {
		t.Errorf("in the same one as ours: %q", got)
	}
	if err := os.RemoveAll(filepath.Join(root, "8")); err != nil {
		t.Fatal(err)
	}
	if got := n.BaseName(q); got != "shop" {
		t.Errorf("once more: %q", got)
	}
}
